package grain

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/messages"
)

// withLimits is a cart of 1000 with two limited vouchers that apply, and one that does not.
func withLimits(t testing.TB) *bench {
	b := newBench()
	b.must(t, item("A", 1, 1000, 2500), &messages.SetUserId{UserId: "u"},
		&messages.AddVoucher{Code: "L1", Kind: kindAmount, Value: 100, UsageLimit: 3},
		&messages.AddVoucher{Code: "L2", Kind: kindAmount, Value: 100, OncePerUser: true},
		&messages.AddVoucher{Code: "L3", Kind: kindAmount, Value: 100, UsageLimit: 3, MinTotal: 9999},
		&messages.AddVoucher{Code: "FREE", Kind: kindAmount, Value: 100})
	return b
}

func pay(reservation string, codes ...string) *messages.InitializeCheckout {
	return &messages.InitializeCheckout{OrderId: "o", LimitsHeld: true, Reservation: reservation, Reserved: codes}
}

func TestCheckoutNeedsWhatItsVouchersKeep(t *testing.T) {
	b := withLimits(t)
	for _, m := range []*messages.InitializeCheckout{pay(""), pay("r-1", "L1"), pay("r-1", "L2", "L3", "FREE")} {
		b.refused(t, m, CodeReservation, "")
	}
	b.refused(t, pay("", "L1", "L2"), codeInvalid, "reservation")
	b.refused(t, pay("r-1", "L1", "L2", ""), codeInvalid, "reserved")
	b.refused(t, pay("r-1", make([]string, maxVouchers+1)...), codeInvalid, "reserved")
	b.refused(t, &messages.InitializeCheckout{OrderId: "o", Reservation: "r-1"}, codeInvalid, "limitsHeld")
	b.must(t, pay("r-1", "L2", "L1", "L1"))
	if b.cart.reservation != "r-1" || len(b.cart.settlements) != 0 {
		t.Errorf("reservation %q, settlements %v", b.cart.reservation, b.cart.settlements)
	}
	b.unchanged(t, pay(""))
	b.unchanged(t, pay("r-1", "L1", "L2"))
	b.refused(t, pay("r-2", "L1", "L2"), CodeReservation, "") // of another caller, to whom it is of no use
	b.refused(t, &messages.VoucherLapsed{Code: "L1", Reservation: "r-1"}, codeFrozen, "")
	b.unchanged(t, &messages.VoucherLapsed{Code: "L1", Reservation: "r-2"})
	b.unchanged(t, &messages.VoucherLapsed{Code: "FREE", Reservation: "r-1"})
}

// told returns what a cart tells which vouchers.
func told(b *bench) (all []string) {
	for _, e := range errands("C1", &b.cart) {
		all = append(all, e.To+" "+string(e.Command.Steps[0].Mutation.(proto.Message).ProtoReflect().Descriptor().Name()))
	}
	return all
}

func TestVouchersAreToldWhatHasBecomeOfTheCheckout(t *testing.T) {
	b := withLimits(t)
	b.must(t, pay("r-1", "L1", "L2", "L3", "GONE")) // two of which it does not need
	if got := told(b); !slices.Equal(got, []string{"GONE UseReleased", "L3 UseReleased"}) {
		t.Errorf("tells %v", got)
	}
	b.must(t, &messages.VoucherSettled{Code: "L3", Reservation: "r-1"}, &messages.VoucherSettled{Code: "GONE", Reservation: "r-1"})
	b.unchanged(t, &messages.VoucherSettled{Code: "GONE", Reservation: "r-1"})
	b.must(t, &messages.AbortCheckout{})
	if got := told(b); !slices.Equal(got, []string{"L1 UseReleased", "L2 UseReleased"}) {
		t.Errorf("tells %v", got)
	}
	if cart := decodeView(t, []byte(b.view())); !cart.Processing || cart.Status != "open" {
		t.Errorf("view %s, want it to be processing", b.view())
	}
	b.unchanged(t, &messages.VoucherLapsed{Code: "L1", Reservation: "r-1"})
	b.must(t, &messages.VoucherSettled{Code: "L1", Reservation: "r-1"}, pay("r-2", "L1", "L2"), &messages.OrderCreated{OrderId: "o"})
	if got := told(b); !slices.Equal(got, []string{"L2 UseReleased", "L1 UseConfirmed", "L2 UseConfirmed"}) {
		t.Errorf("tells %v", got)
	}
	for _, e := range errands("C1", &b.cart) {
		b.must(t, e.Report(nil).Steps[0].Mutation)
	}
	if b.cart.unsettled() {
		t.Errorf("settlements %v", b.cart.settlements)
	}
	b.refused(t, &messages.VoucherLapsed{Code: "L1", Reservation: "r-2"}, codeOrdered, "")
	b.unchanged(t, &messages.VoucherLapsed{Code: "L1", Reservation: "r-1"})
}

