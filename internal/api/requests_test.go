package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"cartd/internal/api"
	"cartd/internal/catalog"
)

func TestStrangePathsAreRefusedInPlace(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	for path, code := range map[string]string{
		"/v1/carts/../x":                        "not_found",
		"/v1/carts/..%2Fx":                      "cart_not_found",
		"/v1/carts/a%2Fb":                       "cart_not_found",
		"/v1/carts/%00":                         "cart_not_found",
		"/v1/carts/%zz":                         "", // net/http's own 400
		"/v1/carts/.":                           "cart_not_found",
		"/v1/carts/-a":                          "cart_not_found",
		"/v1/carts/" + strings.Repeat("x", 300): "cart_not_found",
		"/v1/carts//":                           "not_found",
		"/v1/carts//items":                      "not_found",
		"//v1/carts/x":                          "not_found",
		"/v1/carts/nobody":                      "cart_not_found",
		"/v1/carts/nobody/events":               "cart_not_found",
		"/":                                     "not_found",
		"/v1/carts":                             "not_found", // not there yet
		"/v2/carts":                             "not_found",
		"/v1/carts/x/branches":                  "cart_not_found",
		"/v1/carts/x/branches/main":             "cart_not_found",
		"/v1/carts/x/branches/a%2Fb":            "branch_not_found",
		cart + "%2F":                            "cart_not_found",
		cart + "/items%2F":                      "not_found",
		cart + "%2F/":                           "cart_not_found",
	} {
		a := rawGet(t, s.url, path)
		want := 404
		if code == "" {
			want = 400
		}
		if a.status != want || code != "" && a.field("code") != code {
			t.Errorf("%s: got %d %s, want %d %s", path, a.status, a.body, want, code)
		}
		if code != "" && (a.header.Get("Content-Type") != "application/problem+json" || a.field("status") != "404" || a.field("title") == "" || a.field("instance") == "" || a.field("type") == "") {
			t.Errorf("%s: no complete problem: %s", path, a.body)
		}
	}
	if got := s.grains.Active(); got > 1 {
		t.Errorf("%d activations, want none but the cart's", got)
	}
}

