package api_test

import (
	"slices"
	"strings"
	"testing"

	"cartd/internal/api"
)

func TestOriginsAreThoseThatBrowsersSend(t *testing.T) {
	for _, s := range []string{"https://shop.example", "http://localhost:3000", "https://shop.example:8443", "http://127.0.0.1:8080", "http://[::1]:3000", "https://xn--bcher-kva.example"} {
		if o, err := api.ParseOrigin(s); err != nil || string(o) != s {
			t.Errorf("%s: %q, %v", s, o, err)
		}
	}
	for _, s := range []string{
		"", "*", "null", "shop.example", "https://", "https://*", "https://*.shop.example", "https://shop.example/", "https://shop.example/x", "https://shop.example?x",
		"https://shop.example#x", "https://user@shop.example", "https://Shop.example", "HTTPS://shop.example", "https://shop.example:443", "http://shop.example:80",
		"https://shop.example:", "ftp://shop.example", "file:///x", "https://bücher.example", " https://shop.example", "https://shop.example ", "https://shop example",
		"https://shop.example,https://other.example", "https://shop.example:port", "//shop.example", "javascript:alert(1)", "https://shop.example\x00", "https://a_b.example\n",
	} {
		if o, err := api.ParseOrigin(s); err == nil || o != "" {
			t.Errorf("%q is taken as %q", s, o)
		}
	}
}

const (
	shopOrigin = "https://shop.example"
	evilOrigin = "https://evil.example"
)

func openFor(t *testing.T, origins ...string) *shop {
	t.Helper()
	return openShop(t, func(o *api.Options) {
		for _, s := range origins {
			origin, err := api.ParseOrigin(s)
			if err != nil {
				t.Fatal(err)
			}
			o.CORSOrigins = append(o.CORSOrigins, origin)
		}
	})
}

// sites are what a browser says of where a change comes from, and whether it may be.
var sites = []struct {
	headers []string
	may     bool
}{
	{nil, true},
	{[]string{"Sec-Fetch-Site", "same-origin"}, true},
	{[]string{"Sec-Fetch-Site", "none"}, true},
	{[]string{"Sec-Fetch-Site", "cross-site"}, false},
	{[]string{"Sec-Fetch-Site", "same-site"}, false},
	{[]string{"Sec-Fetch-Site", "nonsense"}, false},
	{[]string{"Sec-Fetch-Site", "cross-site", "Origin", evilOrigin}, false},
	{[]string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, false},
	{[]string{"Origin", evilOrigin}, false}, // an older browser
	{[]string{"Origin", "null"}, false},
	{[]string{"Sec-Fetch-Site", "cross-site", "Origin", shopOrigin}, true},
	{[]string{"Sec-Fetch-Site", "same-site", "Origin", shopOrigin}, true},
	{[]string{"Origin", shopOrigin}, true},
	{[]string{"Sec-Fetch-Site", "cross-site", "Origin", shopOrigin + ":8443"}, false},
	{[]string{"Sec-Fetch-Site", "cross-site", "Origin", "http://shop.example"}, false},
}

func TestChangesFromOtherSitesAreRefused(t *testing.T) {
	s := openFor(t, shopOrigin)
	cart := s.newCart()
	for _, tc := range sites {
		b := &browser{shop: s, cart: "7ZK3D4M8W5Q0X1T2B9C6VNEJ4R"}
		want := map[bool]int{true: 200, false: 403}[tc.may]
		before := s.carts()
		fresh := &browser{shop: s}
		if a := fresh.ask("POST", "/cart", addLantern, tc.headers...); a.status != want || a.status == 403 && (a.field("code") != "cross_site" || fresh.cart != "" || s.carts() != before) {
			t.Errorf("%q without a cookie: %d %s, want %d", tc.headers, a.status, a.body, want)
		}
		if a := b.ask("POST", "/cart", addLantern, tc.headers...); a.status != want {
			t.Errorf("%q: %d %s, want %d", tc.headers, a.status, a.body, want)
		}
		for _, ask := range [][3]string{ // all that changes something
			{"POST", "/cart/add", `{"items":[]}`}, {"PUT", "/cart", `{}`}, {"DELETE", "/cart", ``}, {"DELETE", "/cart/1", ``}, {"PUT", "/cart/voucher", `{}`}, {"DELETE", "/cart/voucher/1", ``},
			{"POST", "/cart/delivery", `{}`}, {"DELETE", "/cart/delivery/1", ``}, {"PUT", "/cart/delivery/1/pickupPoint", `{}`}, {"PUT", "/cart/user", `{}`},
			{"PUT", "/cart/item/1/marking", `{}`}, {"DELETE", "/cart/item/1/marking", ``}, {"PUT", "/cart/subscription-details", `{}`}, {"POST", "/cart/checkout", `{}`}, {"DELETE", "/cart/checkout", ``},
		} {
			if a := b.ask(ask[0], ask[1], ask[2], tc.headers...); (a.status == 403) == tc.may {
				t.Errorf("%q %s %s: %d %s", tc.headers, ask[0], ask[1], a.status, a.body)
			}
		}
		// Who knows a cart's id is let in by that, and not by a cookie that a browser adds to whatever it is told to send.
		s.want(s.request("POST", cart+"/items", addLantern, tc.headers...), 200, "")
		if a := b.ask("GET", "/cart", "", tc.headers...); a.status == 403 {
			t.Errorf("%q: a read is refused", tc.headers)
		}
	}
}

