package api_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cartd/internal/api"
)

// Each call of the session API does what the call of the resource API does that it is said to be the same as.
func TestSessionCallsAreThoseOfTheResourceAPI(t *testing.T) {
	s := openShop(t, nil)
	b := &browser{shop: s}
	cart := s.newCart()
	for _, tc := range []struct {
		method, path, body string // what the browser asks
		asMethod, as, with string // what it is the same as
		status             int
	}{
		{"POST", "/cart", `{"sku":"85123A","quantity":6,"country":"gb"}`, "POST", "/items", `{"sku":"85123A","quantity":6,"country":"gb"}`, 200},
		{"POST", "/cart/add", `{"items":[{"sku":"71053","quantity":1},{"sku":"none","quantity":1}],"country":"GB"}`, "POST", "/items", `{"items":[{"sku":"71053","quantity":1},{"sku":"none","quantity":1}],"country":"GB"}`, 200},
		{"POST", "/cart/add/", `{"items":[{"sku":"84406B","quantity":1}]}`, "POST", "/items", `{"items":[{"sku":"84406B","quantity":1}]}`, 200},
		{"PUT", "/cart", `{"id":1,"quantity":3}`, "PATCH", "/items/1", `{"quantity":3}`, 200},
		{"PUT", "/cart", `{"id":1,"quantity":1000001}`, "PATCH", "/items/1", `{"quantity":1000001}`, 422},
		{"PUT", "/cart", `{"id":9,"quantity":1}`, "PATCH", "/items/9", `{"quantity":1}`, 404},
		{"PUT", "/cart", `{"id":4294967296,"quantity":1}`, "PATCH", "/items/4294967296", `{"quantity":1}`, 404},
		{"PUT", "/cart", `{"id":1}`, "", "", "", 422},
		{"PUT", "/cart", `{"quantity":1}`, "", "", "", 422},
		{"PUT", "/cart", `{"id":"1","quantity":1}`, "", "", "", 400},
		{"PUT", "/cart", `{"id":1,"quantity":1,"sku":"x"}`, "", "", "", 400},
		{"PUT", "/cart/item/1/marking", `{"type":1,"marking":"To Ada"}`, "PATCH", "/items/1", `{"marking":{"type":1,"text":"To Ada"}}`, 200},
		{"PUT", "/cart/item/1/marking", `{"type":1,"text":"To Ada"}`, "", "", "", 400},
		{"PUT", "/cart/item/9/marking", `{"type":1,"marking":"x"}`, "PATCH", "/items/9", `{"marking":{"type":1,"text":"x"}}`, 404},
		{"DELETE", "/cart/item/1/marking", ``, "PATCH", "/items/1", `{"marking":null}`, 200},
		{"DELETE", "/cart/2", ``, "DELETE", "/items/2", ``, 200},
		{"DELETE", "/cart/2", ``, "DELETE", "/items/2", ``, 404},
		{"DELETE", "/cart/x", ``, "DELETE", "/items/x", ``, 404},
		{"POST", "/cart/delivery", `{"provider":"postnord","items":[1],"pickupPoint":{"id":"p"}}`, "POST", "/deliveries", `{"provider":"postnord","items":[1],"pickupPoint":{"id":"p"}}`, 200},
		{"POST", "/cart/delivery", `{"provider":"nobody","items":[1]}`, "POST", "/deliveries", `{"provider":"nobody","items":[1]}`, 422},
		{"PUT", "/cart/delivery/1/pickupPoint", `{"id":"p-9","name":"Kiosk","zip":null}`, "PUT", "/deliveries/1/pickup-point", `{"id":"p-9","name":"Kiosk","zip":null}`, 200},
		{"PUT", "/cart/delivery/2/pickupPoint", `{"id":"p-9"}`, "PUT", "/deliveries/2/pickup-point", `{"id":"p-9"}`, 404},
		{"PUT", "/cart/voucher", `{"code":"WELCOME10","country":"GB"}`, "POST", "/vouchers", `{"code":"WELCOME10"}`, 200},
		{"PUT", "/cart/voucher", `{"code":"none"}`, "POST", "/vouchers", `{"code":"none"}`, 422},
		{"PUT", "/cart/voucher", `{"code":"FIVER","country":"GBR"}`, "", "", "", 422},
		{"DELETE", "/cart/delivery/1", ``, "DELETE", "/deliveries/1", ``, 200},
		{"DELETE", "/cart/delivery/1", ``, "DELETE", "/deliveries/1", ``, 404},
		{"PUT", "/cart/user", `{"userId":"u-1"}`, "PUT", "/user", `{"userId":"u-1"}`, 200},
		{"PUT", "/cart/user", `{"userId":"u-2"}`, "PUT", "/user", `{"userId":"u-2"}`, 409},
		{"PUT", "/cart/subscription-details", `{"id":"s","offeringCode":"o","signingType":"b","data":{"a":1}}`, "PUT", "/subscription-details", `{"id":"s","offeringCode":"o","signingType":"b","data":{"a":1}}`, 200},
		{"POST", "/cart/checkout", `{"orderId":"o-1","expectedTotal":1}`, "POST", "/checkout", `{"orderId":"o-1","expectedTotal":1}`, 409},
		{"POST", "/cart/checkout", `{"orderId":"o-1"}`, "POST", "/checkout", `{"orderId":"o-1"}`, 200},
		{"POST", "/cart", addLantern, "POST", "/items", addLantern, 409},
		{"POST", "/cart/checkout", `{"orderId":"o-2"}`, "POST", "/checkout", `{"orderId":"o-2"}`, 409},
		{"DELETE", "/cart/checkout", ``, "DELETE", "/checkout", ``, 200},
		{"DELETE", "/cart/checkout", ``, "DELETE", "/checkout", ``, 409},
		{"DELETE", "/cart/voucher/1", ``, "DELETE", "/vouchers/1", ``, 200},
		{"DELETE", "/cart", ``, "DELETE", "/items", ``, 200},
		{"DELETE", "/cart?branch=gift", ``, "DELETE", "/items?branch=gift", ``, 404},
		{"POST", "/cart", `nonsense`, "POST", "/items", `nonsense`, 400},
		{"POST", "/cart/checkout", `{"orderId":"o"}`, "POST", "/checkout", `{"orderId":"o"}`, 409},
		{"PATCH", "/cart", `{}`, "", "", "", 405},
		{"GET", "/cart/add", ``, "", "", "", 405},
	} {
		got := b.ask(tc.method, tc.path, tc.body)
		if got.status != tc.status {
			t.Errorf("%s %s %s: %d %s, want %d", tc.method, tc.path, tc.body, got.status, got.body, tc.status)
		}
		if tc.as == "" {
			continue
		}
		want := s.request(tc.asMethod, cart+tc.as, tc.with)
		alike := func(a answer) string {
			body := a.body
			for _, id := range []string{b.cart, strings.TrimPrefix(cart, "/v1/carts/")} {
				body = []byte(strings.ReplaceAll(string(body), id, "ID"))
			}
			cut := answer{body: body}
			return fmt.Sprint(a.status, a.header["Etag"], a.header["Content-Type"], a.header["Cache-Control"], cut.field("code"), cut.field("detail"), cut.field("errors"), cut.field("mutations"),
				cut.field("result.items"), cut.field("result.deliveries"), cut.field("result.vouchers"), cut.field("result.totalPrice"), cut.field("result.version"),
				cut.field("result.status"), cut.field("result.country"), cut.field("result.currency"), cut.field("result.userId"), cut.field("result.subscriptionDetails"), cut.field("result.orderReference"))
		}
		if alike(got) != alike(want) && tc.path != "/cart/item/1/marking" { // a line is changed by another number of mutations
			t.Errorf("%s %s:\n%s\n%s %s:\n%s", tc.method, tc.path, alike(got), tc.asMethod, tc.as, alike(want))
		}
	}
	mine, byID, there := b.want(b.ask("GET", "/cart", ""), 200, ""), s.want(s.request("GET", "/cart/"+b.cart, ""), 200, ""), s.want(s.request("GET", "/v1/carts/"+b.cart, ""), 200, "")
	if string(mine.body) != string(byID.body) || string(mine.body) != string(there.body) || mine.header.Get("ETag") != there.header.Get("ETag") {
		t.Errorf("the cart is\n%s\nby its id\n%s\nand there\n%s", mine.body, byID.body, there.body)
	}
	if byID.header.Get("Set-Cookie") != "" {
		t.Error("reading a cart by its id hands out another")
	}
	s.want(s.request("GET", "/cart/nobody", ""), 404, "cart_not_found")
	s.want(s.request("GET", "/cart/..%2Fx", ""), 404, "cart_not_found")
}

