package grain

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// giving is a cart with all that another can take over.
func giving(t testing.TB) *bench {
	b := newBench()
	child := item("B", 3, 50, 600)
	child.ParentId = new(uint32(2))
	coloured := item("A", 2, 100, 2500)
	coloured.Attributes = map[string]string{"size": "s", "colour": "white & \"red\""}
	b.must(t, &messages.CartCreated{Currency: "GBP", Country: "GB", UserId: "u-1"}, item("gone", 1, 1, 0), item("A", 2, 100, 2500), child, coloured,
		&messages.RemoveItem{Id: 1}, item("A", 1, 100, 2500), &messages.LineItemMarking{Id: 3, Type: 1, Marking: "To Ada"},
		&messages.SetDelivery{Provider: "p", Items: []uint32{2}, Price: 490, Tax: 2500},
		&messages.AddVoucher{Code: "V1", Kind: kindPercent, Value: 1000}, &messages.AddVoucher{Code: "V2", Kind: kindAmount, Value: 70})
	return b
}

func TestMergeTakesOverLinesAndVouchers(t *testing.T) {
	from := giving(t)
	m := from.cart.takeover("C1")
	into := newBench()
	into.must(t, item("Z", 1, 7, 0), item("A", 5, 100, 2500), &messages.AddVoucher{Code: "V1", Kind: kindPercent, Value: 500}, m)
	if err := checkCart(&into.cart); err != nil {
		t.Fatal(err)
	}
	cart := decodeView(t, []byte(into.view()))
	if len(cart.Items) != 4 || cart.Items[1].Qty != 8 || cart.Items[2].SKU != "B" || *cart.Items[2].ParentID != 2 || cart.Items[2].Marking.Text != "To Ada" ||
		cart.Items[3].Attributes["colour"] != "white & \"red\"" {
		t.Errorf("items %+v, want the same product as one line, the child below it, and the other line", cart.Items)
	}
	if cart.Currency != "GBP" || cart.UserID != "" || len(cart.Deliveries) != 0 || len(cart.Vouchers) != 2 || cart.Vouchers[0].Code != "V1" || into.cart.vouchers[0].terms.value != 500 {
		t.Errorf("cart %s, want the other's currency and V2, its own V1, and neither user nor delivery", into.view())
	}
	into.unchanged(t, m)
	into.unchanged(t, &messages.MergeCart{From: "C1", Again: true})
	into.must(t, &messages.InitializeCheckout{OrderId: "o"})
	into.unchanged(t, m) // what is done stays done, whatever has become of the cart
}

// The first line decides how a cart rounds: a cart without one rounds from then on as the other did.
func TestMergeIntoAnEmptyCartKeepsTheMoney(t *testing.T) {
	from := newBench()
	from.must(t, &messages.AddItem{Sku: "X", Quantity: 3, Price: 108, Tax: 1900, PriceExVat: true, TaxLevel: "unit", TaxRounding: "half-up", Country: "de"})
	into := newBench()
	into.must(t, &messages.CartCreated{}, from.cart.takeover("C1"))
	if got := into.cart.total(); got != from.cart.total() || into.cart.rounding != from.cart.rounding || into.cart.country != "DE" {
		t.Errorf("total %v, rounding %v, country %s; want %v, %v and DE", got, into.cart.rounding, into.cart.country, from.cart.total(), from.cart.rounding)
	}
}