func TestEveryChangingRouteOfTheSessionIsProtected(t *testing.T) {
	s := openShop(t, nil)
	n := 0
	for _, route := range api.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if method == "GET" || path != "/cart" && !strings.HasPrefix(path, "/cart/") {
			continue
		}
		n++
		s.want(s.request(method, strings.NewReplacer("{id}", "1").Replace(path), `{}`, "Sec-Fetch-Site", "cross-site"), 403, "cross_site")
	}
	if n != 16 {
		t.Errorf("%d routes of the session API change something, want 16", n)
	}
}

func TestPagesOfConfiguredOriginsMayReadAnswers(t *testing.T) {
	s := openFor(t, shopOrigin, "http://localhost:3000")
	cart := s.newCart()
	for _, tc := range []struct {
		path, origin, allowed, credentials string
	}{
		{"/cart", shopOrigin, shopOrigin, "true"}, {"/cart/", shopOrigin, shopOrigin, "true"}, {"/cart/nobody", "http://localhost:3000", "http://localhost:3000", "true"},
		{cart, shopOrigin, shopOrigin, ""}, {"/openapi.json", shopOrigin, shopOrigin, ""}, {"/openapi.json", evilOrigin, "", ""}, {"/nowhere", shopOrigin, shopOrigin, ""}, {"/cartoon", shopOrigin, shopOrigin, ""},
		{"/cart", evilOrigin, "", ""}, {cart, evilOrigin, "", ""}, {cart, "null", "", ""}, {cart, "https://shop.example.evil.example", "", ""}, {cart, "http://shop.example", "", ""}, {cart, "", "", ""},
	} {
		var headers []string
		if tc.origin != "" {
			headers = []string{"Origin", tc.origin}
		}
		a := s.request("GET", tc.path, "", headers...)
		if got, with := a.header.Get("Access-Control-Allow-Origin"), a.header.Get("Access-Control-Allow-Credentials"); got != tc.allowed || with != tc.credentials {
			t.Errorf("%s from %q: allowed for %q with credentials %q, want %q, %q", tc.path, tc.origin, got, with, tc.allowed, tc.credentials)
		}
		if !slices.Contains(a.header.Values("Vary"), "Origin") {
			t.Errorf("%s from %q varies with %q: a cache would mix up origins", tc.path, tc.origin, a.header.Values("Vary"))
		}
		if exposed := a.header.Get("Access-Control-Expose-Headers"); tc.allowed != "" && strings.ToLower(exposed) != "etag, idempotent-replayed, location, preference-applied, retry-after, x-request-id" {
			t.Errorf("%s exposes %s", tc.path, exposed)
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			pre := s.request("OPTIONS", tc.path, "", append(headers, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "content-type,idempotency-key,if-match")...)
			if tc.origin == "" {
				continue // not a preflight
			}
			got, with := pre.header.Get("Access-Control-Allow-Origin"), pre.header.Get("Access-Control-Allow-Credentials")
			status := 204
			if tc.path == "/nowhere" || tc.path == "/cartoon" {
				status = 404
			}
			if pre.status != status || (pre.header.Get("Allow") == "") != (status == 404) || got != tc.allowed || with != tc.credentials || (pre.header.Get("Access-Control-Allow-Methods") == method) != (tc.allowed != "") || pre.header.Get("Set-Cookie") != "" {
				t.Errorf("preflight of %s %s from %q: %d %v", method, tc.path, tc.origin, pre.status, pre.header)
			}
			if max := pre.header.Get("Access-Control-Max-Age"); tc.allowed != "" && max != "600" {
				t.Errorf("remembered for %q seconds", max)
			}
		}
	}
	for name, headers := range map[string][]string{ // preflights that are answered with nothing
		"a method that there is not": {"Access-Control-Request-Method", "TRACE"},
		"a header for the backend":   {"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "cartd-source"},
	} {
		if a := s.request("OPTIONS", "/cart", "", append(headers, "Origin", shopOrigin)...); a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is allowed: %v", name, a.header)
		}
	}
	if a := s.want(s.request("POST", "/cart", addLantern, "Origin", evilOrigin), 403, "cross_site"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the refusal may be read: %v", a.header)
	}
}

func TestWithoutOriginsThereIsNoCORS(t *testing.T) {
	s := openShop(t, nil)
	for _, a := range []answer{
		s.request("GET", "/cart", "", "Origin", shopOrigin),
		s.request("OPTIONS", "/cart", "", "Origin", shopOrigin, "Access-Control-Request-Method", "POST"),
	} {
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", name, a.header.Get(name))
			}
		}
	}
}
