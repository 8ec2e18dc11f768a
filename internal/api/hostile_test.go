package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"cartd/internal/api/openapi"
	"cartd/internal/api/openapi/conform"
)

// asked is a request as it goes over the wire. header is lines of name and value; {cart} stands for a cart that is there.
type asked struct {
	method, target, header string
	body                   []byte
}

// request makes the request, nil if net/http would not let it through to a handler.
func (a asked) request(cart string) *http.Request {
	target := strings.ReplaceAll(a.target, "{cart}", cart)
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Scheme != "" || strings.ContainsAny(target, " #\t\r\n\x00") {
		return nil
	}
	for i := range len(a.method) {
		if c := a.method[i]; c < 'A' || c > 'Z' {
			return nil
		}
	}
	r := httptest.NewRequest("GET", "/", bytes.NewReader(a.body))
	r.Method, r.URL, r.RequestURI = a.method, u, target
	if a.method == "" {
		r.Method = "GET"
	}
	for line := range strings.Lines(strings.ReplaceAll(a.header, "{cart}", cart)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		value = strings.Trim(value, " \t")
		plain := !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
		token := name != "" && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) })
		if ok && plain && token && !strings.EqualFold(name, "Content-Length") {
			r.Header.Add(name, value)
		}
	}
	return r
}

// hangsUp is a client that goes when it is answered with a stream.
type hangsUp struct {
	*httptest.ResponseRecorder
	goes func()
}

func (w hangsUp) WriteHeader(status int) {
	if conform.Streams(w.Header()) {
		w.goes()
	}
	w.ResponseRecorder.WriteHeader(status)
}

// hostile asks a handler and says what is wrong with the answer: a fault of the server, or none of the contract.
func hostile(h http.Handler, a asked, cart string) (*httptest.ResponseRecorder, error) {
	r := a.request(cart)
	if r == nil {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(hangsUp{w, cancel}, r.WithContext(ctx))
	if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
		return w, fmt.Errorf("%s %q %q %q: %d %s", a.method, a.target, a.header, a.body, w.Code, w.Body)
	}
	return w, conform.Check(conform.Exchange{
		Method: r.Method, Target: r.URL.RequestURI(), Header: r.Header, Body: a.body,
		Status: w.Code, AnswerHeader: w.Header(), Answer: w.Body.Bytes(),
	})
}

// fullCart makes a cart with two lines, a delivery and a voucher, whose total is that of the contract's examples, and
// returns its id.
func fullCart(t testing.TB, h http.Handler) string {
	t.Helper()
	w, err := hostile(h, asked{"POST", "/v1/carts", "", []byte(`{"currency":"GBP","country":"GB"}`)}, "")
	if err != nil || w.Code != 201 {
		t.Fatal(err, w)
	}
	id := strings.TrimPrefix(w.Header().Get("Location"), "/v1/carts/")
	w, err = hostile(h, asked{"POST", "/v1/carts/{cart}/mutations", "Authorization: Bearer " + token, []byte(`{"mutations":[
		{"type":"AddItem","payload":{"sku":"85123A","quantity":6,"price":255,"tax":2500}},
		{"type":"AddItem","payload":{"sku":"child","quantity":1,"price":0,"tax":0,"parentId":1}},
		{"type":"SetDelivery","payload":{"provider":"postnord","items":[1],"price":490,"tax":2500}},
		{"type":"AddVoucher","payload":{"code":"WELCOME10","kind":"percent","value":1000}}]}`)}, id)
	if err != nil || w.Code != 200 {
		t.Fatal(err, w)
	}
	w, err = hostile(h, asked{"POST", "/v1/carts/{cart}/branches", "", []byte(`{"name":"what-if"}`)}, id)
	if err != nil || w.Code != 201 {
		t.Fatal(err, w)
	}
	return id
}

// goodRequests returns a request for each operation and example of the contract, of which the server has those that are
// served.
func goodRequests(t testing.TB, served func(path string) bool) (all []asked) {
	t.Helper()
	var contract struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(openapi.JSON(), &contract); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("/cart/{id}", "/cart/1", "/voucher/{id}", "/voucher/1", "/delivery/{id}", "/delivery/1", "/item/{id}", "/item/1", "{id}", "{cart}", "{item}", "1", "{d}", "1", "{v}", "1", "{b}", "what-if", "{name}", "mail", "{file}", "start.js")
	for path, item := range contract.Paths {
		if !served(path) {
			continue
		}
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op struct {
				RequestBody struct {
					Content map[string]struct {
						Examples map[string]struct{ Value json.RawMessage }
					}
				}
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			a := asked{method: strings.ToUpper(method), target: fill.Replace(path), header: "Authorization: Bearer " + token}
			if path == "/cart" || strings.HasPrefix(path, "/cart/") {
				a.header = "Cookie: cartid={cart}"
				if path == "/cart/{id}" && method == "get" {
					a.target = "/cart/{cart}"
				}
			}
			examples := op.RequestBody.Content["application/json"].Examples
			if len(examples) == 0 {
				all = append(all, a)
			}
			for _, e := range examples {
				a.body = e.Value
				all = append(all, a)
			}
		}
	}
	for _, m := range mutations {
		all = append(all, asked{"POST", "/v1/carts/{cart}/mutations", "Authorization: Bearer " + token, []byte(`{"mutations":[` + m + `]}`)})
	}
	slices.SortFunc(all, func(a, b asked) int { // maps have no order, a seed has
		return strings.Compare(a.method+a.target+string(a.body), b.method+b.target+string(b.body))
	})
	return all
}