func TestMergeIsAllOrNothing(t *testing.T) {
	into := newBench()
	into.must(t, &messages.CartCreated{Currency: "GBP", UserId: "u-1"}, item("A", 999_999, 100, 2500))
	take := func(change func(*messages.MergeCart)) *messages.MergeCart {
		m := giving(t).cart.takeover("C1")
		m.Items[0].Quantity = 1
		change(m)
		return m
	}
	for _, tc := range []struct {
		m           *messages.MergeCart
		code, field string
	}{
		{take(func(m *messages.MergeCart) { m.Currency = "EUR" }), codeInvalid, "from"},
		{take(func(m *messages.MergeCart) { m.Currency = "x" }), codeInvalid, "currency"},
		{take(func(m *messages.MergeCart) { m.UserId = "u-2" }), codeUserBound, ""},
		{take(func(m *messages.MergeCart) { m.From = "../x" }), codeInvalid, "from"},
		{take(func(m *messages.MergeCart) { m.Again = true }), codeInvalid, "from"},
		{take(func(m *messages.MergeCart) { m.Items[0].Quantity = 2 }), codeInvalid, "from"}, // one more than a line takes
		{take(func(m *messages.MergeCart) { m.Ids = m.Ids[1:] }), codeInvalid, "ids"},
		{take(func(m *messages.MergeCart) { m.Ids[0] = 0 }), codeInvalid, "ids"},
		{take(func(m *messages.MergeCart) { m.Items[1] = nil }), codeInvalid, "ids"},
		{take(func(m *messages.MergeCart) { m.Items[0].ParentId = new(uint32(3)) }), codeInvalid, "items"},
		{take(func(m *messages.MergeCart) { m.Markings[0].Id = 99 }), codeInvalid, "markings"},
		{take(func(m *messages.MergeCart) { m.Vouchers[0] = nil }), codeInvalid, "vouchers"},
		{take(func(m *messages.MergeCart) { m.Vouchers[1].Kind = "gift" }), codeInvalid, "from"},
	} {
		into.refused(t, tc.m, tc.code, tc.field)
	}
	into.must(t, take(func(*messages.MergeCart) {}))
	newBench().refused(t, take(func(*messages.MergeCart) {}), codeNotFound, "")
}

func TestMergeFreezesAndEndsTheOtherCart(t *testing.T) {
	b := newBench()
	b.refused(t, &messages.MergeStarted{Into: "C2"}, codeNotFound, "")
	b.must(t, item("A", 1, 100, 0)) // 1
	b.refused(t, &messages.MergeStarted{Into: "a/b"}, codeInvalid, "into")
	b.must(t, &messages.MergeStarted{Into: "C2"}) // 2
	b.unchanged(t, &messages.MergeStarted{Into: "C2"})
	for _, m := range []actor.Mutation{item("A", 1, 1, 0), &messages.MergeStarted{Into: "C3"}, &messages.MergeCart{From: "C2"},
		&messages.InitializeCheckout{OrderId: "o"}, &messages.CartDeleted{}, &messages.SetUserId{UserId: "u"}} {
		b.refused(t, m, codeFrozen, "")
	}
	if cart := decodeView(t, []byte(b.view())); cart.Status != "open" || !cart.Processing {
		t.Errorf("while it is merged: %s", b.view())
	}
	b.unchanged(t, &messages.MergeAborted{Into: "C2", Started: 1}) // of an attempt before
	b.refused(t, &messages.CartMerged{Into: "C2", Started: 1}, codeInvalid, "into")
	b.refused(t, &messages.CartMerged{Into: "C3", Started: 2}, codeInvalid, "into")
	b.must(t, &messages.MergeAborted{Into: "C2", Started: 2, Code: "cart_frozen", Message: "…"}) // 3
	b.must(t, item("A", 1, 100, 0), &messages.MergeStarted{Into: "C2"})                          // 5
	b.unchanged(t, &messages.MergeAborted{Into: "C2", Started: 2})
	b.must(t, &messages.CartMerged{Into: "C2", Started: 5})
	b.unchanged(t, &messages.CartMerged{Into: "C2", Started: 5})
	b.unchanged(t, &messages.MergeStarted{Into: "C2"})
	b.refused(t, &messages.MergeStarted{Into: "C3"}, codeMerged, "")
	if cart := decodeView(t, []byte(b.view())); cart.Status != "merged" || cart.Processing || len(cart.Items) != 1 {
		t.Errorf("merged: %s", b.view())
	}
}

func TestMergeOfMoreThanAnEventHoldsIsRefused(t *testing.T) {
	b := &bench{registry: Registry(Limits{MaxMergeBytes: 20})}
	b.must(t, item("A", 1, 100, 0))
	b.refused(t, &messages.MergeStarted{Into: "C2"}, codeInvalid, "from")
	b.registry = Config(nil, Limits{MaxMergeBytes: 20}, Options{}).Replay
	b.must(t, &messages.MergeStarted{Into: "C2"})
}

// world is carts with a courier between them that may do each step of each errand at any time, more than once, and
// forget all it knows.
type world struct {
	carts   map[string]*bench
	keys    map[string]bool
	decided map[string]*actor.Reply // answers that the first cart has not heard of, by errand
}

func newWorld(ids ...string) *world {
	w := &world{carts: map[string]*bench{}, keys: map[string]bool{}, decided: map[string]*actor.Reply{}}
	for _, id := range ids {
		w.carts[id] = newBench()
	}
	return w
}