func TestBadRequestsAreRefusedAndWriteNothing(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	for _, tc := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/items", ``, 400, "invalid_request"},
		{"POST", "/items", `{`, 400, "invalid_request"},
		{"POST", "/items", `nonsense`, 400, "invalid_request"},
		{"POST", "/items", `[]`, 400, "invalid_request"},
		{"POST", "/items", `"x"`, 400, "invalid_request"},
		{"POST", "/items", `null`, 400, "invalid_request"},
		{"POST", "/items", `{"SKU":"85123A","quantity":1}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"quantity":1000}`, 400, "invalid_request"},
		{"POST", "/items", "{\"sku\":\"85123A\",\"quantity\":1,\"attributes\":{\"a\":\"\xff\"}}", 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"attributes":{"a":"\ud800"}}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"attributes":{"a":null}}`, 400, "invalid_request"},
		{"POST", "/items", `{"items":[{"sku":"85123A","quantity":1}],"attributes":{"a":"b"}}`, 422, "validation_failed"},
		{"POST", "/items", strings.Repeat(`{"items":[`, 20000), 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1} {}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"price":1}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":5,"quantity":1}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1.5}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":"1"}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":9223372036854775808}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":9223372036854775807}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":2147483648}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":1000001}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":999995}`, 422, "validation_failed"}, // with the 6 that are there
		{"POST", "/items", `{"sku":"85123A","quantity":0}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":-1}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":null}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A"}`, 422, "validation_failed"},
		{"POST", "/items", `{"quantity":1}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123a","quantity":1}`, 422, "unknown_sku"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"country":"GBR"}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"country":"1!"}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"parentId":-1}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"parentId":77}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"attributes":{"a":1}}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"attributes":{"":"x"}}`, 422, "validation_failed"},
		{"POST", "/items", `{"sku":"` + strings.Repeat("x", 65) + `","quantity":1}`, 422, "validation_failed"},
		{"POST", "/items", `{"items":[]}`, 422, "validation_failed"},
		{"POST", "/items", `{"items":[{"sku":"85123A","quantity":1}],"sku":"85123A"}`, 422, "validation_failed"},
		{"POST", "/items", `{"items":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 422, "validation_failed"},
		{"PATCH", "/items/1", `{"quantity":1000001}`, 422, "validation_failed"},
		{"PATCH", "/items/1", `{"marking":{"text":"x","colour":"red"}}`, 400, "invalid_request"},
		{"PATCH", "/items/4294967296", `{"quantity":1}`, 404, "item_not_found"},
		{"PATCH", "/items", `{"quantity":1}`, 405, "method_not_allowed"},
		{"DELETE", "/items/-1", ``, 404, "item_not_found"},
		{"POST", "/deliveries", `{"items":[1]}`, 422, "validation_failed"},
		{"POST", "/deliveries", `{"provider":"postnord","items":[-1]}`, 400, "invalid_request"},
		{"POST", "/deliveries", `{"provider":"postnord","items":[1],"address":{"country":"Britain"}}`, 422, "validation_failed"},
		{"POST", "/checkout", `{}`, 422, "validation_failed"},
		{"POST", "/checkout", `{"orderId":"o","expectedTotal":"1530"}`, 400, "invalid_request"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"country":"ſe"}`, 422, "validation_failed"},
		{"POST", "/deliveries", `{"provider":"postnord","items":[1],"pickupPoint":{"id":"p","country":"ıt"}}`, 422, "validation_failed"},
		{"PATCH", "/items/1", `null`, 400, "invalid_request"},
		{"POST", "/items?branch=gift", addLantern, 404, "branch_not_found"},
		{"POST", "/items?branch=main&branch=gift", addLantern, 400, "invalid_request"},
		{"POST", "/items?branch=Gift", addLantern, 404, "branch_not_found"},
		{"POST", "/items?version=1", addLantern, 400, "invalid_request"},
		{"GET", "/events?at=2026-11-21T02:26:22Z", ``, 400, "invalid_request"},
		{"DELETE", "/items?branch=%zz", ``, 400, "invalid_request"},
		{"GET", "?branch=main;x", ``, 400, "invalid_request"},
		{"GET", "/events?limit=0", ``, 422, "validation_failed"},
		{"GET", "/events?limit=1001", ``, 422, "validation_failed"},
		{"GET", "/events?limit=ten", ``, 400, "invalid_request"},
		{"GET", "/events?limit=", ``, 400, "invalid_request"},
		{"GET", "/events?limit=1&limit=2", ``, 400, "invalid_request"},
		{"GET", "/events?after=-1", ``, 400, "invalid_request"},
		{"GET", "/events?since=yesterday", ``, 400, "invalid_request"},
		{"GET", "/events?branch=gift", ``, 404, "branch_not_found"},
		{"GET", "/events?%zz", ``, 400, "invalid_request"},
		{"GET", "?branch=gift", ``, 404, "branch_not_found"},
		{"GET", "?branch=gift&version=1", ``, 404, "branch_not_found"},
		{"GET", "?version=0", ``, 404, "not_found"},
		{"GET", "?version=3", ``, 404, "not_found"},
		{"GET", "?version=18446744073709551615", ``, 404, "not_found"},
		{"GET", "?version=-1", ``, 400, "invalid_request"},
		{"GET", "?version=", ``, 400, "invalid_request"},
		{"GET", "?version=1&version=2", ``, 400, "invalid_request"},
		{"GET", "?version=1&at=2026-11-21T02:26:22Z", ``, 400, "invalid_request"},
		{"GET", "?at=yesterday", ``, 400, "invalid_request"},
		{"GET", "?at=2026-01-01T00:00:00Z", ``, 404, "not_found"},
		{"GET", "?at=0001-01-01T00:00:00Z", ``, 404, "not_found"},
	} {
		a := s.request(tc.method, cart+tc.path, tc.body)
		if a.status != tc.status || a.field("code") != tc.code {
			t.Errorf("%s %s %.80s: got %d %s, want %d %s", tc.method, tc.path, tc.body, a.status, a.body, tc.status, tc.code)
		}
		if a.field("detail") == "" || a.status == 422 && a.field("errors.0.field") == "" {
			t.Errorf("%s %s %.80s: does not say what is wrong: %s", tc.method, tc.path, tc.body, a.body)
		}
	}
	if got := s.events(cart); got != "2" {
		t.Errorf("%s events, want 2: nothing of the bad requests", got)
	}
}

// The field of an error is named as it is in the request, and the sentence shows nothing of how the server is made.
func TestErrorsNameTheFieldOfTheRequest(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"postnord","items":[1]}`), 200, "")
	long := strings.Repeat("x", 3000)
	for _, tc := range []struct{ method, path, body, field string }{
		{"POST", "/items", `{"items":[{"sku":"85123A","quantity":1},{"sku":"85123A","quantity":"x"}]}`, "items[1].quantity"},
		{"POST", "/items", `{"items":[{"sku":"85123A","quantity":0},{"sku":"","quantity":1}]}`, "items[1].sku"},
		{"POST", "/items", `{"sku":"85123A","quantity":0}`, "quantity"},
		{"POST", "/items", `{"sku":"85123A","quantity":1,"colour":"red"}`, "colour"},
		{"PATCH", "/items/1", `{"marking":{"text":"` + long + `"}}`, "marking.text"},
		{"POST", "/deliveries", `{"provider":"postnord","items":[1],"address":{"country":"x"}}`, "address.country"},
		{"POST", "/deliveries", `{"provider":"postnord","items":[1],"pickupPoint":{"id":"` + long + `"}}`, "pickupPoint.id"},
		{"PUT", "/deliveries/1/pickup-point", `{"id":"` + long + `"}`, "id"},
		{"POST", "/mutations", `{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":1,"price":-1}}]}`, "mutations[0].payload.price"},
		{"POST", "/mutations", `{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":1.5}}]}`, "mutations[0].payload"},
	} {
		a := s.request(tc.method, cart+tc.path, tc.body, asBackend...)
		var fields strings.Builder
		fields.WriteString(a.field("detail"))
		for i := range 3 {
			fields.WriteString(" " + a.field(fmt.Sprintf("errors.%d.field", i)))
		}
		if !strings.Contains(fields.String(), tc.field) || a.status != 400 && a.status != 422 {
			t.Errorf("%s %.90s: %d %s, want it to name %s", tc.path, tc.body, a.status, a.body, tc.field)
		}
		for _, internal := range []string{"addRequest", "messages.", "int64", "jsontext", "json:", "Go "} {
			if strings.Contains(string(a.body), internal) {
				t.Errorf("%s %.90s: %q is shown: %s", tc.path, tc.body, internal, a.body)
			}
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.MaxBodyBytes = 1000 })
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", `{"sku":"`+strings.Repeat("x", 1000)+`"}`), 413, "payload_too_large")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
}

