package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cartd/internal/api"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// cartOf makes a cart with pieces of one product.
func (s *shop) cartOf(sku string, quantity int) string {
	s.t.Helper()
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", fmt.Sprintf(`{"sku":%q,"quantity":%d}`, sku, quantity)), 200, "")
	return cart
}

func idOf(cart string) string { return strings.TrimPrefix(cart, "/v1/carts/") }

func mergeOf(cart string) string { return fmt.Sprintf(`{"from":%q}`, idOf(cart)) }

func TestMergeTakesOverTheOtherCart(t *testing.T) {
	s := openShop(t, nil)
	into, from := s.cartOf("85123A", 2), s.cartOf("85123A", 4)
	s.want(s.request("POST", from+"/items", `{"sku":"71053","quantity":1}`), 200, "")
	s.want(s.request("POST", from+"/vouchers", `{"code":"WELCOME10"}`), 200, "")
	a := s.want(s.request("POST", into+"/merge", mergeOf(from)), 200, "")
	for path, want := range map[string]string{
		"result.id": idOf(into), "result.version": "3", "result.items.0.qty": "6", "result.items.1.sku": "71053", "result.vouchers.0.code": "WELCOME10",
		"mutations.0.type": "MergeCart", "mutations.0.mutation.from": idOf(from), "mutations.1": "",
	} {
		if got := a.field(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if a.header.Get("ETag") != `"main-3"` {
		t.Errorf("ETag %s", a.header.Get("ETag"))
	}
	if a := s.want(s.request("GET", from, ""), 200, ""); a.field("status") != "merged" || a.field("processing") != "false" {
		t.Errorf("the other cart is %s", a.body)
	}
	s.want(s.request("POST", from+"/items", addLantern), 409, "cart_merged")
	s.want(s.request("DELETE", from, ""), 409, "cart_merged")

	// The same again changes nothing; and the lines are nobody else's.
	if a := s.want(s.request("POST", into+"/merge", mergeOf(from)), 200, ""); a.field("result.version") != "3" || a.field("mutations") != "[]" {
		t.Errorf("the same merge again: %s", a.body)
	}
	third := s.newCart()
	s.want(s.request("POST", third+"/merge", mergeOf(from)), 409, "cart_merged")
	s.want(s.request("POST", from+"/merge", mergeOf(third)), 409, "cart_merged")
	if a := s.want(s.request("POST", third+"/items", addLantern), 200, ""); a.field("result.status") != "open" {
		t.Errorf("a cart whose merge was refused: %s", a.body)
	}
	s.want(s.request("POST", into+"/merge", mergeOf(third), "Prefer", "return=minimal"), 200, "")
}

func TestMergeThatCannotBeLeavesBothCarts(t *testing.T) {
	s := openShop(t, nil)
	into, from := s.cartOf("85123A", 2), s.cartOf("71053", 4)
	for _, tc := range []struct {
		body   string
		status int
		code   string
	}{
		{`{}`, 422, "validation_failed"}, {`{"from":""}`, 422, "validation_failed"}, {`{"from":7}`, 400, "invalid_request"}, {`{"into":"x"}`, 400, "invalid_request"},
		{mergeOf(into), 422, "validation_failed"}, {`{"from":"nobody"}`, 404, "cart_not_found"}, {`{"from":"../x"}`, 404, "cart_not_found"},
	} {
		s.want(s.request("POST", into+"/merge", tc.body), tc.status, tc.code)
	}
	s.want(s.request("POST", "/v1/carts/nobody/merge", mergeOf(from)), 404, "cart_not_found")
	s.want(s.request("GET", into+"/merge", ""), 405, "method_not_allowed")

	s.want(s.request("POST", into+"/checkout", `{"orderId":"o"}`), 200, "")
	a := s.want(s.request("POST", into+"/merge", mergeOf(from)), 409, "cart_frozen")
	if a.field("mutations.0.error.code") != "cart_frozen" {
		t.Errorf("the problem has mutations %s", a.field("mutations"))
	}
	s.want(s.request("POST", from+"/merge", mergeOf(into)), 409, "cart_frozen")
	s.want(s.request("POST", into+"/order", `{"orderId":"o"}`, asBackend...), 200, "")
	s.want(s.request("POST", into+"/merge", mergeOf(from)), 409, "cart_ordered")

	euro := s.want(s.request("POST", "/v1/carts", `{"currency":"EUR"}`), 201, "").header.Get("Location")
	if a := s.want(s.request("POST", euro+"/merge", mergeOf(from)), 422, "validation_failed"); a.field("errors.0.field") != "from" {
		t.Errorf("errors %s, want from", a.field("errors"))
	}
	bound, other := s.newCart(), s.newCart()
	s.want(s.request("PUT", bound+"/user", `{"userId":"u-1"}`), 200, "")
	s.want(s.request("PUT", other+"/user", `{"userId":"u-2"}`), 200, "")
	s.want(s.request("POST", bound+"/merge", mergeOf(other)), 409, "user_bound")
	if a := s.want(s.request("POST", from+"/items", `{"sku":"71053","quantity":1}`), 200, ""); a.field("result.items.0.qty") != "5" {
		t.Errorf("the cart is %s, want it open with its lines", a.body)
	}
	s.want(s.request("DELETE", other, ""), 204, "")
	s.want(s.request("POST", bound+"/merge", mergeOf(other)), 410, "cart_deleted")
	s.want(s.request("POST", other+"/merge", mergeOf(bound)), 410, "cart_deleted")
}

func TestStepsOfAMergeAreNobodyElses(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 1)
	for _, typ := range []string{"MergeCart", "MergeStarted", "CartMerged", "MergeAborted"} {
		body := fmt.Sprintf(`{"mutations":[{"type":%q,"payload":{}}]}`, typ)
		s.want(s.request("POST", cart+"/mutations", body, asBackend...), 422, "validation_failed")
	}
}

func TestMergeKeepsItsKeyAndItsCondition(t *testing.T) {
	s := openShop(t, nil)
	into, from := s.cartOf("85123A", 2), s.cartOf("71053", 4)
	if a := s.want(s.request("POST", into+"/merge", mergeOf(from), "If-Match", `"main-1"`), 412, "version_conflict"); a.field("cart.version") != "2" || a.header.Get("ETag") != `"main-2"` {
		t.Errorf("the conflict has %s", a.body)
	}
	a := s.want(s.request("POST", into+"/merge", mergeOf(from), "If-Match", `"main-2"`, "Idempotency-Key", "k"), 200, "")
	if a.header.Get("Idempotent-Replayed") != "" || a.field("mutations.0.mutation.items.0.sku") != "71053" {
		t.Errorf("the merge is answered with %s", a.body)
	}
	s.want(s.request("POST", into+"/checkout", `{"orderId":"o"}`), 200, "")
	if a := s.want(s.request("POST", into+"/merge", mergeOf(from), "If-Match", `"main-2"`, "Idempotency-Key", "k"), 200, ""); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the repeat is answered with %s", a.body)
	}
	s.want(s.request("POST", into+"/merge", mergeOf(s.newCart()), "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	if n := s.stored(t, from); n != 6 { // created, added, begun, given up, begun, merged
		t.Errorf("the other cart has %d events, want 6", n)
	}
}

// busyCarts have no time for the last step of a merge.
type busyCarts struct {
	api.Asker
	busy atomic.Bool
}

func (c *busyCarts) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	if cmd, ok := msg.(*actor.Command); ok && c.busy.Load() {
		if m, ok := cmd.Steps[0].Mutation.(*messages.MergeCart); ok && m.Again {
			return &actor.Reply{Refusal: actor.Refuse(actor.CodeUnavailable, "too many requests wait for their turn")}, nil
		}
	}
	return c.Asker.Ask(ctx, kind, id, msg)
}

