package grain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// everyUse has one of each mutation of a voucher.
func everyUse() []actor.Mutation {
	return []actor.Mutation{
		&messages.UseReserved{Code: "V", Cart: "C1", Reservation: "r-1", Until: 7, Limit: 3},
		&messages.UseReleased{Cart: "C1", Reservation: "r-1"},
		&messages.UseConfirmed{Cart: "C1", Reservation: "r-1"},
	}
}

// till is a voucher with its registry.
type till struct {
	registry *actor.MutationRegistry[Voucher]
	voucher  Voucher
}

func newTill() *till { return &till{registry: VoucherRegistry()} }

// tell applies a mutation; the code is that of its refusal, "same" if it changed nothing, "" if it was accepted.
func (b *till) tell(t interface{ Fatalf(string, ...any) }, m actor.Mutation) string {
	before := b.clone(t)
	err := b.registry.Apply(&b.voucher, m, metaAt(1))
	if err != nil {
		if diff := diffVouchers(before, &b.voucher); diff != "" {
			t.Fatalf("%T %v: %v, and yet the voucher changed (-before +after):\n%s", m, m, err, diff)
		}
	}
	if err := checkUses(&b.voucher); err != nil {
		t.Fatalf("after %T %v: %v", m, m, err)
	}
	r, refused := errors.AsType[*actor.Refusal](err)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, actor.NoChange):
		return "same"
	case !refused:
		t.Fatalf("%T %v: got %v, want a refusal or NoChange", m, m, err)
	}
	return r.Code
}

// clone is the voucher by way of a snapshot.
func (b *till) clone(t interface{ Fatalf(string, ...any) }) *Voucher {
	v, err := decodeUsesState(appendUsesState(nil, &b.voucher))
	if err != nil {
		t.Fatalf("decode what was encoded: %v", err)
	}
	if diff := diffVouchers(&b.voucher, v); diff != "" {
		t.Fatalf("(-live +from its state):\n%s", diff)
	}
	return v
}

func diffVouchers(a, b *Voucher) string {
	return cmp.Diff(a, b, cmp.AllowUnexported(Voucher{}, reservation{}), cmpopts.EquateEmpty())
}

// checkUses compares what a voucher counts with a count from nothing.
func checkUses(v *Voucher) error {
	carts, users := map[string]int{}, map[string]int{}
	for _, user := range v.used {
		users[user]++
	}
	for name, r := range v.open {
		carts[r.cart]++
		users[r.user]++
		if _, used := v.used[r.cart]; used {
			return fmt.Errorf("reservation %s of a cart that has used it", name)
		}
	}
	delete(users, "")
	if !maps.Equal(carts, v.carts) || !maps.Equal(users, v.users) {
		return fmt.Errorf("counts %v and %v, want %v and %v", v.carts, v.users, carts, users)
	}
	return nil
}

