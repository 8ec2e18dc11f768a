package api_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"cartd/internal/api"
	"cartd/pkg/actor"
)

// ended are the ways in which a browser's cart can come to its end; the code is what changes are refused with.
var ended = []struct {
	code string
	end  func(b *browser)
}{
	{"cart_ordered", (*browser).order},
	{"cart_merged", func(b *browser) {
		b.want(b.request("POST", b.newCart()+"/merge", `{"from":"`+b.cart+`"}`), 200, "")
	}},
	{"cart_deleted", func(b *browser) { b.want(b.request("DELETE", "/v1/carts/"+b.cart, ""), 204, "") }},
}

func TestTheNextChangeAfterTheEndStartsANewCart(t *testing.T) {
	for _, tc := range ended {
		t.Run(tc.code, func(t *testing.T) {
			b := &browser{shop: openShop(t, nil)}
			b.want(b.ask("POST", "/cart", addLantern, "Idempotency-Key", "first"), 200, "")
			tc.end(b)
			old, carts := b.cart, b.carts()
			if a := b.send("GET", "/cart", ""); a.header.Get("Set-Cookie") != "" {
				t.Error("a read starts a new cart")
			}
			a := b.want(b.ask("POST", "/cart", `{"sku":"71053","quantity":1}`, "Idempotency-Key", "second"), 200, "")
			if old, now := b.send("GET", "/cart/"+old, ""), b.send("GET", "/cart", ""); now.header.Get("Vary") != "Cookie" || old.header.Get("Vary") != "" {
				t.Errorf("the cart varies with %q: a browser's cache would take one cart's version 2 for the other's", now.header.Get("Vary"))
			}
			if b.cart == old || a.field("result.id") != b.cart || a.field("result.version") != "2" || a.field("result.items.0.sku") != "71053" || a.field("result.items.1") != "" {
				t.Errorf("after %s the cart is %s", old, a.body)
			}
			if b.carts() != carts+1 {
				t.Errorf("%d carts, want %d", b.carts(), carts+1)
			}
			b.want(b.ask("POST", "/cart", addLantern), 200, "")
			if b.cart != a.field("result.id") {
				t.Error("the cookie changed again")
			}
			if a := b.request("GET", "/v1/carts/"+old, ""); a.status == 200 && a.field("version") == "0" {
				t.Errorf("the old cart is %s", a.body)
			}
		})
	}
}

// What the old cart took is answered from there; a new one would have it twice.
func TestRepeatOfAChangeOfTheOldCartStartsNoNewOne(t *testing.T) {
	for _, tc := range ended {
		t.Run(tc.code, func(t *testing.T) {
			b := &browser{shop: openShop(t, func(o *api.Options) { o.Catalog = byCountry{o.Catalog} })} // which asks the cart first
			b.want(b.ask("POST", "/cart", addLantern, "Idempotency-Key", "click"), 200, "")
			b.want(b.ask("PUT", "/cart/voucher", `{"code":"WELCOME10"}`, "Idempotency-Key", "voucher"), 200, "")
			tc.end(b)
			old, carts := b.cart, b.carts()
			for path, body := range map[string]string{"/cart": addLantern, "/cart/voucher": `{"code":"WELCOME10"}`} {
				method, key := "POST", "click"
				if path != "/cart" {
					method, key = "PUT", "voucher"
				}
				b.catalog.fail(errors.New("down"))
				a := b.ask(method, path, body, "Idempotency-Key", key)
				b.catalog.fail(nil)
				switch {
				case tc.code == "cart_deleted" && (a.status != 410 || a.field("code") != tc.code):
					t.Errorf("%d %s, want that it is gone", a.status, a.body)
				case tc.code != "cart_deleted" && (a.status != 200 || a.header.Get("Idempotent-Replayed") != "true" || a.field("result.id") != old):
					t.Errorf("%d %s, want the old cart's answer", a.status, a.body)
				}
			}
			b.want(b.ask("POST", "/cart", `{"sku":"71053","quantity":1,"country":"GB"}`, "Idempotency-Key", "click"), 422, "idempotency_key_reused")
			if b.cart != old || b.carts() != carts {
				t.Errorf("cookie %s, %d carts; want %s and %d", b.cart, b.carts(), old, carts)
			}
		})
	}
}

