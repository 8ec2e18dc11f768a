//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cartd/internal/api/openapi/conform"
)

// raw sends a request whose path no client library has touched.
func (s *server) raw(t *testing.T, method, path, body string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: cartd\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, path, token, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %.80s: %v", method, path, err)
	}
	a, err := readAnswer(resp)
	if err != nil {
		t.Fatalf("%s %.80s: %v", method, path, err)
	}
	wantContract(t, conform.Exchange{
		Method: method, Target: path, Header: http.Header{"Authorization": {"Bearer " + token}}, Body: []byte(body),
		Status: a.status, AnswerHeader: a.header, Answer: a.body,
	})
	return a
}

// withCart starts a server with the cart "c", which has one line, and checks in the end that nothing has changed it,
// or anything else in the data directory.
func withCart(t *testing.T) *server {
	t.Helper()
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	s.add(t, "c", "THERE")
	before := tree(t, data)
	t.Cleanup(func() {
		if c := s.cart(t, "c"); c.Version != 2 || len(c.Items) != 1 || c.Items[0].Qty != 1 {
			t.Errorf("the cart has become %+v", c)
		}
		if d := cmp.Diff(before, tree(t, data)); d != "" {
			t.Errorf("the data directory has changed (-before +after):\n%s", d)
		}
	})
	return s
}

func TestBadIDsAreRefusedInPlaceAndWriteNothing(t *testing.T) {
	t.Parallel()
	s := withCart(t)
	for _, id := range []string{
		"../x", "..", ".", "./c", "c/..", "%2e%2e", "%2e%2e%2fx", "%2E%2E/x", "..%5cx", "a%2Fb", "%2Fetc%2Fpasswd", "%00", "c%00", "c%0a",
		strings.Repeat("x", 300), strings.Repeat("x", 65), strings.Repeat("%2e%2e%2f", 100), "", "%20", "c%20", "-c", "_c",
		"%c3%a9", "\xc3\xa9", "%ff", "c:1", "c;d", "c.events.log", "c*", "~", "%25%32%65",
	} {
		for _, r := range []struct{ method, path, body string }{
			{"GET", "", ""},
			{"DELETE", "", ""},
			{"GET", "/events", ""},
			{"POST", "/items", `{"sku":"85123A","quantity":1}`},
			{"PUT", "/items", `{"items":[]}`},
			{"DELETE", "/items", ""},
			{"PATCH", "/items/1", `{"quantity":2}`},
			{"DELETE", "/items/1", ""},
			{"POST", "/deliveries", `{"provider":"postnord","items":[1]}`},
			{"POST", "/checkout", `{"orderId":"o"}`},
			{"POST", "/mutations", addItem("X", 1, 1, "")},
		} {
			path := "/v1/carts/" + id + r.path
			if path == "/v1/carts/" && r.method != "POST" {
				continue // the same route as /v1/carts, and no way to make one
			}
			a := s.raw(t, r.method, path, r.body)
			if a.status != http.StatusNotFound && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s %.80s: %d %s, want 404 or 422", r.method, path, a.status, a.body)
				continue
			}
			wantProblem(t, a, a.status, "cart_not_found", "not_found", "validation_failed")
		}
	}
	for _, id := range []string{`"../x"`, `""`, `"a/b"`, `"a\u0000"`, `"` + strings.Repeat("x", 65) + `"`, `"é"`, `"-c"`, `"c.d"`, `" c"`} {
		wantProblem(t, s.raw(t, "POST", "/v1/carts", `{"id":`+id+`}`), http.StatusUnprocessableEntity, "validation_failed")
	}
	wantProblem(t, s.raw(t, "POST", "/v1/carts", `{"id":7}`), http.StatusBadRequest, "invalid_request")
}

func TestBadPartIDsNameNothing(t *testing.T) {
	t.Parallel()
	s := withCart(t)
	for _, id := range []string{"0", "-1", "2", "01", "1.0", "4294967296", "18446744073709551617", "x", "..", "%00", "1%2F1", "+1", "%201"} {
		wantProblem(t, s.raw(t, "PATCH", "/v1/carts/c/items/"+id, `{"quantity":2}`), http.StatusNotFound, "item_not_found")
		wantProblem(t, s.raw(t, "DELETE", "/v1/carts/c/items/"+id, ""), http.StatusNotFound, "item_not_found")
		wantProblem(t, s.raw(t, "DELETE", "/v1/carts/c/deliveries/"+id, ""), http.StatusNotFound, "delivery_not_found")
	}
}

