package grain

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// everyMutation returns one of each, made for a cart with line 1 and delivery 1.
func everyMutation() []actor.Mutation {
	return []actor.Mutation{
		&messages.CartCreated{}, &messages.CartDeleted{}, &messages.CartExpired{}, &messages.SetUserId{UserId: "u-9"},
		item("Z", 1, 1, 0), &messages.RemoveItem{Id: 1}, &messages.ChangeQuantity{Id: 1, Quantity: 9},
		&messages.LineItemAttributes{Id: 1, Attributes: map[string]string{"a": "b"}}, &messages.LineItemMarking{Id: 1}, &messages.RemoveLineItemMarking{Id: 1},
		&messages.ClearCart{}, &messages.UpsertSubscriptionDetails{},
		&messages.SetDelivery{Provider: "p", Items: []uint32{1}}, &messages.RemoveDelivery{Id: 1},
		&messages.SetPickupPoint{DeliveryId: 1, PickupPoint: &messages.PickupPoint{Id: "p"}},
		&messages.AddVoucher{Code: "V9", Kind: kindAmount, Value: 1, Skus: []string{"A"}}, &messages.RemoveVoucher{Id: 1},
		&messages.RefreshPrices{Lines: []*messages.RefreshPrices_Line{{Id: 1, Price: 77, Tax: 600}}},
		&messages.InitializeCheckout{OrderId: "o-9"}, &messages.AbortCheckout{}, &messages.CheckoutExpired{}, &messages.OrderCreated{OrderId: "o-9"},
		&messages.MergeCart{From: "C9", Items: []*messages.AddItem{item("Y", 1, 1, 0)}, Ids: []uint32{4}}, &messages.MergeStarted{Into: "C9"},
		&messages.CartMerged{Into: "C9", Started: 1}, &messages.MergeAborted{Into: "C9", Started: 1},
		&messages.VoucherRefused{Code: "V9", Reason: ReasonUsedUp}, &messages.VoucherSettled{Code: "V9", Reservation: "r"}, &messages.VoucherLapsed{Code: "V9", Reservation: "r"},
		&messages.BranchForked{From: MainBranch, Version: 1}, &messages.BranchPromoted{Branch: "gift"}, &messages.BranchDeleted{},
	}
}

// inCheckout is a cart of 100 that waits for the payment of o-1.
func inCheckout(t *testing.T) *bench {
	b := newBench()
	b.must(t, item("A", 1, 100, 2500), &messages.SetDelivery{Provider: "p", Items: []uint32{1}}, &messages.InitializeCheckout{OrderId: "o-1"})
	return b
}

func TestACartThatIsNotOpenRefusesWithItsReason(t *testing.T) {
	ordered, deleted, merged, gone := inCheckout(t), newBench(), newBench(), newBench()
	gone.must(t, item("A", 1, 100, 2500), &messages.CartExpired{})
	ordered.must(t, &messages.OrderCreated{OrderId: "o-1", Status: "paid"})
	deleted.must(t, item("A", 1, 100, 2500), &messages.CartDeleted{})
	merged.cart.status = StatusMerged
	for _, m := range everyMutation() {
		switch m.(type) {
		case *messages.BranchForked, *messages.BranchDeleted: // not of main: see branch_test.go
			continue
		case *messages.VoucherSettled, *messages.VoucherLapsed: // whatever the cart has become, the voucher may go
			for _, b := range []*bench{ordered, deleted, merged, gone, inCheckout(t)} {
				b.unchanged(t, m)
			}
			continue
		}
		_, created := m.(*messages.CartCreated)
		expect := func(b *bench, code string) {
			if created && b != deleted {
				code = codeExists
			}
			b.refused(t, m, code, "")
		}
		expect(ordered, codeOrdered)
		expect(deleted, codeDeleted)
		expect(merged, codeMerged)
		if _, is := m.(*messages.CartExpired); is {
			gone.unchanged(t, m)
		} else {
			expect(gone, codeExpired)
		}
		switch m.(type) {
		case *messages.AbortCheckout:
		default:
			expect(inCheckout(t), codeFrozen)
		}
	}
}

func TestTheFirstMutationMakesTheCart(t *testing.T) {
	b := newBench()
	b.refused(t, &messages.LineItemAttributes{Id: 1}, codeItemNotFound, "")
	b.refused(t, &messages.CartDeleted{}, codeNotFound, "")
	b.refused(t, &messages.RemoveItem{Id: 1}, codeItemNotFound, "")
	b.unchanged(t, &messages.ClearCart{})
	b.must(t, item("A", 1, 1, 0))
	if b.cart.Status() != StatusOpen {
		t.Errorf("status %q, want an open cart", b.cart.Status())
	}
	b.refused(t, &messages.CartCreated{}, codeExists, "")
	b.must(t, &messages.CartDeleted{})
	if b.cart.Status() != StatusDeleted || !b.cart.Empty() {
		t.Errorf("deleted: %s", b.view())
	}
}

func TestCartCreatedChecksWhatItCarries(t *testing.T) {
	b := newBench()
	b.refused(t, &messages.CartCreated{Currency: "PENCE"}, codeInvalid, "currency")
	b.refused(t, &messages.CartCreated{Country: "G"}, codeInvalid, "country")
	b.refused(t, &messages.CartCreated{UserId: strings.Repeat("u", 129)}, codeInvalid, "userId")
	b.must(t, &messages.CartCreated{Currency: "GBP", Country: "gB", UserId: "u-1"})
	if b.cart.Currency() != "GBP" || b.cart.country != "GB" || b.cart.UserID() != "u-1" {
		t.Errorf("got %s", b.view())
	}
}

