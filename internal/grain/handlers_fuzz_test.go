package grain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// fuzzHandler feeds payloads to the handler of one mutation, on main and on branches of carts in several states: it never
// panics, a refused mutation changes nothing, and an accepted one leaves a consistent cart which a replay of the payload
// makes as well.
func fuzzHandler(f *testing.F, name string) {
	for _, m := range append(everyMutation(), seedMutations()...) {
		registered, _ := Registry(Limits{}).Name(m)
		if registered != name {
			continue
		}
		payload, err := AppendPayload(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		for at := range byte(len(fuzzStates)) { // main
			f.Add(at, payload)
		}
		for branch := 1; branch < len(fuzzBranches); branch++ { // of fullCart
			f.Add(byte(branch*len(fuzzStates)+1), payload)
		}
	}
	f.Add(byte(0), []byte(`{}`))
	f.Add(byte(1), []byte(`null`))
	registry := Registry(Limits{})
	f.Fuzz(func(t *testing.T, at byte, payload []byte) {
		m, err := registry.Decode(name, payload)
		if err != nil {
			return
		}
		prepare, branch := fuzzStates[int(at)%len(fuzzStates)], fuzzBranches[int(at)/len(fuzzStates)%len(fuzzBranches)]
		b := newBranched()
		b.prepare(t, prepare())
		before := b.cart.Clone()
		switch err := b.on(branch, m); {
		case err == nil:
			stored, err := AppendPayload(nil, m)
			if err != nil {
				t.Fatalf("%s %s was accepted and cannot be stored: %v", name, payload, err)
			}
			again, err := registry.Decode(name, stored)
			if err != nil {
				t.Fatalf("%s %s was stored as %s: %v", name, payload, stored, err)
			}
			replayed := newBranched()
			replayed.prepare(t, prepare())
			if err := replayed.on(branch, again); err != nil {
				t.Fatalf("replay of %s %s: %v", name, stored, err)
			}
			if diff := diffCarts(&b.cart, &replayed.cart); diff != "" {
				t.Fatalf("%s %s (-live +replayed):\n%s", name, payload, diff)
			}
		default:
			if _, refused := errors.AsType[*actor.Refusal](err); !refused && !errors.Is(err, actor.NoChange) {
				t.Fatalf("%s %s: got %v, want a refusal or NoChange", name, payload, err)
			}
			if diff := diffCarts(before, &b.cart); diff != "" {
				t.Fatalf("%s %s: got %v, and yet the cart changed (-before +after):\n%s", name, payload, err, diff)
			}
		}
		if err := b.check(); err != nil {
			t.Fatalf("after %s %s: %v", name, payload, err)
		}
		decodeView(t, b.viewOf(branch))
	})
}

// fuzzBranches are the branches of those carts: two that there are, a closed one, and one that there is not.
var fuzzBranches = []string{"", "gift", "closed", "new"}

// fuzzStates make the carts that a handler may meet.
var fuzzStates = []func() []actor.Mutation{
	func() []actor.Mutation { return nil },
	fullCart,
	func() []actor.Mutation { return append(fullCart(), &messages.InitializeCheckout{OrderId: "o-9"}) },
	func() []actor.Mutation {
		return append(fullCart(), &messages.InitializeCheckout{OrderId: "o-9"}, &messages.OrderCreated{OrderId: "o-9"})
	},
	func() []actor.Mutation { return append(fullCart(), &messages.MergeStarted{Into: "C9"}) }, // as version 11
	func() []actor.Mutation {
		return append(fullCart(), &messages.MergeStarted{Into: "C9"}, &messages.CartMerged{Into: "C9", Started: 11})
	},
	func() []actor.Mutation { return append(fullCart(), &messages.CartDeleted{}) },
	func() []actor.Mutation { return append(fullCart(), &messages.CartExpired{}) },
	func() []actor.Mutation { return append(limitedCart(), &messages.AbortCheckout{}) },
	limitedCart,
	func() []actor.Mutation { return append(limitedCart(), &messages.OrderCreated{OrderId: "o-9"}) },
	func() []actor.Mutation { // more lines than an index is made for
		list := fullCart()
		for i := range 2 * indexFrom {
			list = append(list, item("many", 1, int64(200+i), 2500))
		}
		return list
	},
}

// limitedCart is one that is paid with two vouchers that are limited, one of which it does not need.
func limitedCart() []actor.Mutation {
	return append(fullCart(), &messages.AddVoucher{Code: "L1", Kind: kindAmount, Value: 9, UsageLimit: 3}, &messages.AddVoucher{Code: "L2", Kind: kindAmount, Value: 9, UsageLimit: 3, MinTotal: 9999},
		&messages.InitializeCheckout{OrderId: "o-9", LimitsHeld: true, Reservation: "r-1", Reserved: []string{"L1", "L2"}})
}

// fullCart has two of each part that a cart can have.
func fullCart() []actor.Mutation {
	child := item("B", 3, 50, 600)
	child.ParentId = new(uint32(1))
	return []actor.Mutation{
		&messages.CartCreated{Currency: "GBP", Country: "GB", UserId: "u-1"}, item("A", 2, 100, 2500), child,
		&messages.LineItemMarking{Id: 1, Type: 1, Marking: "To Ada"}, &messages.UpsertSubscriptionDetails{Id: new("s"), Data: "{}"},
		&messages.SetDelivery{Provider: "p", Items: []uint32{1}, Price: 490, Tax: 2500}, &messages.SetDelivery{Provider: "q", Items: []uint32{2}, Price: 9},
		&messages.AddVoucher{Code: "V1", Kind: kindPercent, Value: 1000}, &messages.AddVoucher{Code: "V2", Kind: kindAmount, Value: 70, Skus: []string{"B"}},
		&messages.RefreshPrices{Lines: []*messages.RefreshPrices_Line{{Id: 1, Price: 90, Tax: 2500}, {Id: 2, Gone: true}}},
	}
}

// seedMutations are further ones for the targets below to begin with.
func seedMutations() []actor.Mutation {
	return []actor.Mutation{
		item("A", 1<<62, maxPrice, 10_000), &messages.AddItem{Sku: "A", Quantity: 1, Price: 100, Tax: 2500, ParentId: new(uint32(2)), TaxLevel: "unit"},
		&messages.ChangeQuantity{Id: 1}, &messages.ChangeQuantity{Id: 2, Quantity: -1}, &messages.RemoveItem{Id: 2},
		&messages.SetDelivery{Provider: "p", Items: []uint32{2, 1}, Price: maxPrice, Tax: 10_000, PriceExVat: true},
		&messages.AddVoucher{Code: "V1", Kind: kindFreeDelivery}, &messages.AddVoucher{Code: "V3", Kind: kindAmount, Value: maxPrice, MinTotal: 1, ValidTo: "2099-01-01T00:00:00Z"},
		&messages.RemoveVoucher{Id: 2}, &messages.UpsertSubscriptionDetails{Id: new("s"), Data: `{"a":[]}`},
		&messages.RefreshPrices{}, &messages.RefreshPrices{Lines: []*messages.RefreshPrices_Line{{Id: 1, Price: maxPrice}, {Id: 1}, {Id: 99}}},
		&messages.InitializeCheckout{OrderId: "o-9", ExpectedTotal: new(int64(749)), TtlMillis: 1}, &messages.SetUserId{UserId: "u-2", Rebind: true},
		wholeFork(), &messages.BranchForked{From: "gift", Version: 2, Lines: []*messages.CartState_Line{nil}}, &messages.BranchPromoted{Branch: "closed"},
		wholeTakeover(), &messages.MergeCart{From: "C8", Again: true}, &messages.MergeCart{From: "C8", Currency: "EUR"}, &messages.MergeCart{From: "C8", UserId: "u-2"},
		&messages.MergeStarted{Into: "C9", IfVersion: new(uint64(3))}, &messages.CartMerged{Into: "C9", Started: 11}, &messages.MergeAborted{Into: "C9", Started: 11, Code: "c"},
		&messages.VoucherRefused{Code: "V1", Reason: ReasonUsedByUser}, &messages.VoucherSettled{Code: "L1", Reservation: "r-1"}, &messages.VoucherSettled{Code: "L2", Reservation: "r-1"},
		&messages.VoucherLapsed{Code: "L1", Reservation: "r-1"}, &messages.AddVoucher{Code: "V1", Kind: kindFreeDelivery, UsedUp: true},
		&messages.InitializeCheckout{OrderId: "o-9", LimitsHeld: true, Reservation: "r-2", Reserved: []string{"V1", "L1"}},
	}
}

// wholeFork is what a branch of fullCart begins with.
func wholeFork() *messages.BranchForked {
	b := newBench()
	for _, m := range fullCart() {
		_ = b.apply(m)
	}
	m := b.cart.content()
	m.From, m.Version = MainBranch, b.version
	return m
}

// wholeTakeover is what fullCart has to give.
func wholeTakeover() *messages.MergeCart {
	b := newBench()
	for _, m := range fullCart() {
		_ = b.apply(m)
	}
	return b.cart.takeover("C8")
}

func FuzzCartCreated(f *testing.F)               { fuzzHandler(f, "CartCreated") }
func FuzzCartDeleted(f *testing.F)               { fuzzHandler(f, "CartDeleted") }
func FuzzSetUserId(f *testing.F)                 { fuzzHandler(f, "SetUserId") }
func FuzzAddItem(f *testing.F)                   { fuzzHandler(f, "AddItem") }
func FuzzRemoveItem(f *testing.F)                { fuzzHandler(f, "RemoveItem") }
func FuzzChangeQuantity(f *testing.F)            { fuzzHandler(f, "ChangeQuantity") }
func FuzzLineItemAttributes(f *testing.F)        { fuzzHandler(f, "LineItemAttributes") }
func FuzzLineItemMarking(f *testing.F)           { fuzzHandler(f, "LineItemMarking") }
func FuzzRemoveLineItemMarking(f *testing.F)     { fuzzHandler(f, "RemoveLineItemMarking") }
func FuzzClearCart(f *testing.F)                 { fuzzHandler(f, "ClearCart") }
func FuzzUpsertSubscriptionDetails(f *testing.F) { fuzzHandler(f, "UpsertSubscriptionDetails") }
func FuzzSetDelivery(f *testing.F)               { fuzzHandler(f, "SetDelivery") }
func FuzzRemoveDelivery(f *testing.F)            { fuzzHandler(f, "RemoveDelivery") }
func FuzzSetPickupPoint(f *testing.F)            { fuzzHandler(f, "SetPickupPoint") }
func FuzzAddVoucher(f *testing.F)                { fuzzHandler(f, "AddVoucher") }
func FuzzRemoveVoucher(f *testing.F)             { fuzzHandler(f, "RemoveVoucher") }
func FuzzRefreshPrices(f *testing.F)             { fuzzHandler(f, "RefreshPrices") }
func FuzzInitializeCheckout(f *testing.F)        { fuzzHandler(f, "InitializeCheckout") }
func FuzzAbortCheckout(f *testing.F)             { fuzzHandler(f, "AbortCheckout") }
func FuzzCartExpired(f *testing.F)               { fuzzHandler(f, "CartExpired") }
func FuzzCheckoutExpired(f *testing.F)           { fuzzHandler(f, "CheckoutExpired") }
func FuzzOrderCreated(f *testing.F)              { fuzzHandler(f, "OrderCreated") }
func FuzzMergeCart(f *testing.F)                 { fuzzHandler(f, "MergeCart") }
func FuzzMergeStarted(f *testing.F)              { fuzzHandler(f, "MergeStarted") }
func FuzzCartMerged(f *testing.F)                { fuzzHandler(f, "CartMerged") }
func FuzzVoucherRefused(f *testing.F)            { fuzzHandler(f, "VoucherRefused") }
func FuzzVoucherSettled(f *testing.F)            { fuzzHandler(f, "VoucherSettled") }
func FuzzVoucherLapsed(f *testing.F)             { fuzzHandler(f, "VoucherLapsed") }
func FuzzMergeAborted(f *testing.F)              { fuzzHandler(f, "MergeAborted") }
func FuzzBranchForked(f *testing.F)              { fuzzHandler(f, "BranchForked") }
func FuzzBranchPromoted(f *testing.F)            { fuzzHandler(f, "BranchPromoted") }
func FuzzBranchDeleted(f *testing.F)             { fuzzHandler(f, "BranchDeleted") }

// Every mutation that a cart takes has a target above, and is among those of everyMutation: a new one is not forgotten.
func TestEveryMutationIsFuzzed(t *testing.T) {
	source, err := os.ReadFile("handlers_fuzz_test.go")
	if err != nil {
		t.Fatal(err)
	}
	r := Registry(Limits{})
	all := map[string]bool{}
	for _, m := range everyMutation() {
		name, _ := r.Name(m)
		all[name] = true
	}
	var types []string
	for _, file := range []protoreflect.FileDescriptor{messages.File_messages_proto, messages.File_branch_proto} {
		for i := range file.Messages().Len() {
			types = append(types, string(file.Messages().Get(i).Name()))
		}
	}
	registered := 0
	for _, name := range types {
		if _, ok := r.Create(name); !ok {
			continue // a request, or a part of a mutation
		}
		registered++
		if !all[name] {
			t.Errorf("%s is not among those of everyMutation", name)
		}
		if !bytes.Contains(source, fmt.Appendf(nil, "{ fuzzHandler(f, %q) }", name)) {
			t.Errorf("%s has no fuzz target", name)
		}
	}
	if registered < 31 {
		t.Errorf("%d mutations are registered, want all", registered)
	}
}
