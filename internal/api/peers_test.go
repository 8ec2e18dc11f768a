package api_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"cartd/internal/api"
)

// What users of other carts complain of, a test for each point. The numbers are those of the list that this project keeps
// of them. Not here: merging (7) and vouchers' limits among all carts (11), in merge_test.go and limits_test.go; the
// end of old carts (14), which this server does not have yet.

func TestPeer01ConcurrentAddsDoNotGetLost(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	skus := []string{"85123A", "71053", "84406B", "84029G"}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			body := fmt.Sprintf(`{"sku":%q,"quantity":1}`, skus[i%len(skus)])
			if a := s.request("POST", cart+"/items", body); a.status != 200 {
				t.Errorf("add %d: %d %s", i, a.status, a.body)
			}
		})
	}
	wg.Wait()
	a := s.want(s.request("GET", cart, ""), 200, "")
	if got, want := a.field("totalPrice.incVat"), fmt.Sprint(16*(255+339+275+375)); got != want || a.field("items.4") != "" || a.field("version") != "65" {
		t.Errorf("total %s at version %s, want %s in four lines at 65", got, a.field("version"), want)
	}
}

func TestPeer02NobodyIsForcedToSendAVersion(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	for range 2 { // two tabs, neither knows of the other
		s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	}
	a := s.want(s.request("PATCH", cart+"/items/1", `{"quantity":1}`, "If-Match", `"main-2"`), 412, "version_conflict")
	if a.field("cart.items.0.qty") != "12" || a.header.Get("ETag") != `"main-3"` {
		t.Errorf("the conflict does not carry the present cart: %s", a.body)
	}
}

func TestPeer03RetryAddsOnce(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	var wg sync.WaitGroup
	for range 8 { // a double click, a time-out, an impatient proxy
		wg.Go(func() { s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "click-1") })
	}
	wg.Wait()
	if a := s.want(s.request("GET", cart, ""), 200, ""); a.field("items.0.qty") != "6" || a.field("items.1") != "" || a.field("version") != "2" {
		t.Errorf("cart %s, want one line of 6", a.body)
	}
}

// stored returns how many events the store has of a cart.
func (s *shop) stored(t *testing.T, cart string) (n int) {
	t.Helper()
	for _, err := range s.store.Read(t.Context(), streamOf(t, cart)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestPeer04AskingForACartMakesNone(t *testing.T) {
	s := openShop(t, nil)
	for i := range 20 {
		cart := fmt.Sprintf("/v1/carts/bot-%d", i)
		s.want(s.request("GET", cart, ""), 404, "cart_not_found")
		s.want(s.request("POST", cart+"/items", addLantern), 404, "cart_not_found")
		s.want(s.request("DELETE", cart+"/items", ""), 404, "cart_not_found")
		if n := s.stored(t, cart); n != 0 {
			t.Errorf("%d events are stored, want none", n)
		}
	}
	if cart := s.newCart(); s.stored(t, cart) != 1 {
		t.Error("a cart that was made is not stored")
	}
}

func TestPeer04TwoFirstAddsMakeOneCart(t *testing.T) {
	s := openShop(t, nil)
	b := &browser{shop: s}
	b.want(b.ask("GET", "/cart", ""), 404, "cart_not_found")
	if s.carts() != 0 {
		t.Error("a cart is stored that was only asked for")
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			a := b.send("POST", "/cart", `{"sku":"85123A","quantity":1}`, "Idempotency-Key", fmt.Sprintf("click-%d", i/2)) // each of them twice
			if a.status != 200 || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%d %s, cookie %q", a.status, a.body, a.header.Get("Set-Cookie"))
			}
		})
	}
	wg.Wait()
	if n, got := s.carts(), b.quantity(); n != 1 || got != "8" {
		t.Errorf("%d carts, the browser's has %s; want one with 8", n, got)
	}
}