func TestSessionTakesTheHeadersOfTheResourceAPI(t *testing.T) {
	b := &browser{shop: openShop(t, nil)}
	first := b.want(b.ask("POST", "/cart", addLantern, "Idempotency-Key", "k", "Content-Type", "text/plain"), 200, "")
	if first.header.Get("ETag") != `"main-2"` || first.field("mutations.0.type") != "AddItem" || first.field("mutations.1") != "" {
		t.Errorf("ETag %s, %s", first.header.Get("ETag"), first.field("mutations"))
	}
	if a := b.want(b.ask("POST", "/cart", addLantern, "Idempotency-Key", "k"), 200, ""); a.header.Get("Idempotent-Replayed") != "true" || a.field("result.version") != "2" {
		t.Errorf("the repeat is %s", a.body)
	}
	b.want(b.ask("POST", "/cart", `{"sku":"71053","quantity":1}`, "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	if a := b.want(b.ask("DELETE", "/cart", "", "If-Match", `"main-1"`), 412, "version_conflict"); a.field("cart.items.0.qty") != "6" {
		t.Errorf("the conflict does not show the cart: %s", a.body)
	}
	b.want(b.ask("GET", "/cart", "", "If-None-Match", `"main-2"`), 304, "")
	if a := b.want(b.ask("PUT", "/cart", `{"id":1,"quantity":2}`, "If-Match", `"main-2"`, "Prefer", "return=minimal", "Content-Type", "application/x-www-form-urlencoded"), 200, ""); a.field("version") != "3" || a.field("result") != "" {
		t.Errorf("the minimal answer is %s", a.body)
	}
	// Who names a version means a cart that is there.
	for _, match := range []string{`"main-0"`, `"main-1"`, "*"} {
		other := &browser{shop: b.shop}
		other.want(other.ask("POST", "/cart", addLantern, "If-Match", match), 404, "cart_not_found")
		if other.cart == "" {
			t.Error("no cookie was handed out")
		}
	}
	if n := b.carts(); n != 1 {
		t.Errorf("%d carts are stored, want one", n)
	}
}

func TestCookieIsHandedOutOnceAndOnlyWhenItIsNew(t *testing.T) {
	s := openShop(t, nil)
	for _, ask := range [][3]string{{"GET", "/cart", ""}, {"HEAD", "/cart", ""}, {"POST", "/cart", addLantern}, {"POST", "/cart", "nonsense"}, {"DELETE", "/cart/1", ""}, {"POST", "/cart?branch=gift", addLantern}} {
		b := &browser{shop: s}
		b.ask(ask[0], ask[1], ask[2])
		first := b.cart
		if first == "" {
			t.Errorf("%s %s hands out no cookie", ask[0], ask[1])
		}
		for _, next := range [][3]string{{"GET", "/cart", ""}, {"POST", "/cart", addLantern}, {"GET", "/cart", ""}, {"DELETE", "/cart", ""}, {"DELETE", "/cart/9", ""}} {
			if a := b.send(next[0], next[1], next[2]); a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s with a cookie: %s", next[0], next[1], a.header.Get("Set-Cookie"))
			}
		}
	}
	if a := s.request("GET", "/v1/carts/x", ""); a.header.Get("Set-Cookie") != "" {
		t.Error("the resource API hands out a cookie")
	}
	for _, site := range []string{"cross-site", "same-origin"} {
		if a := s.request("GET", "/cart", "", "Sec-Fetch-Site", site); (cookieOf(t, a) == "") != (site == "cross-site") {
			t.Errorf("GET from %s: Set-Cookie %q", site, a.header.Get("Set-Cookie"))
		}
	}
}