func TestMethodsAreListedWhenOneIsNotAllowed(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	a := s.want(s.request("PUT", cart, `{}`), 405, "method_not_allowed")
	if got := a.header.Get("Allow"); got != "DELETE, GET, HEAD, OPTIONS" {
		t.Errorf("Allow is %q", got)
	}
	if a := s.want(s.request("OPTIONS", cart, ""), 204, ""); a.header.Get("Allow") == "" {
		t.Error("OPTIONS names no methods")
	}
}

func TestPanicIsContainedAndToldAsInternal(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Catalog = panicking{} })
	cart := s.newCart()
	a := s.want(s.request("POST", cart+"/items", addLantern, "X-Request-Id", "my-id"), 500, "internal")
	if strings.Contains(string(a.body), "boom") || a.header.Get("X-Request-Id") != "my-id" {
		t.Errorf("answer %s with id %s", a.body, a.header.Get("X-Request-Id"))
	}
	s.want(s.request("POST", cart+"/items", `{"items":[`+addLantern+`,`+addLantern+`]}`), 500, "internal")
	if a := s.request("GET", cart, "", "X-Request-Id", "not a token"); a.status == 200 && a.header.Get("X-Request-Id") == "not a token" {
		t.Error("any request id is echoed")
	}
}

type panicking struct{}