func TestPeer05PaidIsWhatWasOrdered(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"postnord","items":[1]}`), 200, "")
	s.want(s.request("POST", cart+"/vouchers", `{"code":"WELCOME10"}`), 200, "")
	before := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-1","expectedTotal":1867}`), 200, "").field("result")
	for _, change := range [][3]string{
		{"POST", "/items", addLantern}, {"PUT", "/items", `{"items":[]}`}, {"DELETE", "/items", ""},
		{"PATCH", "/items/1", `{"quantity":1}`}, {"PATCH", "/items/1", `{"marking":null}`}, {"DELETE", "/items/1", ""},
		{"POST", "/deliveries", `{"provider":"postnord","items":[1]}`}, {"PUT", "/deliveries/1/pickup-point", `{"id":"p"}`}, {"DELETE", "/deliveries/1", ""},
		{"POST", "/vouchers", `{"code":"FIVER"}`}, {"DELETE", "/vouchers/1", ""}, {"POST", "/refresh", ""},
		{"PUT", "/user", `{"userId":"u"}`}, {"PUT", "/subscription-details", `{"offeringCode":"o"}`},
		{"POST", "/checkout", `{"orderId":"o-2"}`}, {"DELETE", "", ""},
	} {
		if a := s.request(change[0], cart+change[1], change[2]); a.status != 409 || a.field("code") != "cart_frozen" {
			t.Errorf("%s %s: %d %s, want cart_frozen", change[0], change[1], a.status, a.body)
		}
	}
	if after := s.want(s.request("GET", cart, ""), 200, ""); after.field("totalPrice.incVat") != "1867" || !strings.Contains(before, `"version":5`) || after.field("version") != "5" {
		t.Errorf("the cart changed while it was paid: %s, before %s", after.body, before)
	}
}

func TestPeer05FreezeEndsIfThePaymentDies(t *testing.T) {
	s := openForgetful(t)
	cart := s.frozen("o-1")
	if a := s.want(s.request("POST", cart+"/items", addLantern), 200, ""); a.field("result.status") != "open" || a.field("result.items.0.qty") != "12" {
		t.Errorf("cart %s, want it to go on", a.field("result"))
	}
}

func TestPeer06WebhookAndBrowserCompleteOnce(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-1","expectedTotal":1529}`), 409, "expected_total_changed")
	var wg sync.WaitGroup
	for range 2 { // two tabs pay the same order
		wg.Go(func() { s.request("POST", cart+"/checkout", `{"orderId":"o-1","expectedTotal":1530}`) })
	}
	wg.Wait()
	for i := range 12 {
		wg.Go(func() {
			body := fmt.Sprintf(`{"orderId":"o-1","status":"by caller %d"}`, i)
			if a := s.request("POST", cart+"/order", body, asBackend...); a.status != 200 || a.field("result.status") != "ordered" {
				t.Errorf("caller %d: %d %s", i, a.status, a.body)
			}
		})
	}
	wg.Wait()
	a := s.want(s.request("GET", cart+"/events?type=OrderCreated,InitializeCheckout", ""), 200, "")
	if a.field("events.1.type") != "OrderCreated" || a.field("events.2") != "" {
		t.Errorf("events %s, want one checkout and one order", a.field("events"))
	}
	s.want(s.request("POST", cart+"/order", `{"orderId":"o-2","status":"paid"}`, asBackend...), 409, "cart_ordered")
}

func TestPeer08CentsSumUp(t *testing.T) {
	for level, want := range map[string]string{"": "386", "unit": "387"} {
		s := openShop(t, func(o *api.Options) { o.TaxLevel = level })
		cart := s.newCart()
		add := `{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":3,"price":108,"tax":1900,"priceExVat":true}}]}`
		if a := s.want(s.request("POST", cart+"/mutations", add, asBackend...), 200, ""); a.field("result.totalPrice.incVat") != want {
			t.Errorf("3 × 1.08 at 19 %% with level %q is %s, want %s", level, a.field("result.totalPrice.incVat"), want)
		}
	}
}

func TestPeer09IdsCannotBeGuessed(t *testing.T) {
	s := openShop(t, nil)
	seen := map[string]bool{}
	for range 50 {
		id := strings.TrimPrefix(s.newCart(), "/v1/carts/")
		if len(id) != 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" || seen[id[:6]] {
			t.Errorf("id %s, want 26 random characters", id)
		}
		seen[id[:6]] = true
	}
	// That a cart is somebody's is not told: what cannot be seen is not there.
	s.want(s.request("GET", "/v1/carts/7ZK3D4M8W5Q0X1T2B9C6VNEJ4R", ""), 404, "cart_not_found")
}

func TestPeer09SessionsCannotBeGuessed(t *testing.T) {
	s := openShop(t, nil)
	seen := map[string]bool{}
	for range 50 {
		b := &browser{shop: s}
		b.want(b.ask("POST", "/cart", addLantern), 200, "")
		if len(b.cart) != 26 || seen[b.cart[:6]] {
			t.Errorf("id %s, want 26 random characters", b.cart)
		}
		seen[b.cart[:6]] = true
	}
}

