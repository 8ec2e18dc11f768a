package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// withVoucher makes a cart of 15.30 with a voucher.
func (s *shop) withVoucher(code string) string {
	s.t.Helper()
	cart := s.cartOf("85123A", 6)
	s.want(s.request("POST", cart+"/vouchers", fmt.Sprintf(`{"code":%q}`, code)), 200, "")
	return cart
}

// usesOf returns how many carts were ordered with a voucher, and how many reservations it keeps, as its log has it.
func (s *shop) usesOf(code string) (used, kept int) {
	s.t.Helper()
	id, err := eventlog.ParseStreamID(eventlog.KindVoucher, grain.VoucherStream(code))
	if err != nil {
		s.t.Fatal(err)
	}
	for ev, err := range s.store.Read(s.t.Context(), id) {
		if err != nil {
			s.t.Fatal(err)
		}
		switch ev.Type {
		case "UseReserved":
			kept++
		case "UseReleased":
			kept--
		case "UseConfirmed":
			kept--
			used++
		}
	}
	return used, kept
}

// Users' complaint: a voucher that is limited to 3 is used 5 times.
func TestPeer11VoucherLimitIsHeldUnderConcurrency(t *testing.T) {
	s := openShop(t, nil)
	carts := make([]string, 50)
	for i := range carts {
		carts[i] = s.withVoucher("FIRST3")
	}
	var wg sync.WaitGroup
	answers := make([]answer, len(carts))
	for i, cart := range carts {
		wg.Go(func() { answers[i] = s.request("POST", cart+"/checkout", `{"orderId":"o","expectedTotal":530}`) })
	}
	wg.Wait()
	paying := 0
	for i, a := range answers {
		switch {
		case a.status == 200:
			paying++
			s.want(s.request("POST", carts[i]+"/order", `{"orderId":"o","status":"paid"}`, asBackend...), 200, "")
		case a.status != 409 || a.field("code") != "expected_total_changed" || a.field("cart.totalPrice.incVat") != "1530":
			t.Errorf("checkout %d: %d %s", i, a.status, a.body)
		}
	}
	if used, kept := s.usesOf("FIRST3"); paying != 3 || used != 3 || kept != 0 {
		t.Errorf("%d carts are paid with the voucher; it was used %d times and keeps %d uses; want 3, 3 and 0", paying, used, kept)
	}
	// It is shown before somebody tries to pay with it.
	a := s.want(s.request("GET", s.withVoucher("FIRST3"), ""), 200, "")
	if a.field("vouchers.0.applied") != "false" || a.field("vouchers.0.reason") != "It has been used as often as it may be." || a.field("totalPrice.incVat") != "1530" {
		t.Errorf("the next cart shows %s", a.body)
	}
}

func TestShopperIsToldBeforePayingMoreThanWasShown(t *testing.T) {
	s := openShop(t, nil)
	late := s.withVoucher("FIRST3")
	for range 3 {
		s.want(s.request("POST", s.withVoucher("FIRST3")+"/checkout", `{"orderId":"o"}`), 200, "")
	}
	a := s.want(s.request("POST", late+"/checkout", `{"orderId":"o"}`), 409, "expected_total_changed")
	if a.field("cart.totalPrice.incVat") != "1530" || a.field("cart.vouchers.0.applied") != "false" || a.field("cart.status") != "open" || a.field("mutations") != "" ||
		a.header.Get("ETag") != `"main-4"` || !strings.Contains(a.field("detail"), "FIRST3") {
		t.Errorf("the problem is %s", a.body)
	}
	// Now it was shown.
	if a := s.want(s.request("POST", late+"/checkout", `{"orderId":"o"}`), 200, ""); a.field("result.totalPrice.incVat") != "1530" {
		t.Errorf("the checkout is %s", a.body)
	}

	// Who says what he expects to pay is told only if it is something else.
	expects := s.withVoucher("FIRST3")
	if a := s.want(s.request("POST", expects+"/checkout", `{"orderId":"o","expectedTotal":1530}`), 200, ""); a.field("result.status") != "checkout" {
		t.Errorf("the checkout is %s", a.body)
	}
}