// mutations are one of each type that the backend may ask for, as the full cart takes them.
var mutations = []string{
	`{"type":"AddItem","payload":{"sku":"x","quantity":1,"price":100,"orgPrice":120,"tax":2500,"priceExVat":true,"stock":3,"attributes":{"a":"b"},"taxRounding":"half-even","taxLevel":"line"}}`,
	`{"type":"RemoveItem","payload":{"id":2}}`, `{"type":"ChangeQuantity","payload":{"id":1,"quantity":2}}`,
	`{"type":"LineItemAttributes","payload":{"id":1,"attributes":{"a":"b"}}}`, `{"type":"LineItemMarking","payload":{"id":1,"type":1,"marking":"x"}}`,
	`{"type":"RemoveLineItemMarking","payload":{"id":1}}`, `{"type":"ClearCart"}`, `{"type":"RemoveDelivery","payload":{"id":1}}`,
	`{"type":"SetDelivery","payload":{"provider":"p","items":[1,2],"price":100,"tax":2500,"address":{"city":"x"},"pickupPoint":{"id":"p","name":null},"country":"GB"}}`,
	`{"type":"SetPickupPoint","payload":{"deliveryId":1,"pickupPoint":{"id":"p"}}}`, `{"type":"RemoveVoucher","payload":{"id":1}}`,
	`{"type":"AddVoucher","payload":{"code":"c","kind":"amount","value":100,"currency":"GBP","minTotal":1,"skus":["x"],"validFrom":"2026-01-01T00:00:00Z","usageLimit":1,"oncePerUser":true}}`,
	`{"type":"RefreshPrices","payload":{"lines":[{"id":1,"price":100,"tax":0,"stock":1,"name":"x"},{"id":2,"gone":true}]}}`,
	`{"type":"SetUserId","payload":{"userId":"u","rebind":true}}`, `{"type":"UpsertSubscriptionDetails","payload":{"id":"s","data":"{\"a\":1}"}}`,
	`{"type":"InitializeCheckout","payload":{"orderId":"o","ttlMillis":1000}},{"type":"AbortCheckout"}`, `{"type":"CheckoutExpired"}`,
	`{"type":"InitializeCheckout","payload":{"orderId":"o"}},{"type":"OrderCreated","payload":{"orderId":"o","status":"paid"}}`,
	`{"type":"CartCreated","payload":{}}`, `{"type":"CartDeleted"}`,
}

// servedBy reports whether h has a path of the contract: the contract may be ahead of it.
func servedBy(h http.Handler) func(string) bool {
	return func(path string) bool {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("OPTIONS", strings.NewReplacer("{", "", "}", "").Replace(path), nil))
		return w.Code == http.StatusNoContent
	}
}

// FuzzRouter: whatever is sent to whatever path, the server has no fault, and answers as the contract says.
func FuzzRouter(f *testing.F) {
	h := openShop(f, nil).handler
	for _, a := range goodRequests(f, servedBy(h)) {
		f.Add(a.method, a.target, a.header, a.body)
	}
	for _, a := range []asked{
		{"GET", "/v1/carts/{cart}?branch=main&limit=1&limit=2", `If-None-Match: "main-1", W/"x", *`, nil},
		{"GET", "/v1/carts/{cart}/events?after=1&limit=1000&type=A,,B&since=2026-11-21T14:00:00Z&until=x", "", nil},
		{"GET", "/v1/carts/{cart}/events?limit=1", "Accept: text/event-stream\nLast-Event-ID: 1", nil},
		{"GET", "/v1/events?cart={cart}&after=0&incarnation=", "Accept: text/event-stream\nAuthorization: Bearer " + token, nil},
		{"GET", "/v1/carts?status=open&updatedBefore=2026-11-21T14:00:00Z&cursor=x", "Authorization: bearer " + token, nil},
		{"POST", "/v1/carts/{cart}/items/", "Idempotency-Key: k\nIf-Match: \"main-2\"\nPrefer: return=minimal", []byte(`{"items":[{"sku":"85123A","quantity":1e0},{}]}`)},
		{"PATCH", "/v1/carts/{cart}/items/2", "", []byte(`{"marking":null,"quantity":null,"attributes":{"a":null}}`)},
		{"BREW", "/v1//carts/%2e%2e/%00/", "X-Request-Id: \xff", []byte("\xff{")},
	} {
		f.Add(a.method, a.target, a.header, a.body)
	}
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte) {
		if _, err := hostile(h, asked{method, target, header, body}, fullCart(t, h)); err != nil {
			t.Error(err)
		}
	})
}

func TestTenThousandRandomRequestsFindNoFault(t *testing.T) {
	h := openListing(t).handler
	good := goodRequests(t, servedBy(h))
	m := &mutator{rand.New(rand.NewPCG(1, 2))}
	cart := ""
	done, statuses := map[string]bool{}, map[int]int{}
	for i := range 10_000 {
		if i%20 == 0 {
			cart = fullCart(t, h)
			if m.chance(4) { // and some are being paid
				if _, err := hostile(h, asked{"POST", "/v1/carts/{cart}/checkout", "", []byte(`{"orderId":"o-1001"}`)}, cart); err != nil {
					t.Error(err)
				}
			}
		}
		a := good[m.IntN(len(good))]
		name := a.method + " " + a.target
		method := a.method
		a = m.mutate(a)
		w, err := hostile(h, a, cart)
		if err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if w == nil {
			continue
		}
		statuses[w.Code]++
		done[name] = done[name] || w.Code < 300 && a.method == method
	}
	for name, ok := range done {
		if !ok {
			t.Errorf("%s never succeeded: nothing was tried of what lies behind its checks", name)
		}
	}
	for _, status := range []int{200, 201, 204, 304, 400, 401, 404, 405, 409, 410, 412, 413, 422} {
		if statuses[status] == 0 {
			t.Errorf("no answer had status %d: %v", status, statuses)
		}
	}
}