func TestPeer10BigCartsDoNotCrawl(t *testing.T) {
	s := openShop(t, nil)
	answers := map[int]int{}
	for _, lines := range []int{2, 1000} {
		cart := s.newCart()
		s.fill(cart, lines)
		a := s.want(s.request("POST", cart+"/items", `{"sku":"85123A","quantity":1}`, "Prefer", "return=minimal"), 200, "")
		answers[lines] = len(a.body) - len(a.field("version"))
		if a := s.want(s.request("GET", cart, ""), 200, ""); a.field(fmt.Sprintf("items.%d.qty", lines)) != "1" {
			t.Errorf("the cart of %d lines did not get its next", lines)
		}
	}
	if answers[2] != answers[1000] { // what an add allocates is compared in internal/grain
		t.Errorf("answers of %v bytes, want the same however many lines there are", answers)
	}
}

func TestPeer12LineIdsStayAndTaxIsTakenOutOfThePrice(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", `{"items":[{"sku":"85123A","quantity":1},{"sku":"71053","quantity":1}]}`), 200, "")
	s.want(s.request("DELETE", cart+"/items/1", ""), 200, "")
	a := s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	if a.field("result.items.0.id") != "2" || a.field("result.items.1.id") != "3" {
		t.Errorf("lines %s, want ids 2 and 3", a.field("result.items"))
	}
	if got, want := a.field("result.items.1.price"), `{"exVat":204,"incVat":255,"vat":{"25":51}}`; got != want {
		t.Errorf("255 with 25 %% in it is %s, want %s", got, want)
	}
}

func TestPeer12NoCartIsKnownByAReadableNumber(t *testing.T) {
	s := openShop(t, nil)
	s.want(s.request("POST", "/v1/carts", `{"id":"536365"}`, asBackend...), 201, "") // the shop's own, by a number that it has
	s.want(s.request("POST", "/v1/carts/536365/items", addLantern), 200, "")
	carts := s.carts()
	hostile := append(api.HostileCookies(), "cartid=536366", "a=b; cartid=536365")
	for _, cookie := range hostile {
		a := s.want(s.request("GET", "/cart", "", "Cookie", cookie), 404, "cart_not_found")
		if id := cookieOf(t, a); id == "" || strings.Contains(cookie, id) {
			t.Errorf("%.80q is answered with the cookie %q", cookie, a.header.Get("Set-Cookie"))
		}
		a = s.want(s.request("POST", "/cart", addLantern, "Cookie", cookie), 200, "")
		carts++
		if id := cookieOf(t, a); id == "" || strings.Contains(cookie, id) || a.field("result.id") != id || a.field("result.version") != "2" {
			t.Errorf("%.80q makes the cart %s with the cookie %q", cookie, a.field("result.id"), id)
		}
	}
	if n := s.carts(); n != carts {
		t.Errorf("%d carts, want %d", n, carts)
	}
	if a := s.want(s.request("GET", "/v1/carts/536365", ""), 200, ""); a.field("version") != "2" {
		t.Errorf("the shop's cart has changed: %s", a.body)
	}
}

var variable = regexp.MustCompile(`\{[a-z]+\}`) // of a path

func TestPeer13NoGetMutates(t *testing.T) {
	s := openShop(t, nil)
	b := &browser{shop: s}
	b.want(b.ask("POST", "/cart", addLantern), 200, "")
	nobody := &browser{shop: s}
	nobody.want(nobody.ask("GET", "/cart", ""), 404, "cart_not_found")
	for _, route := range api.Routes() { // also those that have no GET
		_, path, _ := strings.Cut(route, " ")
		for _, id := range []string{b.cart, nobody.cart, "1"} {
			path := variable.ReplaceAllString(strings.ReplaceAll(path, "{id}", id), "1")
			for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
				for _, who := range []*browser{b, nobody} {
					who.send(method, path+"?sku=85123A&quantity=1&from=x", `{"sku":"85123A","quantity":1}`, asBackend...)
				}
			}
		}
	}
	if n := s.stored(t, "/v1/carts/"+b.cart); n != 2 || s.carts() != 1 {
		t.Errorf("%d events of %d carts are stored, want 2 of one: a request that only reads stored something", n, s.carts())
	}
}