func TestCookieIsSecureUnderTLSAndWhereItIsSaid(t *testing.T) {
	set := func(tls bool, secure bool) string {
		handler := make(chan http.Handler, 1)
		openShop(t, func(o *api.Options) { o.SecureCookies = secure; handler <- api.New(*o) })
		start := httptest.NewServer
		if tls {
			start = httptest.NewTLSServer
		}
		server := start(<-handler)
		defer server.Close()
		resp, err := server.Client().Get(server.URL + "/cart")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		cookie := resp.Header.Get("Set-Cookie")
		id, rest, _ := strings.Cut(strings.TrimPrefix(cookie, "cartid="), ";")
		if len(id) != 26 {
			t.Errorf("Set-Cookie: %s", cookie)
		}
		return rest
	}
	const plain, marked = " Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax", " Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"
	for _, tc := range []struct {
		tls, secure bool
		want        string
	}{{false, false, plain}, {true, false, marked}, {false, true, marked}, {true, true, marked}} {
		if got := set(tc.tls, tc.secure); got != tc.want {
			t.Errorf("TLS %t, --secure-cookies %t: %s, want %s", tc.tls, tc.secure, got, tc.want)
		}
	}
}

// A jar of the standard library keeps the cookie and sends it back.
func TestCookieJarKeepsTheCart(t *testing.T) {
	s := openShop(t, nil)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	for range 2 {
		resp, err := client.Post(s.url+"/cart", "text/plain;charset=UTF-8", strings.NewReader(addLantern))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	if n := s.carts(); n != 1 {
		t.Errorf("%d carts, want one", n)
	}
}

func TestNothingIsStoredUntilAChangeIsAccepted(t *testing.T) {
	s := openShop(t, nil)
	b := &browser{shop: s}
	b.want(b.ask("GET", "/cart", ""), 404, "cart_not_found")
	for _, tc := range [][4]string{
		{"POST", "/cart", `{"sku":"none","quantity":1}`, "unknown_sku"},
		{"POST", "/cart", `{"sku":"85123A","quantity":0}`, "validation_failed"},
		{"POST", "/cart/add", `{"items":[{"sku":"85123A","quantity":0},{"sku":"none","quantity":1}]}`, "validation_failed"},
		{"POST", "/cart/add", `{"items":[]}`, "validation_failed"},
		{"POST", "/cart", `{`, "invalid_request"},
		{"PUT", "/cart", `{"id":1,"quantity":1}`, "item_not_found"},
		{"DELETE", "/cart/1", ``, "item_not_found"},
		{"PUT", "/cart/item/1/marking", `{"type":1,"marking":"x"}`, "item_not_found"},
		{"DELETE", "/cart/item/1/marking", ``, "item_not_found"},
		{"POST", "/cart/delivery", `{"provider":"postnord","items":[1]}`, "validation_failed"},
		{"POST", "/cart/delivery", `{"provider":"nobody","items":[1]}`, "unknown_provider"},
		{"DELETE", "/cart/delivery/1", ``, "delivery_not_found"},
		{"PUT", "/cart/delivery/1/pickupPoint", `{"id":"p"}`, "delivery_not_found"},
		{"PUT", "/cart/voucher", `{"code":"none"}`, "unknown_voucher"},
		{"DELETE", "/cart/voucher/1", ``, "voucher_not_found"},
		{"PUT", "/cart/user", `{"userId":""}`, "validation_failed"},
		{"POST", "/cart/checkout", `{}`, "cart_empty"},
		{"POST", "/cart/checkout", `{"orderId":"o","expectedTotal":1}`, "cart_empty"},
		{"DELETE", "/cart/checkout", ``, "not_in_checkout"},
	} {
		a := b.ask(tc[0], tc[1], tc[2], "Idempotency-Key", "k")
		if a.field("code") != tc[3] {
			t.Errorf("%s %s %s: %d %s, want %s", tc[0], tc[1], tc[2], a.status, a.body, tc[3])
		}
	}
	if n := s.carts(); n != 0 {
		t.Errorf("%d carts are stored, want none", n)
	}
	a := b.want(b.ask("POST", "/cart", `{"sku":"85123A","quantity":6,"country":"se"}`, "Idempotency-Key", "k"), 200, "")
	if a.field("result.id") != b.cart || a.field("result.version") != "2" || a.field("result.country") != "SE" || a.field("result.currency") != "GBP" {
		t.Errorf("the cart of cookie %s is %s", b.cart, a.body)
	}
}

func TestEachOfTheseMakesACart(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Currency = "SEK" })
	for i, tc := range [][4]string{
		{"PUT", "/cart/voucher", `{"code":"WELCOME10","country":"se"}`, "SE"},
		{"PUT", "/cart/user", `{"userId":"u"}`, ""},
		{"PUT", "/cart/subscription-details", `{"offeringCode":"o"}`, ""},
		{"DELETE", "/cart", ``, ""},
	} {
		b := &browser{shop: s}
		a := b.want(b.ask(tc[0], tc[1], tc[2]), 200, "")
		if a.field("result.id") != b.cart || a.field("result.currency") != "SEK" || a.field("result.country") != tc[3] || s.carts() != i+1 {
			t.Errorf("%s %s: %s; %d carts", tc[0], tc[1], a.body, s.carts())
		}
	}
}