func TestBadQuantitiesAreRefusedAndWriteNothing(t *testing.T) {
	t.Parallel()
	s := withCart(t)
	const bad, unprocessable = http.StatusBadRequest, http.StatusUnprocessableEntity
	for _, tt := range []struct {
		quantity string // "" leaves it out
		status   int
	}{
		{"0", unprocessable}, {"-1", unprocessable}, {"1000001", unprocessable}, {"2147483648", unprocessable}, {"4294967297", unprocessable},
		{"9223372036854775807", unprocessable}, {"-9223372036854775808", unprocessable}, {"null", unprocessable}, {"", unprocessable},
		{"9223372036854775808", bad}, {"1e400", bad}, {"1.5", bad}, {"1.0", bad}, {`"1"`, bad}, {"true", bad}, {"[1]", bad}, {"{}", bad},
		{"01", bad}, {"+1", bad}, {"NaN", bad}, {"0x10", bad}, {"1_000", bad},
	} {
		member := `,"quantity":` + tt.quantity
		if tt.quantity == "" {
			member = ""
		}
		code := "validation_failed"
		if tt.status == bad {
			code = "invalid_request"
		}
		for _, r := range []struct{ method, path, body string }{
			{"POST", "/v1/carts/c/items", `{"sku":"85123A"` + member + `}`},
			{"POST", "/v1/carts/c/items", `{"items":[{"sku":"85123A"` + member + `}]}`},
			{"PUT", "/v1/carts/c/items", `{"items":[{"sku":"85123A"` + member + `}]}`},
			{"PATCH", "/v1/carts/c/items/1", `{"attributes":{"colour":"red"}` + member + `}`},
			{"POST", "/v1/carts/c/mutations", `{"mutations":[{"type":"AddItem","payload":{"sku":"X","price":1` + member + `}}]}`},
			{"POST", "/v1/carts/c/mutations", `{"mutations":[{"type":"ClearCart"},{"type":"AddItem","payload":{"sku":"X","price":1` + member + `}}]}`},
		} {
			if may := tt.quantity == "0" || tt.quantity == "null" || tt.quantity == ""; r.method == "PATCH" && may {
				continue // it is optional there, and 0 removes
			}
			if r.method == "PUT" && tt.status == unprocessable {
				continue // its own test
			}
			a := s.raw(t, r.method, r.path, r.body)
			if a.status != tt.status {
				t.Errorf("%s %s %s: %d %s, want %d", r.method, r.path, r.body, a.status, a.body, tt.status)
				continue
			}
			wantProblem(t, a, tt.status, code)
		}
	}
}

func TestReplacingByNothingButRefusedItemsKeepsTheOldOnes(t *testing.T) {
	t.Parallel()
	s := withCart(t)
	for _, items := range []string{
		`{"sku":"85123A","quantity":0}`, `{"sku":"85123A","quantity":2147483648}`, `{"sku":"85123A"}`, `{"sku":"no such thing","quantity":1}`,
		`{"sku":"no such thing","quantity":1},{"sku":"85123A","quantity":-1}`,
	} {
		a := s.raw(t, "PUT", "/v1/carts/c/items", `{"items":[`+items+`]}`)
		wantProblem(t, a, http.StatusUnprocessableEntity, "validation_failed", "unknown_sku")
	}
}

func TestBadBodiesAreRefusedAndWriteNothing(t *testing.T) {
	t.Parallel()
	s := withCart(t)
	deep := strings.Repeat("[", 20_000)
	for _, body := range []string{
		"", " ", "{", "[]", "null x", "nonsense", `"text"`, `{"sku":"85123A","quantity":1}{}`, `{"sku":"85123A","quantity":1} x`, `{"sku":"85123A","quantity":1,}`,
		`{"sku":"85123A","quantity":1,"price":1}`, `{"sku":"85123A","quantity":1,"nonsense":null}`, `{"sku":7,"quantity":1}`, `{'sku':'85123A'}`,
		`{"sku":"85123A","quantity":1,"attributes":{"a":1}}`, `{"items":{"sku":"85123A"}}`, "\x00", "\xff\xfe{}", deep, `{"attributes":` + deep,
	} {
		wantProblem(t, s.raw(t, "POST", "/v1/carts/c/items", body), http.StatusBadRequest, "invalid_request")
	}
	for _, body := range []string{
		"", "{", "[]", `{"mutation":[]}`, `{"mutations":{}}`, `{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":1,"nonsense":1}}]}`,
		`{"mutations":[{"type":"AddItem","payload":"x"}]}`, `{"mutations":[{"type":"AddItem","payload":[]}]}`, `{"mutations":[{"type":7}]}`, deep,
	} {
		wantProblem(t, s.raw(t, "POST", "/v1/carts/c/mutations", body), http.StatusBadRequest, "invalid_request")
	}
	for _, body := range []string{
		`{}`, `{"mutations":[]}`, `{"mutations":null}`, `{"mutations":[{"type":"Nonsense"}]}`, `{"mutations":[{"type":"AddRequest","payload":{}}]}`, `{"mutations":[{}]}`,
	} {
		wantProblem(t, s.raw(t, "POST", "/v1/carts/c/mutations", body), http.StatusUnprocessableEntity, "validation_failed")
	}
	large := `{"sku":"` + strings.Repeat("x", 1<<20) + `"}`
	wantProblem(t, s.raw(t, "POST", "/v1/carts/c/items", large), http.StatusRequestEntityTooLarge, "payload_too_large")
}