func TestMergeWhoseKeyCannotBeKeptIsOfUnknownOutcome(t *testing.T) {
	carts := &busyCarts{}
	s := openShop(t, func(o *api.Options) { carts.Asker, o.Carts = o.Carts, carts })
	into, from := s.cartOf("85123A", 1), s.cartOf("71053", 1)
	carts.busy.Store(true)
	s.want(s.request("POST", into+"/merge", mergeOf(from), "Idempotency-Key", "k"), 504, "outcome_unknown")
	carts.busy.Store(false)
	if a := s.want(s.request("POST", into+"/merge", mergeOf(from), "Idempotency-Key", "k"), 200, ""); a.field("result.items.1.sku") != "71053" || a.field("result.version") != "4" {
		t.Errorf("the repeat is answered with %s", a.body)
	}
}

// Users' complaint: a cart of 65 items is gone after two logins at once.
func TestPeer07SimultaneousMergesLoseNothing(t *testing.T) {
	s := openShop(t, nil)
	into, from := s.cartOf("85123A", 1), s.newCart()
	s.fill(from, 65)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if a := s.request("POST", into+"/merge", mergeOf(from)); a.status != 200 || a.field("result.items.65.qty") == "" {
				t.Errorf("merge: %d %.300s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	a := s.want(s.request("GET", into, ""), 200, "")
	if a.field("items.65.qty") == "" || a.field("items.66") != "" || a.field("version") != "3" {
		t.Errorf("version %s, want 66 lines by one event", a.field("version"))
	}
	if a := s.want(s.request("GET", from, ""), 200, ""); a.field("status") != "merged" {
		t.Errorf("the other cart is %s", a.field("status"))
	}
}

func TestPeer07MergesBothWaysAtOnceLoseNothing(t *testing.T) {
	s := openShop(t, nil)
	for range 20 {
		one, two := s.cartOf("85123A", 1), s.cartOf("71053", 1)
		var wg sync.WaitGroup
		var answers [2]answer
		wg.Go(func() { answers[0] = s.request("POST", one+"/merge", mergeOf(two)) })
		wg.Go(func() { answers[1] = s.request("POST", two+"/merge", mergeOf(one)) })
		wg.Wait()
		wins, pieces := 0, 0
		for i, a := range answers {
			switch {
			case a.status == 200:
				wins++
			case a.status != 409:
				t.Errorf("merge %d: %d %s", i, a.status, a.body)
			}
		}
		for _, cart := range []string{one, two} {
			a := s.want(s.request("GET", cart, ""), 200, "")
			if a.field("status") == "merged" {
				continue
			}
			for i := range 3 {
				if a.field(fmt.Sprintf("items.%d.qty", i)) != "" {
					pieces++
				}
			}
		}
		if wins > 1 || pieces != 2 {
			t.Fatalf("%d merges were made, and %d lines are left in carts that live; want 2", wins, pieces)
		}
	}
}

func TestMergeWhoseCourierIsGoneIsOfUnknownOutcome(t *testing.T) {
	s := openShop(t, nil)
	into, from := s.cartOf("85123A", 1), s.cartOf("71053", 1)
	s.courier.Close()
	s.want(s.request("POST", into+"/merge", mergeOf(from)), 504, "outcome_unknown")
	if a := s.want(s.request("GET", from, ""), 200, ""); a.field("processing") != "true" {
		t.Errorf("the cart is %s, want it to be under way", a.body)
	}
}