func (panicking) ByCountry() bool { return false }

func (panicking) Product(context.Context, string, string) (p catalog.Product, err error) {
	panic("boom")
}

func TestEventsArePagedAndFiltered(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	for i := range 5 {
		s.want(s.request("POST", cart+"/items", fmt.Sprintf(`{"sku":"85123A","quantity":%d}`, i+1)), 200, "")
	}
	a := s.want(s.request("GET", cart+"/events?limit=2", ""), 200, "")
	if a.field("events.0.type") != "CartCreated" || a.field("events.1.payload.quantity") != "1" || a.field("next") != "2" || a.field("head") != "6" {
		t.Errorf("first page %s", a.body)
	}
	if a = s.want(s.request("GET", cart+"/events?limit=2&after=5", ""), 200, ""); a.field("events.0.version") != "6" || a.field("events.1") != "" || a.field("next") != "6" {
		t.Errorf("last page %s", a.body)
	}
	if a = s.want(s.request("GET", cart+"/events?type=CartCreated,CartDeleted", ""), 200, ""); a.field("events.1") != "" || a.field("next") != "6" {
		t.Errorf("filtered page %s", a.body)
	}
	at := a.field("events.0.time")
	if a = s.want(s.request("GET", cart+"/events?until="+at, ""), 200, ""); a.field("events") != "[]" {
		t.Errorf("until is not exclusive: %s", a.body)
	}
	if a = s.want(s.request("GET", cart+"/events?type=CartCreated&since="+at, ""), 200, ""); a.field("events.0.version") != "1" {
		t.Errorf("since is not inclusive: %s", a.body)
	}
	if a.field("events.0.branch") != "main" || a.field("events.0.id") == "" || a.field("events.0.cartId") == "" {
		t.Errorf("event %s", a.field("events.0"))
	}
}

func TestRequestsAreCountedByRouteAndNotByPath(t *testing.T) {
	s := openShop(t, nil)
	s.request("GET", "/v1/carts/nobody", "")
	s.request("GET", "/v1/carts/nobody2", "")
	s.request("BREW", "/v1/carts", "")
	s.request("GET", "/nowhere", "")
	const want = `
		# HELP cartd_http_requests_total Requests answered, by route template, method and status.
		# TYPE cartd_http_requests_total counter
		cartd_http_requests_total{code="404",method="GET",route="/v1/carts/{id}"} 2
		cartd_http_requests_total{code="404",method="GET",route="none"} 1
		cartd_http_requests_total{code="405",method="other",route="/v1/carts"} 1
	`
	if err := testutil.GatherAndCompare(s.reg, strings.NewReader(want), "cartd_http_requests_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(s.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

func TestOperationsPort(t *testing.T) {
	var broken error
	h := api.Operations(prometheus.NewRegistry(), func() error { return broken })
	get := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code
	}
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/debug/pprof/": 200, "/v1/carts/x": 404} {
		if got := get(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	broken = http.ErrServerClosed
	if got := get("/readyz"); got != 503 {
		t.Errorf("/readyz while not ready: %d, want 503", got)
	}
	if got := get("/healthz"); got != 200 {
		t.Errorf("/healthz while not ready: %d, want 200: the process lives", got)
	}
}