func TestVoucherKeepsNoMoreUsesThanItsLimit(t *testing.T) {
	b := newTill()
	reserve := func(cart, name string) *messages.UseReserved {
		return &messages.UseReserved{Code: "V", Cart: cart, Reservation: name, Limit: 2}
	}
	for i, step := range []struct {
		m    actor.Mutation
		want string
	}{
		{reserve("C1", "a"), ""}, {reserve("C1", "a"), "same"}, {reserve("C2", "a"), codeInvalid},
		{reserve("C1", "b"), ""}, // the same cart counts once
		{reserve("C2", "c"), ""}, {reserve("C3", "d"), ReasonUsedUp},
		{&messages.UseReleased{Cart: "C1", Reservation: "a"}, ""}, {&messages.UseReleased{Cart: "C1", Reservation: "a"}, "same"},
		{reserve("C3", "d"), ReasonUsedUp}, // C1 has another
		{&messages.UseReleased{Cart: "C2", Reservation: "b"}, "same"}, {&messages.UseReleased{Cart: "C1", Reservation: "b"}, ""},
		{reserve("C3", "d"), ""},
		{&messages.UseConfirmed{Cart: "C2", Reservation: "c"}, ""}, {&messages.UseConfirmed{Cart: "C2", Reservation: "c"}, "same"},
		{&messages.UseReleased{Cart: "C2", Reservation: "c"}, "same"}, {reserve("C2", "e"), codeOrdered}, {reserve("C1", "f"), ReasonUsedUp},
		{&messages.UseReleased{Cart: "C3", Reservation: "d"}, ""}, {reserve("C1", "f"), ""},
		{&messages.UseReserved{Code: "V", Cart: "C4", Reservation: "g", Limit: 3}, ""}, // it was raised
		{&messages.UseReserved{Code: "W", Cart: "C5", Reservation: "h"}, codeInvalid},
		{&messages.UseReserved{Code: "V", Cart: "/", Reservation: "h"}, codeInvalid}, {reserve("C5", ""), codeInvalid},
		{&messages.UseReserved{Code: "V", Cart: "C5", Reservation: "h", Limit: -1}, codeInvalid}, {&messages.UseReserved{Code: "V", Cart: "C5", Reservation: "h", Until: -1}, codeInvalid},
		{&messages.UseConfirmed{Cart: "C9", Reservation: "z"}, ""}, // it has happened
		{&messages.UseConfirmed{Cart: "", Reservation: "z"}, codeInvalid}, {(*messages.UseReleased)(nil), codeInvalid},
	} {
		if got := b.tell(t, step.m); got != step.want {
			t.Errorf("step %d, %T %v: %q, want %q", i, step.m, step.m, got, step.want)
		}
	}
	for i := range maxReservations + 1 {
		got := b.tell(t, &messages.UseReserved{Code: "V", Cart: "C1", Reservation: fmt.Sprint("again", i)})
		if want := i >= maxReservations-1; (got == actor.CodeUnavailable) != want {
			t.Errorf("reservation %d of one cart: %q", i, got)
		}
	}
}

func TestVoucherIsForEachUserOnce(t *testing.T) {
	b := newTill()
	reserve := func(cart, name, user string) *messages.UseReserved {
		return &messages.UseReserved{Code: "V", Cart: cart, Reservation: name, UserId: user, OncePerUser: true}
	}
	for i, step := range []struct {
		m    actor.Mutation
		want string
	}{
		{reserve("C1", "a", ""), codeInvalid}, {reserve("C1", "a", "ada"), ""}, {reserve("C1", "b", "ada"), ""}, {reserve("C2", "c", "ada"), ReasonUsedByUser},
		{reserve("C2", "c", "bob"), ""}, {reserve("C1", "d", "bob"), ReasonUsedByUser},
		{&messages.UseConfirmed{Cart: "C1", Reservation: "b", UserId: "ada"}, ""}, {reserve("C3", "e", "ada"), ReasonUsedByUser},
		{&messages.UseReleased{Cart: "C2", Reservation: "c"}, ""}, {reserve("C3", "e", "bob"), ""},
	} {
		if got := b.tell(t, step.m); got != step.want {
			t.Errorf("step %d, %T %v: %q, want %q", i, step.m, step.m, got, step.want)
		}
	}
}

func TestVouchersHaveStreamsOfTheirOwn(t *testing.T) {
	codes := []string{"WELCOME10", "welcome10", "Welcome10", "A-B_C", "-A", "_A", "Å", "A B", "A/B", "..", "A.B", "h-x", "H-X", strings.Repeat("A", 48), strings.Repeat("A", 49),
		strings.Repeat("é", 32), "\u202e", "CODE\u00a0"}
	codes = append(codes, strings.ToUpper(VoucherStream("welcome10"))) // as if somebody wanted to meet another
	seen := map[string]string{}
	for _, code := range codes {
		name := VoucherStream(code)
		if _, err := eventlog.ParseStreamID(eventlog.KindVoucher, name); err != nil {
			t.Errorf("%q: %v", code, err)
		}
		if other, ok := seen[strings.ToLower(name)]; ok {
			t.Errorf("%q and %q are both %s", code, other, name)
		}
		seen[strings.ToLower(name)] = code
	}
	if VoucherStream("WELCOME10") != "WELCOME10" {
		t.Error("a plain code is not its own name")
	}
}