// byCountry is a catalogue whose prices might be others in other countries.
type byCountry struct{ api.Catalog }

func (byCountry) ByCountry() bool { return true }

// What fails only because there is nothing in the new cart is answered as the old one did, and it stays.
func TestWhatANewCartCannotDoIsAnsweredByTheOldOne(t *testing.T) {
	for _, tc := range ended {
		t.Run(tc.code, func(t *testing.T) {
			b := &browser{shop: openShop(t, nil)}
			b.want(b.ask("POST", "/cart", addLantern), 200, "")
			tc.end(b)
			old, carts := b.cart, b.carts()
			for _, ask := range [][4]string{
				{"POST", "/cart/checkout", `{}`, tc.code}, {"POST", "/cart/checkout", `{"orderId":"o-2"}`, tc.code}, {"DELETE", "/cart/checkout", ``, tc.code},
				{"PUT", "/cart", `{"id":1,"quantity":2}`, tc.code}, {"DELETE", "/cart/1", ``, tc.code}, {"PUT", "/cart/item/1/marking", `{"type":1,"marking":"x"}`, tc.code},
				{"DELETE", "/cart/voucher/1", ``, tc.code}, {"DELETE", "/cart/delivery/1", ``, tc.code},
				{"POST", "/cart", `{"sku":"none","quantity":1}`, "unknown_sku"}, {"POST", "/cart", `{"sku":"85123A","quantity":0}`, "validation_failed"},
				{"PUT", "/cart/voucher", `{"code":"none"}`, "unknown_voucher"},
			} {
				a := b.ask(ask[0], ask[1], ask[2])
				if a.field("code") != ask[3] {
					t.Errorf("%s %s %s: %d %s, want %s", ask[0], ask[1], ask[2], a.status, a.body, ask[3])
				}
			}
			a := b.ask("POST", "/cart", addLantern, "If-Match", `"main-99"`)
			if a.status != 412 && a.field("code") != tc.code {
				t.Errorf("a change of a version of the old cart: %d %s", a.status, a.body)
			}
			if b.cart != old || b.carts() != carts {
				t.Errorf("cookie %s, %d carts; want %s and %d", b.cart, b.carts(), old, carts)
			}
		})
	}
}

func TestTwoTabsThatStartANewCartAtOnceGetTheSame(t *testing.T) {
	for _, tc := range ended {
		t.Run(tc.code, func(t *testing.T) {
			b := &browser{shop: openShop(t, nil)}
			b.want(b.ask("POST", "/cart", addLantern), 200, "")
			tc.end(b)
			carts := b.carts()
			answers := make([]answer, 12)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					answers[i] = b.send("POST", "/cart", `{"sku":"85123A","quantity":1}`, "Idempotency-Key", fmt.Sprintf("click-%d", i/2)) // each of them twice
				})
			}
			wg.Wait()
			next := cookieOf(t, answers[0])
			for _, a := range answers {
				if a.status != 200 || cookieOf(t, a) != next || a.field("result.id") != next {
					t.Fatalf("%d %s with the cookie %s, want cart %s", a.status, a.body, a.header.Get("Set-Cookie"), next)
				}
			}
			// One more was on its way when the first was answered.
			if a := b.send("POST", "/cart", `{"sku":"85123A","quantity":1}`); cookieOf(t, a) != next {
				t.Errorf("%d %s, want cart %s", a.status, a.body, next)
			}
			b.cart = next
			if got := b.quantity(); got != "7" || b.carts() != carts+1 {
				t.Errorf("the new cart has %s, and there are %d carts; want 7 and %d", got, b.carts(), carts+1)
			}
		})
	}
}

// Whoever has only the old cookie finds the new cart for as long as a request can be on its way, and not after its end.
func TestANewCartThatIsOverIsNotStartedAgain(t *testing.T) {
	b := &browser{shop: openShop(t, nil)}
	b.want(b.ask("POST", "/cart", addLantern), 200, "")
	b.order()
	first := &browser{shop: b.shop, cart: b.cart}
	first.want(first.ask("POST", "/cart", addLantern), 200, "")
	first.order()
	stale := &browser{shop: b.shop, cart: b.cart}
	a := stale.want(stale.ask("POST", "/cart", addLantern), 200, "")
	if stale.cart == first.cart || stale.cart == b.cart || a.field("result.version") != "2" {
		t.Errorf("the old cookie leads to %s, which is over", stale.cart)
	}
}