// ask does what a grain does with a command, as far as it matters here.
func (w *world) ask(t interface{ Fatalf(string, ...any) }, id string, cmd actor.Command) *actor.Reply {
	b := w.carts[id]
	if key := id + "/" + cmd.Key; cmd.Key != "" && w.keys[key] {
		return &actor.Reply{Replayed: true}
	}
	if cmd.MustExist && b.version == 0 {
		return &actor.Reply{Refusal: actor.Refuse(actor.CodeNotFound, "there is no such cart")}
	}
	if cmd.IfVersion != nil && *cmd.IfVersion != b.version {
		return &actor.Reply{Refusal: actor.Refuse(actor.CodeVersionConflict, "another version")}
	}
	err := b.apply(cmd.Steps[0].Mutation)
	refusal, refused := errors.AsType[*actor.Refusal](err)
	switch {
	case refused:
		return &actor.Reply{Refusal: refusal}
	case err != nil && !errors.Is(err, actor.NoChange):
		t.Fatalf("%T: %v", cmd.Steps[0].Mutation, err)
	}
	if cmd.Key != "" {
		w.keys[id+"/"+cmd.Key] = true
	}
	if err := checkCart(&b.cart); err != nil {
		t.Fatalf("cart %s: %v", id, err)
	}
	return &actor.Reply{}
}

// open returns all errands, in order.
func (w *world) open() (owners []string, all []actor.Errand) {
	for _, id := range slices.Sorted(maps.Keys(w.carts)) {
		for _, e := range errands(id, &w.carts[id].cart) {
			owners, all = append(owners, id), append(all, e)
		}
	}
	return owners, all
}

// step takes one step of an errand: the other cart is asked, or the first one told.
func (w *world) step(t interface{ Fatalf(string, ...any) }, owner string, e actor.Errand) {
	name := owner + " " + e.Name
	if decided, ok := w.decided[name]; ok {
		if r := w.ask(t, owner, e.Report(decided)); r.Refusal != nil {
			t.Fatalf("cart %s does not take what became of %s: %v", owner, e.Name, r.Refusal)
		}
		delete(w.decided, name)
		return
	}
	w.decided[name] = w.ask(t, e.To, e.Command)
}

// settle brings all errands to an end.
func (w *world) settle(t interface{ Fatalf(string, ...any) }) {
	for range 1000 {
		owners, all := w.open()
		if len(all) == 0 {
			return
		}
		w.step(t, owners[0], all[0])
	}
	t.Fatalf("errands have no end")
}

func TestMergesInAnyOrderLoseAndDoubleNothing(t *testing.T) {
	ids := []string{"C0", "C1", "C2", "C3"}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(ids...)
		for i, id := range ids[:3] { // C3 does not exist
			w.ask(t, id, actor.Command{Steps: []actor.Step{{Mutation: item(fmt.Sprint("SKU", i), 1, 100, 2500)}}})
		}
		some := rapid.SampledFrom(ids)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			owners, all := w.open()
			do := rapid.IntRange(0, 9).Draw(t, "do")
			switch {
			case do < 6 && len(all) > 0:
				n := rapid.IntRange(0, len(all)-1).Draw(t, "errand")
				w.step(t, owners[n], all[n])
			case do == 6: // crash
				clear(w.decided)
			case do == 7:
				w.ask(t, some.Draw(t, "pays"), actor.Command{Steps: []actor.Step{{Mutation: &messages.InitializeCheckout{OrderId: "o"}}}, MustExist: true})
			case do == 8:
				w.ask(t, some.Draw(t, "pays no more"), actor.Command{Steps: []actor.Step{{Mutation: &messages.AbortCheckout{}}}, MustExist: true})
			default:
				from, into := some.Draw(t, "from"), some.Draw(t, "into")
				if from != into {
					w.ask(t, from, actor.Command{Steps: []actor.Step{{Mutation: &messages.MergeStarted{Into: into}}}})
				}
			}
		}
		w.settle(t)
		where := map[string]int64{}
		for _, b := range w.carts {
			if b.cart.merging != nil {
				t.Fatalf("a merge has no end: %s", b.view())
			}
			if b.cart.status != StatusMerged {
				for _, l := range b.cart.lines {
					where[l.product.sku] += l.qty
				}
			}
		}
		if len(where) != 3 || where["SKU0"] != 1 || where["SKU1"] != 1 || where["SKU2"] != 1 {
			t.Fatalf("the carts have %v, want each product once", where)
		}
	})
}