func TestVouchersStateThatCannotBeIsRefused(t *testing.T) {
	b := newTill()
	b.tell(t, &messages.UseReserved{Code: "V", Cart: "C1", Reservation: "a", UserId: "ada", Until: 5})
	b.tell(t, &messages.UseReserved{Code: "V", Cart: "C2", Reservation: "b", UserId: "bob"})
	b.tell(t, &messages.UseConfirmed{Cart: "C2", Reservation: "b", UserId: "bob"})
	data := appendUsesState(nil, &b.voucher)
	for n := range data {
		if _, err := decodeUsesState(data[:n]); err == nil {
			t.Errorf("cut at byte %d of %d: want an error", n, len(data))
		}
	}
	for name, change := range map[string]func(*messages.VoucherState){
		"no code":                          func(s *messages.VoucherState) { s.Code = "" },
		"used twice":                       func(s *messages.VoucherState) { s.Used = append(s.Used, s.Used[0]) },
		"used by no cart":                  func(s *messages.VoucherState) { s.Used[0].Cart = "" },
		"kept for a cart that has used it": func(s *messages.VoucherState) { s.Open[0].Cart = "C2" },
		"kept twice":                       func(s *messages.VoucherState) { s.Open = append(s.Open, s.Open[0]) },
		"kept under no name":               func(s *messages.VoucherState) { s.Open[0].Name = "" },
		"kept for no cart":                 func(s *messages.VoucherState) { s.Open[0].Cart = "/" },
		"kept since ever":                  func(s *messages.VoucherState) { s.Open[0].Until = -1 },
		"kept too often": func(s *messages.VoucherState) {
			for i := range maxReservations {
				s.Open = append(s.Open, &messages.VoucherState_Reservation{Cart: "C1", Name: fmt.Sprint(i)})
			}
		},
		"of the future":               func(s *messages.VoucherState) { unknownField(s) },
		"a use of the future":         func(s *messages.VoucherState) { unknownField(s.Used[0]) },
		"a reservation of the future": func(s *messages.VoucherState) { unknownField(s.Open[0]) },
	} {
		var s messages.VoucherState
		if err := proto.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		change(&s)
		changed, err := proto.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeUsesState(changed); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func TestVouchersStateHasEveryField(t *testing.T) {
	b := newTill()
	b.tell(t, &messages.UseReserved{Code: "V", Cart: "C1", Reservation: "a", UserId: "ada", Until: 5})
	b.tell(t, &messages.UseConfirmed{Cart: "C2", Reservation: "b", UserId: "bob"})
	set := map[string]bool{}
	fieldsOf(reflect.ValueOf(b.voucher), "Voucher", set)
	for path, set := range set {
		if !set {
			t.Errorf("%s is zero: set it here, so that this test sees whether it comes back", path)
		}
	}
	if len(set) < 10 {
		t.Errorf("found only %d fields", len(set))
	}
	b.clone(t)
}

func TestCartIsAskedAboutWhatIsKeptForLong(t *testing.T) {
	b := newTill()
	for i := range maxShown + 9 {
		b.tell(t, &messages.UseReserved{Code: "V", Cart: fmt.Sprint("C", i), Reservation: fmt.Sprint("r-", i), UserId: "u", Until: int64(1000 + i)})
	}
	view := appendUses(nil, &b.voucher, actor.Info{})
	if !json.Valid(view) {
		t.Fatalf("view %s", view)
	}
	uses, lapsed, err := Uses(view, "", time.UnixMilli(1003))
	if err != nil || uses != maxShown+9 || len(lapsed) != 3 || lapsed[0].To != "C0" || lapsed[0].Kind != "cart" {
		t.Fatalf("%d uses, errands %v, error %v; want the first three", uses, lapsed, err)
	}
	if uses, _, err := Uses(view, "C1", time.Time{}); err != nil || uses != maxShown+8 {
		t.Errorf("%d uses beside its own, error %v; want one less", uses, err)
	}
	for _, tc := range []struct {
		decided *actor.Reply
		want    actor.Mutation
	}{
		{&actor.Reply{}, &messages.UseReleased{Cart: "C0", Reservation: "r-0"}},
		{&actor.Reply{Refusal: actor.Refuse(codeOrdered, "…")}, &messages.UseConfirmed{Cart: "C0", Reservation: "r-0", UserId: "u"}},
		{&actor.Reply{Refusal: actor.Refuse(codeFrozen, "…")}, nil},
	} {
		cmd := lapsed[0].Report(tc.decided)
		if tc.want == nil {
			if len(cmd.Steps) != 0 {
				t.Errorf("%v: tells %v", tc.decided.Refusal, cmd.Steps[0].Mutation)
			}
			continue
		}
		if !proto.Equal(cmd.Steps[0].Mutation.(proto.Message), tc.want.(proto.Message)) {
			t.Errorf("%v: tells %v, want %v", tc.decided.Refusal, cmd.Steps[0].Mutation, tc.want)
		}
	}
	if _, lapsed, _ := Uses(view, "", time.UnixMilli(1<<40)); len(lapsed) != maxShown {
		t.Errorf("%d errands at once, want %d", len(lapsed), maxShown)
	}
	if _, _, err := Uses([]byte("[]"), "", time.Time{}); err == nil {
		t.Error("no error for what is no view")
	}
}

// fuzzUse feeds payloads to the handler of one mutation of a voucher.
func fuzzUse(f *testing.F, name string) {
	for _, m := range everyUse() {
		payload, err := AppendPayload(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := newTill()
		for _, m := range everyUse()[:1] {
			b.tell(t, m)
		}
		b.tell(t, &messages.UseConfirmed{Cart: "C2", Reservation: "r-2", UserId: "u"})
		if m, err := b.registry.Decode(name, payload); err == nil {
			b.tell(t, m)
			b.clone(t)
		}
	})
}

func FuzzUseReserved(f *testing.F)  { fuzzUse(f, "UseReserved") }
func FuzzUseReleased(f *testing.F)  { fuzzUse(f, "UseReleased") }
func FuzzUseConfirmed(f *testing.F) { fuzzUse(f, "UseConfirmed") }

func FuzzDecodeVoucherState(f *testing.F) {
	b := newTill()
	for _, m := range everyUse()[:1] {
		b.tell(f, m)
	}
	f.Add(appendUsesState(nil, &b.voucher))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := decodeUsesState(data)
		if err != nil {
			return
		}
		if err := checkUses(v); err != nil {
			t.Fatal(err)
		}
		again, err := decodeUsesState(appendUsesState(nil, v))
		if err != nil || diffVouchers(v, again) != "" || !bytes.Equal(appendUsesState(nil, again), appendUsesState(nil, v)) {
			t.Fatalf("comes back as another: %v", err)
		}
	})
}