func TestUseIsGivenBackWhenTheCheckoutEndsWithoutAnOrder(t *testing.T) {
	s := openShop(t, nil)
	var carts []string
	for range 4 {
		carts = append(carts, s.withVoucher("FIRST3"))
	}
	for _, cart := range carts[:3] {
		a := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o","expectedTotal":530}`), 200, "")
		if a.field("result.vouchers.0.applied") != "true" {
			t.Errorf("the checkout is %s", a.body)
		}
	}
	a := s.want(s.request("DELETE", carts[0]+"/checkout", ""), 200, "")
	if a.field("result.status") != "open" || a.field("result.processing") != "false" || a.field("result.version") != "6" { // aborted, and the voucher knows
		t.Errorf("the abort is answered with %s", a.body)
	}
	if used, kept := s.usesOf("FIRST3"); used != 0 || kept != 2 {
		t.Errorf("used %d times, %d kept, want 0 and 2", used, kept)
	}
	s.want(s.request("POST", carts[3]+"/checkout", `{"orderId":"o","expectedTotal":530}`), 200, "")
	s.want(s.request("POST", carts[0]+"/checkout", `{"orderId":"o","expectedTotal":530}`), 409, "expected_total_changed")

	// The same checkout again, by whom ever, keeps nothing more; another order's is refused and keeps nothing.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { s.request("POST", carts[3]+"/checkout", `{"orderId":"o","expectedTotal":530}`) })
	}
	wg.Wait()
	s.want(s.request("POST", carts[3]+"/checkout", `{"orderId":"p"}`), 409, "cart_frozen")
	if used, kept := s.usesOf("FIRST3"); used != 0 || kept != 3 {
		t.Errorf("used %d times, %d kept, want 0 and 3", used, kept)
	}
}