func TestCheckoutFreezesTheCartForOneOrder(t *testing.T) {
	b := newBench()
	b.refused(t, &messages.InitializeCheckout{OrderId: "o-1"}, codeEmpty, "")
	b.must(t, item("A", 2, 100, 2500))
	b.refused(t, &messages.AbortCheckout{}, codeNotInCheckout, "")
	b.refused(t, &messages.OrderCreated{OrderId: "o-1"}, codeNotInCheckout, "")
	b.refused(t, &messages.InitializeCheckout{}, codeInvalid, "orderId")
	b.refused(t, &messages.InitializeCheckout{OrderId: strings.Repeat("o", 65)}, codeInvalid, "orderId")
	b.refused(t, &messages.InitializeCheckout{OrderId: "o\t"}, codeInvalid, "orderId")
	b.refused(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(199))}, codeTotalChanged, "expectedTotal")
	b.must(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(200))})
	if cart := decodeView(t, []byte(b.view())); cart.Status != "checkout" || !cart.PaymentInProgress || cart.OrderReference != "o-1" || cart.Processing {
		t.Errorf("in checkout: %s", b.view())
	}

	b.unchanged(t, &messages.InitializeCheckout{OrderId: "o-1"})
	b.unchanged(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(200))})
	b.refused(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(1))}, codeTotalChanged, "expectedTotal")
	b.refused(t, &messages.InitializeCheckout{OrderId: "o-2", ExpectedTotal: new(int64(200))}, codeFrozen, "")
	b.must(t, &messages.AbortCheckout{})
	if cart := decodeView(t, []byte(b.view())); cart.Status != "open" || cart.PaymentInProgress || cart.OrderReference != "" {
		t.Errorf("after the abort: %s", b.view())
	}
	b.must(t, item("A", 1, 100, 2500), &messages.InitializeCheckout{OrderId: "o-2"})
}

func TestAnOrderIsCreatedOnce(t *testing.T) {
	b := inCheckout(t)
	b.refused(t, &messages.OrderCreated{OrderId: "o-1", Status: strings.Repeat("x", 65)}, codeInvalid, "status")
	b.must(t, &messages.OrderCreated{OrderId: "o-1", Status: "authorised"})
	b.unchanged(t, &messages.OrderCreated{OrderId: "o-1", Status: "authorised"})
	b.unchanged(t, &messages.OrderCreated{OrderId: "o-1", Status: "captured"})
	b.refused(t, &messages.OrderCreated{OrderId: "o-2", Status: "authorised"}, codeOrdered, "")
	if cart := decodeView(t, []byte(b.view())); cart.Status != "ordered" || cart.PaymentInProgress || cart.OrderReference != "o-1" || cart.PaymentStatus != "authorised" {
		t.Errorf("ordered: %s", b.view())
	}
}

func TestABoundCartStaysWithItsUser(t *testing.T) {
	b := newBench()
	b.must(t, &messages.SetUserId{UserId: "u-1"})
	b.unchanged(t, &messages.SetUserId{UserId: "u-1"})
	b.refused(t, &messages.SetUserId{UserId: "u-2"}, codeUserBound, "")
	b.refused(t, &messages.SetUserId{}, codeInvalid, "userId")
	b.refused(t, &messages.SetUserId{UserId: "\n", Rebind: true}, codeInvalid, "userId")
	b.must(t, &messages.SetUserId{UserId: "u-2", Rebind: true})
	if got := b.cart.UserID(); got != "u-2" {
		t.Errorf("bound to %s, want u-2", got)
	}
}

func TestSubscriptionDetailsWithoutAnIDGetTheEvents(t *testing.T) {
	b := newBench()
	b.must(t, &messages.UpsertSubscriptionDetails{OfferingCode: "o", Data: `{"a":1}`})
	id := metaAt(1).ID.String()
	if got := b.cart.subscriptions[id]; got.offeringCode != "o" || len(b.cart.subscriptions) != 1 {
		t.Errorf("got %v, want details of %s", b.cart.subscriptions, id)
	}
	b.unchanged(t, &messages.UpsertSubscriptionDetails{Id: &id, OfferingCode: "o", Data: `{"a":1}`})
	b.must(t, &messages.UpsertSubscriptionDetails{Id: &id, OfferingCode: "p"})
	b.refused(t, &messages.UpsertSubscriptionDetails{Data: "{"}, codeInvalid, "data")
	b.refused(t, &messages.UpsertSubscriptionDetails{Data: `"` + strings.Repeat("x", 16<<10) + `"`}, codeInvalid, "data")
	b.refused(t, &messages.UpsertSubscriptionDetails{Id: new("a\x01")}, codeInvalid, "id")

	old := newBench()
	meta := metaAt(5)
	meta.ID = uuid.Nil
	if err := old.registry.Apply(&old.cart, &messages.UpsertSubscriptionDetails{}, meta); err != nil {
		t.Fatal(err)
	}
	if _, ok := old.cart.subscriptions["v5"]; !ok {
		t.Errorf("got %v, want details of v5", old.cart.subscriptions)
	}
	for range maxSubscriptions - 2 {
		b.version++
		b.must(t, &messages.UpsertSubscriptionDetails{})
	}
	b.must(t, &messages.UpsertSubscriptionDetails{})
	b.refused(t, &messages.UpsertSubscriptionDetails{}, codeInvalid, "")
}

func TestNoMutationAtAllIsRefused(t *testing.T) {
	b := newBench()
	b.refused(t, (*messages.AddItem)(nil), codeInvalid, "")
	b.refused(t, (*messages.CartCreated)(nil), codeInvalid, "")
}