// shopFloor is carts, one voucher with a limit, and servers that can die at any step.
type shopFloor struct {
	*world
	till  *till
	limit int64
	kept  map[string]*messages.UseReserved // by the server of each cart, which is about to ask it
	names int
}

// ask is world's, for vouchers too.
func (w *shopFloor) ask(t interface{ Fatalf(string, ...any) }, kind, id string, cmd actor.Command) *actor.Reply {
	if kind == string(eventlog.KindCart) {
		return w.world.ask(t, id, cmd)
	}
	if code := w.till.tell(t, cmd.Steps[0].Mutation); code != "" && code != "same" {
		return &actor.Reply{Refusal: actor.Refuse(code, "…")}
	}
	return &actor.Reply{}
}

// carry does a whole errand, or its first half alone.
func (w *shopFloor) carry(t interface{ Fatalf(string, ...any) }, kind, id string, e actor.Errand, whole bool) {
	decided := w.ask(t, e.Kind, e.To, e.Command)
	if cmd := e.Report(decided); whole && len(cmd.Steps) > 0 {
		w.ask(t, kind, id, cmd)
	}
}

func step(m actor.Mutation) actor.Command { return actor.Command{Steps: []actor.Step{{Mutation: m}}} }

// check fails if more carts are ordered with the voucher, or may be, than its limit allows.
func (w *shopFloor) check(t *rapid.T) {
	using := 0
	for _, b := range w.carts {
		for _, v := range b.cart.vouchers {
			if v.obstacle == applies && (b.cart.status == StatusOrdered || b.cart.status == StatusCheckout) {
				using++
				if !v.reserved {
					t.Fatalf("a cart is paid with a voucher that keeps nothing for it: %s", b.view())
				}
			}
		}
	}
	if int64(using) > w.limit {
		t.Fatalf("%d carts are paid with the voucher, its limit is %d", using, w.limit)
	}
}

