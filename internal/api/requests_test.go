package api_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

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
	// Who finds no cart answers first and leaves then.
	s.eventually("no activation is left but the cart's", func() bool { return s.grains.Active() <= 1 })
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

// A key that is known makes no bad request good: what is found before the cart is asked must not end in an empty answer.
func TestKeyOfAnotherRequestIsToldForBadRequestsToo(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	key := append([]string{"Idempotency-Key", "k"}, asBackend...)
	s.want(s.request("POST", cart+"/items", addLantern, key...), 200, "")
	for _, r := range []struct{ path, body string }{
		{"/items", `{"items":[]}`},
		{"/items", `{"sku":"no-such-thing","quantity":1}`},
		{"/items", `{"items":[` + strings.Repeat(`{},`, 1000) + `{}]}`},
		{"/deliveries", `{"items":[1]}`},
		{"/deliveries", `{"provider":"postnord"}`},
		{"/deliveries", `{"provider":"pigeon","items":[1]}`},
		{"/vouchers", `{"code":"NONE"}`},
		{"/mutations", `{}`},
		{"/mutations", `{"mutations":[{"type":"Nonsense"}]}`},
		{"/refresh", ``},
		{"/merge", `{"from":"nobody"}`},
	} {
		if a := s.request("POST", cart+r.path, r.body, key...); a.status != 422 || a.field("code") == "" {
			t.Errorf("%s %.60s: %d %s, want 422", r.path, r.body, a.status, a.body)
		}
	}
	if got := s.events(cart); got != "2" {
		t.Errorf("%s events, want 2", got)
	}
}

func TestBodyIsBounded(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.MaxBodyBytes = 1000 })
	cart := s.newCart()
	large := `{"sku":"` + strings.Repeat("x", 1000) + `"}`
	s.want(s.request("POST", cart+"/items", large), 413, "payload_too_large")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")

	resp, err := http.Post(s.url+cart+"/items", "application/json", io.MultiReader(strings.NewReader(large))) // chunked
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("a body that does not say how long it is: got %s, want 413", resp.Status)
	}
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
	counted := map[string]float64{}
	for labels, n := range s.requestsByRoute() {
		if n > 0 {
			counted[labels] = n
		}
	}
	want := map[string]float64{"GET /v1/carts/{id} 404": 2, "GET none 404": 1, "other /v1/carts 405": 1}
	if diff := cmp.Diff(want, counted); diff != "" {
		t.Errorf("requests by route (-want +got):\n%s", diff)
	}
	problems, err := testutil.GatherAndLint(s.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

func TestRoutesAreCountedFromZero(t *testing.T) {
	s := openShop(t, nil)
	all := s.requestsByRoute()
	for _, labels := range []string{
		"POST /v1/carts/{id}/items 200", "POST /v1/carts/{id}/items 502", "POST /v1/carts/{id}/items 503", "POST /v1/carts/{id}/items 504", "POST /v1/carts/{id}/items 500", "POST /v1/carts 201",
		"GET /cart 200", "DELETE /v1/carts/{id}/checkout 503", "GET /v1/events 200", "POST /v1/carts/{id}/order 500",
	} {
		if n, ok := all[labels]; !ok || n != 0 {
			t.Errorf("%s: %v, %v, want it there at 0", labels, n, ok)
		}
	}
	for labels, n := range all {
		if n != 0 {
			t.Errorf("%s: %v before the first request", labels, n)
		}
	}
	timed := map[string]bool{}
	for _, m := range s.family("cartd_http_request_duration_seconds") {
		timed[m["method"]+" "+m["route"]] = true
	}
	for labels := range all {
		if at := strings.LastIndexByte(labels, ' '); !timed[labels[:at]] {
			t.Errorf("%s is counted and not timed", labels[:at])
		}
	}
}

// requestsByRoute returns how many requests were counted, by method, route and status.
func (s *shop) requestsByRoute() map[string]float64 {
	all := map[string]float64{}
	for value, m := range s.family("cartd_http_requests_total") {
		all[m["method"]+" "+m["route"]+" "+m["code"]] = value.GetCounter().GetValue()
	}
	return all
}

// family yields the metrics of a name, with their labels.
func (s *shop) family(name string) iter.Seq2[*dto.Metric, map[string]string] {
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	return func(yield func(*dto.Metric, map[string]string) bool) {
		for _, f := range families {
			for _, m := range f.GetMetric() {
				labels := map[string]string{}
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				if f.GetName() == name && !yield(m, labels) {
					return
				}
			}
		}
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