func TestCheckoutWithoutAnOrderIDNamesOneAndKeepsIt(t *testing.T) {
	s := openShop(t, nil)
	b := &browser{shop: s}
	b.want(b.ask("POST", "/cart", addLantern), 200, "")
	orders := make([]string, 8)
	var wg sync.WaitGroup
	for i := range orders { // two tabs, a double click, a retry
		wg.Go(func() {
			orders[i] = b.want(b.send("POST", "/cart/checkout", `{"expectedTotal":1530}`), 200, "").field("result.orderReference")
		})
	}
	wg.Wait()
	for _, order := range orders {
		if order != orders[0] || len(order) != 26 {
			t.Fatalf("orders %q, want one", orders)
		}
	}
	b.want(b.ask("POST", "/cart/checkout", `{"orderId":"`+orders[0]+`"}`), 200, "")
	b.want(b.ask("POST", "/cart/checkout", `{"orderId":"o-1"}`), 409, "cart_frozen")
	b.want(b.ask("POST", "/cart/checkout", `{"expectedTotal":1}`), 409, "expected_total_changed")
	if n := b.want(b.ask("GET", "/cart", ""), 200, "").field("version"); n != "3" {
		t.Errorf("version %s, want 3: a repeat changes nothing", n)
	}
	b.want(b.ask("DELETE", "/cart/checkout", ""), 200, "")
	again := b.want(b.ask("POST", "/cart/checkout", `{}`, "Idempotency-Key", "k"), 200, "").field("result.orderReference")
	if again == orders[0] || again == b.cart {
		t.Errorf("another freeze is for the order of the one before: %s", again)
	}
	if a := b.want(b.ask("POST", "/cart/checkout", `{}`, "Idempotency-Key", "k"), 200, ""); a.field("result.orderReference") != again || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the repeat by its key is %s", a.body)
	}
	b.want(s.request("POST", s.newCart()+"/checkout", `{}`), 422, "validation_failed") // where the shop names orders
	b.want(b.ask("POST", "/cart/checkout", `{"orderId":""}`), 422, "validation_failed")
}

func TestCheckoutWithoutAnOrderIDAfterAForgottenOneIsForAnother(t *testing.T) {
	b := &browser{shop: openForgetful(t)}
	b.want(b.ask("POST", "/cart", addLantern), 200, "")
	first := b.want(b.ask("POST", "/cart/checkout", `{}`), 200, "")
	b.awaitEnd(first)
	if a := b.want(b.ask("POST", "/cart/checkout", `{}`), 200, ""); a.field("result.orderReference") == first.field("result.orderReference") {
		t.Error("the order is that of the checkout that was forgotten")
	}
}