func TestOldIDDoesNotTellTheNewOne(t *testing.T) {
	next := map[string]bool{}
	for range 2 { // two servers, each with a secret of its own
		b := &browser{shop: openShop(t, nil), cart: "7ZK3D4M8W5Q0X1T2B9C6VNEJ4R"}
		b.want(b.ask("POST", "/cart", addLantern), 200, "")
		b.order()
		b.want(b.ask("POST", "/cart", addLantern), 200, "")
		next[b.cart] = true
	}
	if len(next) != 2 {
		t.Errorf("what follows on a cart can be reckoned from its id: %v", next)
	}
}

// An answer that never came leaves the browser with a cookie under which a repeat finds what was done.
func TestOutcomeUnknownOfANewCartIsFoundByItsRepeat(t *testing.T) {
	for _, tc := range []struct {
		name string
		over bool
	}{{"the first cart", false}, {"the one after", true}} {
		t.Run(tc.name, func(t *testing.T) {
			b := &browser{shop: openShop(t, nil)}
			if tc.over {
				b.want(b.ask("POST", "/cart", addLantern), 200, "")
				b.order()
			}
			old := b.cart
			b.store.LoseNext(true)
			b.want(b.ask("POST", "/cart", `{"sku":"85123A","quantity":1}`, "Idempotency-Key", "k"), 504, "outcome_unknown")
			if b.cart == old || b.cart == "" {
				t.Fatal("no cookie was handed out")
			}
			a := b.want(b.ask("POST", "/cart", `{"sku":"85123A","quantity":1}`, "Idempotency-Key", "k"), 200, "")
			if a.field("result.items.0.qty") != "1" || b.quantity() != "1" {
				t.Errorf("the repeat is %s", a.body)
			}
		})
	}
}

// hiding is carts of which one is not shown to anybody, and why.
type hiding struct {
	api.Asker
	mu       sync.Mutex // guards the rest
	id, code string
}

func (h *hiding) hide(id, code string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id, h.code = id, code
}

func (h *hiding) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	h.mu.Lock()
	hidden, code := h.id, h.code
	h.mu.Unlock()
	if id == hidden {
		return &actor.Reply{Refusal: actor.Refuse(code, "It is not shown.")}, nil
	}
	return h.Asker.Ask(ctx, kind, id, msg)
}

// A browser whose cart has expired, or is somebody else's by now, would otherwise have none for good: its pages cannot take
// the cookie away.
func TestACartThatIsNotShownAnyMoreIsFollowedByANewOne(t *testing.T) {
	for _, tc := range []struct {
		refusal, code string
		status        int
	}{{actor.CodeNotFound, "cart_not_found", 404}, {"cart_expired", "cart_expired", 410}} {
		t.Run(tc.code, func(t *testing.T) {
			carts := &hiding{}
			b := &browser{shop: openShop(t, func(o *api.Options) { carts.Asker = o.Carts; o.Carts = carts })}
			b.want(b.ask("POST", "/cart", addLantern), 200, "")
			old := b.cart
			carts.hide(old, tc.refusal)
			b.want(b.ask("GET", "/cart", ""), tc.status, tc.code)
			b.want(b.ask("DELETE", "/cart/1", ""), tc.status, tc.code)
			b.want(b.ask("POST", "/cart", addLantern, "If-Match", `"main-2"`), tc.status, tc.code)
			if b.cart != old {
				t.Error("a new cart was started for nothing")
			}
			for range 2 {
				b.want(b.ask("POST", "/cart", `{"sku":"85123A","quantity":1}`), 200, "")
			}
			if b.cart == old || b.quantity() != "2" {
				t.Errorf("cart %s has %s, want another than %s with 2", b.cart, b.quantity(), old)
			}
			carts.hide("", "")
			if a := b.want(b.request("GET", "/v1/carts/"+old, ""), 200, ""); a.field("version") != "2" {
				t.Errorf("the old cart has changed: %s", a.body)
			}
		})
	}
}