func TestVoucherLimitHoldsInAnyOrderOfSteps(t *testing.T) {
	ids := []string{"C0", "C1", "C2", "C3", "C4"}
	rapid.Check(t, func(t *rapid.T) {
		w := &shopFloor{world: newWorld(ids...), till: newTill(), limit: rapid.Int64Range(1, 3).Draw(t, "limit"), kept: map[string]*messages.UseReserved{}}
		for _, id := range ids {
			w.ask(t, "cart", id, step(item("A", 1, 1000, 2500)))
			w.ask(t, "cart", id, step(&messages.AddVoucher{Code: "V", Kind: kindAmount, Value: 100, UsageLimit: w.limit}))
		}
		some := rapid.SampledFrom(ids)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			id := some.Draw(t, "cart")
			cart := &w.carts[id].cart
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0, 1: // a server asks the voucher
				w.names++
				use := &messages.UseReserved{Code: "V", Cart: id, Reservation: fmt.Sprint("r-", w.names), Limit: w.limit}
				if r := w.ask(t, "voucher", "V", step(use)); r.Refusal == nil {
					w.kept[id] = use
				}
			case 2, 3: // and then the cart
				use := w.kept[id]
				if use == nil {
					continue
				}
				delete(w.kept, id)
				init := &messages.InitializeCheckout{OrderId: "o", TtlMillis: 3, LimitsHeld: true, Reservation: use.Reservation, Reserved: []string{"V"}}
				if r := w.ask(t, "cart", id, step(init)); r.Refusal != nil && rapid.Bool().Draw(t, "released") {
					w.ask(t, "voucher", "V", ReleaseErrand("V", id, use.Reservation).Command)
				}
			case 4:
				w.ask(t, "cart", id, step(&messages.OrderCreated{OrderId: "o"}))
			case 5:
				w.ask(t, "cart", id, step(&messages.AbortCheckout{}))
			case 6:
				w.carts[id].version += 5 // time passes
				w.ask(t, "cart", id, step(&messages.CheckoutExpired{}))
			case 7: // an errand of the cart, perhaps cut off
				if all := errands(id, cart); len(all) > 0 {
					w.carry(t, "cart", id, all[rapid.IntRange(0, len(all)-1).Draw(t, "errand")], rapid.Bool().Draw(t, "whole"))
				}
			case 8: // the voucher asks about what is kept for long: the server that wanted it has gone
				_, lapsed, err := Uses(appendUses(nil, &w.till.voucher, actor.Info{}), "", time.UnixMilli(1))
				if err != nil || len(lapsed) == 0 {
					continue
				}
				e := lapsed[rapid.IntRange(0, len(lapsed)-1).Draw(t, "lapsed")]
				maps.DeleteFunc(w.kept, func(_ string, use *messages.UseReserved) bool { return "lapsed "+use.Reservation == e.Name })
				w.carry(t, "voucher", "V", e, rapid.Bool().Draw(t, "whole"))
			case 9: // the server dies
				clear(w.kept)
			}
			w.check(t)
		}
		// In the end the voucher knows, and what nobody wants is free again.
		for range 3 {
			for _, id := range ids {
				w.ask(t, "cart", id, step(&messages.AbortCheckout{}))
				for _, e := range errands(id, &w.carts[id].cart) {
					w.carry(t, "cart", id, e, true)
				}
			}
			_, lapsed, _ := Uses(appendUses(nil, &w.till.voucher, actor.Info{}), "", time.UnixMilli(1))
			for _, e := range lapsed {
				w.carry(t, "voucher", "V", e, true)
			}
		}
		var ordered []string
		for _, id := range ids {
			if w.carts[id].cart.status == StatusOrdered {
				ordered = append(ordered, id)
			}
			if w.carts[id].cart.unsettled() {
				t.Fatalf("cart %s is not settled", id)
			}
		}
		if used := slices.Sorted(maps.Keys(w.till.voucher.used)); !slices.Equal(used, ordered) || len(w.till.voucher.open) != 0 {
			t.Fatalf("the voucher was used by %v and keeps %v, want %v and nothing", used, w.till.voucher.open, ordered)
		}
	})
}