func TestSimultaneousCheckoutsOfOneCartKeepOneUse(t *testing.T) {
	s := openShop(t, nil)
	cart := s.withVoucher("FIRST3")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var key []string
			if i%2 == 0 {
				key = []string{"Idempotency-Key", "pay"}
			}
			if a := s.request("POST", cart+"/checkout", `{"orderId":"o","expectedTotal":530}`, key...); a.status != 200 {
				t.Errorf("checkout: %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	s.want(s.request("POST", cart+"/order", `{"orderId":"o"}`, asBackend...), 200, "")
	w := s.courier.Watch("voucher", "FIRST3")
	defer w.Close()
	if _, err := w.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	reply, err := s.grains.Ask(timeout(t), "voucher", "FIRST3", &queryAll)
	if err != nil || !strings.Contains(string(viewOf(reply)), `"uses":1,"used":1,"open":[]`) {
		t.Errorf("the voucher is %s, %v; want one use, and nothing kept", viewOf(reply), err)
	}
}

func TestVoucherThatIsForEachUserOnce(t *testing.T) {
	s := openShop(t, nil)
	carts := make([]string, 3)
	for i, user := range []string{"ada", "ada", "bob"} {
		carts[i] = s.cartOf("85123A", 6)
		s.want(s.request("PUT", carts[i]+"/user", fmt.Sprintf(`{"userId":%q}`, user)), 200, "")
		if a := s.want(s.request("POST", carts[i]+"/vouchers", `{"code":"FRIENDS"}`), 200, ""); a.field("result.vouchers.0.applied") != "true" {
			t.Errorf("voucher %s", a.body)
		}
	}
	s.want(s.request("POST", carts[0]+"/checkout", `{"orderId":"o"}`), 200, "")
	a := s.want(s.request("POST", carts[1]+"/checkout", `{"orderId":"o"}`), 409, "expected_total_changed")
	if a.field("cart.vouchers.0.reason") != "It is for one order of each customer." {
		t.Errorf("the problem is %s", a.body)
	}
	s.want(s.request("POST", carts[2]+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("DELETE", carts[0]+"/checkout", ""), 200, "")
	// Added again, it is tried again.
	if a := s.want(s.request("POST", carts[1]+"/vouchers", `{"code":"FRIENDS"}`), 200, ""); a.field("result.vouchers.0.applied") != "true" || a.field("result.vouchers.0.id") != "1" {
		t.Errorf("voucher %s", a.body)
	}
	s.want(s.request("POST", carts[1]+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", carts[1]+"/order", `{"orderId":"o"}`, asBackend...), 200, "")
	s.want(s.request("POST", carts[0]+"/checkout", `{"orderId":"o"}`), 409, "expected_total_changed")
}

// addVoucher adds a voucher by a definition of the shop's backend.
func (s *shop) addVoucher(cart, definition string) {
	s.t.Helper()
	s.want(s.request("POST", cart+"/mutations", `{"mutations":[{"type":"AddVoucher","payload":`+definition+`}]}`, asBackend...), 200, "")
}

// beginsSoon makes a cart of 15.30 with a voucher of 10.00, for three carts, that did not apply when the cart was changed
// last, and does by now. and is told when there is time to change it.
func (s *shop) beginsSoon(code string, and func(cart string)) (cart string) {
	s.t.Helper()
	cart = s.cartOf("85123A", 6)
	s.addVoucher(cart, fmt.Sprintf(`{"code":%q,"kind":"amount","value":1000,"usageLimit":3,"validFrom":%q}`, code, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	and(cart)
	s.ahead.Store(int64(2 * time.Hour))
	if a := s.want(s.request("GET", cart, ""), 200, ""); a.field("vouchers.0.applied") != "false" || a.field("totalPrice.incVat") != "1530" {
		s.t.Errorf("the cart is shown as %s", a.body)
	}
	return cart
}

func TestVoucherForUsersDoesNotKeepAStrangerFromPaying(t *testing.T) {
	s := openShop(t, nil)
	cart := s.beginsSoon("SOON", func(cart string) {
		s.want(s.request("POST", cart+"/vouchers", `{"code":"FRIENDS"}`), 200, "")
	})
	a := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o","expectedTotal":530}`), 200, "")
	if a.field("result.vouchers.0.applied") != "true" || a.field("result.vouchers.1.reason") != "It is for shoppers who have logged in." {
		t.Errorf("the checkout is %s", a.body)
	}
	if used, kept := s.usesOf("SOON"); used != 0 || kept != 1 {
		t.Errorf("used %d times, %d kept, want 0 and 1", used, kept)
	}
}

func TestVoucherThatWasShownAsNotAppliedIsNoNewsWhenItIsUsedUp(t *testing.T) {
	s := openShop(t, nil)
	const onlyOne = `{"code":"ONE","kind":"amount","value":1,"minTotal":2000,"usageLimit":1}`
	other := s.cartOf("85123A", 60)
	s.addVoucher(other, onlyOne)
	s.want(s.request("POST", other+"/checkout", `{"orderId":"o"}`), 200, "")
	cart := s.beginsSoon("SOON", func(cart string) { s.addVoucher(cart, onlyOne) })
	if a := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, ""); a.field("result.totalPrice.incVat") != "530" {
		t.Errorf("the checkout is %s", a.body)
	}
}

// interruptedCarts calls between before the first cart is told that a voucher has no use left.
type interruptedCarts struct {
	api.Asker
	between func()
	armed   atomic.Bool
}

func (c *interruptedCarts) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	if cmd, ok := msg.(*actor.Command); ok {
		if _, ok := cmd.Steps[0].Mutation.(*messages.VoucherRefused); ok && c.armed.CompareAndSwap(true, false) {
			c.between()
		}
	}
	return c.Asker.Ask(ctx, kind, id, msg)
}

// Between the voucher's answer and the cart's the cart can change: then it is the cart's answer that counts.
func TestCartThatChangesWhileItsVouchersAreAskedIsAskedAgain(t *testing.T) {
	pay := [3]string{"POST", "/checkout", `{"orderId":"o"}`} // twice: the first one is told of the voucher
	for name, tc := range map[string]struct {
		between [][3]string
		status  int
		code    string
	}{
		"the voucher is taken away":         {[][3]string{{"DELETE", "/vouchers/1", ""}}, 200, ""},
		"another tab checks out":            {[][3]string{pay, pay}, 200, ""},
		"another order is checked out":      {[][3]string{pay, {"POST", "/checkout", `{"orderId":"p"}`}}, 409, "cart_frozen"},
		"the cart is deleted":               {[][3]string{{"DELETE", "", ""}}, 410, "cart_deleted"},
		"another tab is told of it as well": {[][3]string{pay}, 409, "expected_total_changed"},
	} {
		t.Run(name, func(t *testing.T) {
			carts := &interruptedCarts{}
			s := openShop(t, func(o *api.Options) { carts.Asker, o.Carts = o.Carts, carts })
			cart := s.withVoucher("FIRST3")
			for range 3 {
				s.want(s.request("POST", s.withVoucher("FIRST3")+"/checkout", `{"orderId":"o"}`), 200, "")
			}
			carts.between = func() {
				for _, req := range tc.between {
					s.request(req[0], cart+req[1], req[2])
				}
			}
			carts.armed.Store(true)
			a := s.want(s.request("POST", cart+pay[1], pay[2]), tc.status, tc.code)
			if a.status == 200 && a.field("result.totalPrice.incVat") != "1530" || carts.armed.Load() {
				t.Errorf("interrupted %t; the checkout is %s", !carts.armed.Load(), a.body)
			}
		})
	}
}

// A server that dies between the voucher and the cart leaves a use that nobody wants. Others find that out, in time.
func TestUseThatNobodyWantsIsFoundWhenItIsNeeded(t *testing.T) {
	s := openShop(t, nil)
	waiting, cutOff, paying := s.withVoucher("FIRST3"), s.withVoucher("FIRST3"), s.withVoucher("FIRST3")
	s.want(s.request("POST", paying+"/checkout", `{"orderId":"o"}`), 200, "")
	s.reserve("FIRST3", idOf(cutOff), "r-1", time.Now().Add(time.Hour).UnixMilli())
	s.reserve("FIRST3", "never-made", "r-2", time.Now().Add(time.Hour).UnixMilli())
	s.want(s.request("POST", waiting+"/checkout", `{"orderId":"o"}`), 409, "expected_total_changed")
	s.want(s.request("POST", waiting+"/vouchers", `{"code":"FIRST3"}`), 200, "") // it shows that it is used up

	// As if the hour were over: the same reservations again under other names, in place of those.
	s.release("FIRST3", idOf(cutOff), "r-1")
	s.release("FIRST3", "never-made", "r-2")
	s.reserve("FIRST3", idOf(cutOff), "r-3", 1)
	s.reserve("FIRST3", "never-made", "r-4", 1)
	if a := s.want(s.request("POST", waiting+"/vouchers", `{"code":"FIRST3"}`), 200, ""); a.field("result.vouchers.0.applied") != "true" {
		t.Errorf("the voucher keeps what nobody wants: %s", a.body)
	}
	s.want(s.request("POST", waiting+"/checkout", `{"orderId":"o","expectedTotal":530}`), 200, "")
	if used, kept := s.usesOf("FIRST3"); used != 0 || kept != 2 {
		t.Errorf("used %d times, %d kept, want 0 and 2", used, kept)
	}
	if got := s.stored(t, "/v1/carts/never-made"); got != 0 {
		t.Errorf("a cart that was never made has %d events", got)
	}
}

// So many checkouts of one cart are cut off that its voucher keeps no more for it: until their time is over, and no longer.
func TestCheckoutsThatWereCutOffDoNotKeepACartFromPayingForEver(t *testing.T) {
	s := openShop(t, nil)
	cart := s.withVoucher("FIRST3")
	for i := range 15 {
		s.reserve("FIRST3", idOf(cart), fmt.Sprint("old-", i), 1)
	}
	s.reserve("FIRST3", idOf(cart), "new", time.Now().Add(time.Hour).UnixMilli())
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
	if used, kept := s.usesOf("FIRST3"); used != 0 || kept != 2 {
		t.Errorf("used %d times, %d kept, want 0, and 2 of one cart", used, kept)
	}

	other := s.withVoucher("FIRST3")
	for i := range 16 {
		s.reserve("FIRST3", idOf(other), fmt.Sprint("other-", i), time.Now().Add(time.Hour).UnixMilli())
	}
	s.want(s.request("POST", other+"/checkout", `{"orderId":"o"}`), 503, "unavailable")
}

func TestVoucherIsNotUsedUpForACartThatItKeepsAUseFor(t *testing.T) {
	s := openShop(t, nil)
	cutOff := s.withVoucher("FIRST3")
	for i, cart := range []string{idOf(cutOff), "other-1", "other-2"} {
		s.reserve("FIRST3", cart, fmt.Sprint("r-", i), time.Now().Add(time.Hour).UnixMilli())
	}
	s.want(s.request("DELETE", cutOff+"/vouchers/1", ""), 200, "")
	if a := s.want(s.request("POST", cutOff+"/vouchers", `{"code":"FIRST3"}`), 200, ""); a.field("result.vouchers.0.applied") != "true" {
		t.Errorf("the cart that has the last use shows %s", a.field("result.vouchers.0"))
	}
	s.want(s.request("POST", cutOff+"/checkout", `{"orderId":"o","expectedTotal":530}`), 200, "")
}

func TestBackendsCheckoutHoldsLimitsToo(t *testing.T) {
	s := openShop(t, nil)
	pay := `{"mutations":[{"type":"InitializeCheckout","payload":{"orderId":"o","limitsHeld":false,"reservation":"mine","reserved":["FIRST3"]}}]}`
	for i := range 4 {
		cart := s.withVoucher("FIRST3") // the fourth one shows that it does not apply
		a := s.want(s.request("POST", cart+"/mutations", pay, asBackend...), 200, "")
		if applied := a.field("result.vouchers.0.applied"); applied != fmt.Sprint(i < 3) {
			t.Errorf("checkout %d: applied %s", i, applied)
		}
	}
	if used, kept := s.usesOf("FIRST3"); used != 0 || kept != 3 {
		t.Errorf("used %d times, %d kept, want 0 and 3", used, kept)
	}
	for _, typ := range []string{"VoucherRefused", "VoucherSettled", "VoucherLapsed"} {
		body := fmt.Sprintf(`{"mutations":[{"type":%q,"payload":{}}]}`, typ)
		s.want(s.request("POST", s.newCart()+"/mutations", body, asBackend...), 422, "validation_failed")
	}
}

// Whoever asks a cart in time finds that its checkout is over: that is stored before the use is given back.
func TestForgottenCheckoutGivesBackWhatWasKept(t *testing.T) {
	s := openForgetful(t)
	cart := s.withVoucher("FIRST3")
	s.awaitEnd(s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, ""))
	reservation := s.want(s.request("GET", cart+"/events?type=InitializeCheckout", ""), 200, "").field("events.0.payload.reservation")
	w := s.courier.Watch("cart", idOf(cart))
	defer w.Close()
	answer, err := s.grains.Ask(timeout(t), "cart", idOf(cart), &actor.Command{Steps: []actor.Step{{Mutation: &messages.VoucherLapsed{Code: "FIRST3", Reservation: reservation}}}})
	if reply, ok := answer.(*actor.Reply); err != nil || !ok || reply.Refusal != nil {
		t.Fatalf("the cart says %v, %v; want it to let the use go", answer, err)
	}
	if _, err := w.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := s.want(s.request("GET", cart, ""), 200, ""); a.field("status") != "open" || a.field("processing") != "false" {
		t.Errorf("the cart is %s", a.body)
	}
	if used, kept := s.usesOf("FIRST3"); used != 0 || kept != 0 || reservation == "" {
		t.Errorf("used %d times, %d kept, want none", used, kept)
	}
}
