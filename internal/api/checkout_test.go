package api_test

import (
	"runtime"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/catalog"
)

// openForgetful starts a shop whose checkouts last a millisecond.
func openForgetful(t *testing.T) *shop {
	return openShop(t, func(o *api.Options) { o.CheckoutTTL = time.Millisecond })
}

// frozen makes a cart in checkout and returns its path once the checkout's time is over.
func (s *shop) frozen(order string) string {
	s.t.Helper()
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.awaitEnd(s.want(s.request("POST", cart+"/checkout", `{"orderId":"`+order+`"}`), 200, ""))
	return cart
}

// awaitEnd returns when the time of the checkout that a tells of is over.
func (s *shop) awaitEnd(a answer) {
	s.t.Helper()
	until, err := time.Parse(time.RFC3339, a.field("result.checkoutUntil"))
	if err != nil {
		s.t.Fatalf("checkoutUntil: %v in %s", err, a.body)
	}
	for !time.Now().After(until) {
		runtime.Gosched()
	}
}

func TestForgottenCheckoutEndsWithTheNextChangeAndNoRead(t *testing.T) {
	s := openForgetful(t)
	cart := s.frozen("o-1")
	for range 3 {
		if a := s.want(s.request("GET", cart, ""), 200, ""); a.field("status") != "checkout" || a.field("version") != "3" || a.header.Get("ETag") != `"main-3"` {
			t.Errorf("a read shows %s", a.body)
		}
	}
	if got := s.events(cart); got != "3" {
		t.Errorf("%s events after reads, want 3", got)
	}
	a := s.want(s.request("POST", cart+"/items", addLantern, "If-Match", `"main-3"`, "Idempotency-Key", "k"), 200, "")
	if a.field("result.status") != "open" || a.field("result.version") != "5" || a.field("result.items.0.qty") != "12" || a.field("mutations.1") != "" {
		t.Errorf("the next change gives %s", a.body)
	}
	events := s.want(s.request("GET", cart+"/events?after=3", ""), 200, "")
	if events.field("events.0.type") != "CheckoutExpired" || events.field("events.1.type") != "AddItem" {
		t.Errorf("events %s, want the expiry before the change", events.field("events"))
	}
	if a := s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, ""); a.header.Get("Idempotent-Replayed") != "true" || a.field("result.version") != "5" {
		t.Errorf("the repeat gives %s", a.body)
	}
}

func TestRefusedChangeDoesNotEndAForgottenCheckout(t *testing.T) {
	s := openForgetful(t)
	cart := s.frozen("o-1")
	s.want(s.request("POST", cart+"/items", `{"sku":"85123A","quantity":0}`), 422, "validation_failed")
	s.want(s.request("POST", cart+"/items", `{"sku":"no such","quantity":1}`), 422, "unknown_sku")
	s.want(s.request("DELETE", cart+"/items/7", ""), 404, "item_not_found")
	s.catalog.fail(catalog.ErrUnavailable)
	s.want(s.request("POST", cart+"/items", addLantern), 502, "catalog_unavailable")
	if got := s.events(cart); got != "3" {
		t.Errorf("%s events, want 3", got)
	}
}

func TestTotalThatIsNotTheExpectedOneIsAnsweredWithTheCart(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	check := func(a answer, version string) {
		t.Helper()
		if a.field("cart.totalPrice.incVat") != "1530" || a.field("cart.version") != version || a.header.Get("ETag") != `"main-`+version+`"` {
			t.Errorf("the problem is %s, ETag %s", a.body, a.header.Get("ETag"))
		}
	}
	check(s.want(s.request("POST", cart+"/checkout", `{"orderId":"o","expectedTotal":1}`), 409, "expected_total_changed"), "2")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
	check(s.want(s.request("POST", cart+"/checkout", `{"orderId":"o","expectedTotal":1}`), 409, "expected_total_changed"), "3")
	batch := `{"mutations":[{"type":"InitializeCheckout","payload":{"orderId":"o","expectedTotal":1}}]}`
	check(s.want(s.request("POST", cart+"/mutations", batch, asBackend...), 409, "expected_total_changed"), "3")
}

// The order comes when what was kept for it may be another's: it is told, and the cart can be paid again.
func TestOrderAfterTheEndOfTheCheckoutIsRefused(t *testing.T) {
	s := openForgetful(t)
	cart := s.frozen("o-1")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o-1"}`, asBackend...), 409, "not_in_checkout")
	a := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-2","expectedTotal":1530}`), 200, "")
	if a.field("result.orderReference") != "o-2" || a.field("result.version") != "5" {
		t.Errorf("a new checkout gives %s", a.field("result"))
	}
	s.awaitEnd(a)
	if a := s.want(s.request("DELETE", cart+"/checkout", ""), 200, ""); a.field("result.status") != "open" || a.field("result.version") != "6" {
		t.Errorf("giving up what is over gives %s, want one event", a.field("result"))
	}
}

func TestBackendsCheckoutEndsAsTheServerIsSet(t *testing.T) {
	s := openForgetful(t)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	a := s.want(s.request("POST", cart+"/mutations", `{"mutations":[{"type":"InitializeCheckout","payload":{"orderId":"o"}}]}`, asBackend...), 200, "")
	if got := a.field("mutations.0.mutation.ttlMillis"); got != "1" {
		t.Errorf("the event holds %q, want 1 ms", got)
	}
	s.awaitEnd(a)
	a = s.want(s.request("POST", cart+"/mutations", `{"mutations":[{"type":"InitializeCheckout","payload":{"orderId":"o","ttlMillis":60000}},{"type":"AbortCheckout"}]}`, asBackend...), 200, "")
	if a.field("result.status") != "open" || a.field("result.version") != "6" {
		t.Errorf("cart %s", a.field("result"))
	}
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
}

func TestRoundingOfTheServerIsInTheEventOfTheFirstLine(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.TaxLevel = "unit" })
	cart := s.newCart()
	add := `{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":3,"price":108,"tax":1900,"priceExVat":true}}]}`
	a := s.want(s.request("POST", cart+"/mutations", add, asBackend...), 200, "")
	if a.field("result.totalPrice.incVat") != "387" || a.field("mutations.0.mutation.taxLevel") != "unit" {
		t.Errorf("3 × 1.08 at 19 %% on the unit: %s", a.body)
	}
	if a := s.want(s.request("POST", cart+"/items", addLantern), 200, ""); a.field("mutations.0.mutation.taxLevel") != "unit" {
		t.Errorf("event %s", a.field("mutations.0.mutation"))
	}
}