func TestDeletedCartStillGivesBackWhatWasKept(t *testing.T) {
	b := withLimits(t)
	b.must(t, pay("r-1", "L1", "L2"), &messages.AbortCheckout{}, &messages.CartDeleted{})
	if got := told(b); len(got) != 2 {
		t.Errorf("tells %v", got)
	}
	same(t, b, restored(t, b))
	b.must(t, &messages.VoucherSettled{Code: "L1", Reservation: "r-1"}, &messages.VoucherSettled{Code: "L2", Reservation: "r-1"})
}

func TestVoucherThatIsUsedUpTakesNothingOffUntilItIsAddedAgain(t *testing.T) {
	b := withLimits(t)
	b.refused(t, &messages.VoucherRefused{Code: "L9", Reason: ReasonUsedUp}, codeVoucherNotFound, "")
	b.refused(t, &messages.VoucherRefused{Code: "L1", Reason: "why not"}, codeInvalid, "reason")
	b.must(t, &messages.VoucherRefused{Code: "L1", Reason: ReasonUsedUp}, &messages.VoucherRefused{Code: "L2", Reason: ReasonUsedByUser})
	b.unchanged(t, &messages.VoucherRefused{Code: "L1", Reason: ReasonUsedUp})
	cart := decodeView(t, []byte(b.view()))
	if cart.TotalPrice.IncVat != 900 || cart.Vouchers[0].Reason != reasonUsedUp || cart.Vouchers[1].Reason != reasonUsedByUser {
		t.Errorf("cart %s", b.view())
	}
	var views []VoucherView
	for _, v := range cart.Vouchers {
		views = append(views, VoucherView{v.Code, v.Applied, v.Reason, v.Rules})
	}
	if got := LimitedVouchers(views); !slices.Equal(got, []Limited{{"L3", 3, false, false}}) {
		t.Errorf("limited vouchers %v, want the one that is not barred", got)
	}
	b.must(t, item("B", 1, 1, 0)) // still barred
	if got := decodeView(t, []byte(b.view())).TotalPrice.IncVat; got != 901 {
		t.Errorf("total %d", got)
	}
	again := &messages.AddVoucher{Code: "L1", Kind: kindAmount, Value: 100, UsageLimit: 3, UsedUp: true}
	b.unchanged(t, again)
	again.UsedUp = false
	b.must(t, again)
	cart = decodeView(t, []byte(b.view()))
	if cart.TotalPrice.IncVat != 801 || cart.Vouchers[0].ID != 1 || !cart.Vouchers[0].Applied {
		t.Errorf("cart %s", b.view())
	}
	for i := range views {
		views[i] = VoucherView{cart.Vouchers[i].Code, cart.Vouchers[i].Applied, cart.Vouchers[i].Reason, cart.Vouchers[i].Rules}
	}
	if got := LimitedVouchers(views); !slices.Equal(got, []Limited{{"L1", 3, false, true}, {"L3", 3, false, false}}) {
		t.Errorf("limited vouchers %v", got)
	}
}

func TestCheckoutsThatVouchersHaveNotHeardOfAreBounded(t *testing.T) {
	b := withLimits(t)
	for i := 0; ; i++ {
		err := b.apply(pay("r", "L1", "L2"))
		if err != nil {
			b.refused(t, pay("r", "L1", "L2"), "unavailable", "")
			break
		}
		b.must(t, &messages.AbortCheckout{})
		if i > maxSettlements {
			t.Fatal("no bound")
		}
	}
	same(t, b, restored(t, b))
}
