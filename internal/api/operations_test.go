package api_test

import (
	"fmt"
	"strings"
	"testing"

	"cartd/internal/api"
	"cartd/internal/oplog"
)

func TestEachCallIsAnOperation(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	id := strings.TrimPrefix(cart, "/v1/carts/")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/items", addLantern, "Cartd-Source", "scenario"), 200, "") // who sends it is no backend
	s.want(s.request("POST", cart+"/items", addLantern, "Authorization", "Bearer "+token, "Cartd-Source", "scenario"), 200, "")
	s.want(s.request("POST", cart+"/items", addLantern, "Authorization", "Bearer "+token, "Cartd-Source", "No Source"), 200, "")
	s.want(s.request("POST", cart+"/items", `{"sku":"none","quantity":1}`), 422, "unknown_sku")
	b := &browser{shop: s}
	b.want(b.ask("POST", "/cart", addLantern), 200, "")
	s.want(s.request("GET", "/nowhere", ""), 404, "not_found")

	got := s.operations("?limit=100")
	var story []string
	for i := range 100 {
		at := fmt.Sprint("operations.", i, ".")
		if got.field(at+"seq") == "" {
			break
		}
		story = append(story, strings.Join([]string{got.field(at + "seq"), got.field(at + "source"), got.field(at + "kind"), got.field(at + "cartId"), got.field(at + "success"), got.field(at + "error")}, " "))
	}
	want := []string{
		"1 storefront createCart  true ",
		"2 storefront addItems " + id + " true ",
		"3 storefront addItems " + id + " true ",
		"4 scenario addItems " + id + " true ",
		"5 backend addItems " + id + " true ",
		"6 storefront addItems " + id + " false unknown_sku: ",
		"7 session addSessionItem " + b.cart + " true ",
	}
	if len(story) != len(want) {
		t.Fatalf("got %q, want %q", story, want)
	}
	for i := range want {
		if !strings.HasPrefix(story[i], want[i]) {
			t.Errorf("got %q, want %q", story[i], want[i])
		}
	}

	stats := s.want(s.request("GET", "/v1/operations/stats", "", "Authorization", "Bearer "+token), 200, "")
	if a := fmt.Sprint(stats.field("total"), stats.field("failures"), stats.field("bySource.storefront"), stats.field("recentScenarios.0.cartId"), stats.field("recentScenarios.0.ok"), stats.field("recentScenarios.1")); a != "714"+id+"true" {
		t.Errorf("statistics: %s", stats.body)
	}
}

func TestOperationsAreFilteredAndPaged(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	for range 9 {
		s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	}
	for _, tc := range []struct{ query, first, next, count string }{
		{"", "1", "10", "10"},
		{"?limit=3", "8", "10", "3"},
		{"?after=0&limit=3", "1", "3", "3"},
		{"?after=3&limit=3", "4", "6", "3"},
		{"?after=10", "", "10", "0"},
		{"?kind=createCart,none", "1", "10", "1"},
		{"?kind=createCart&kind=addItems&limit=1000", "1", "10", "10"},
		{"?cart=" + strings.TrimPrefix(cart, "/v1/carts/"), "2", "10", "9"},
		{"?source=nobody", "", "10", "0"},
		{"?since=2999-01-01T00:00:00Z", "", "10", "0"},
		{"?until=2999-01-01T00:00:00Z", "1", "10", "10"},
	} {
		got := s.operations(tc.query)
		n := 0
		for got.field(fmt.Sprint("operations.", n, ".seq")) != "" {
			n++
		}
		if got.field("operations.0.seq") != tc.first || got.field("next") != tc.next || fmt.Sprint(n) != tc.count {
			t.Errorf("%s: %d from %s, next %s; want %s from %s, next %s", tc.query, n, got.field("operations.0.seq"), got.field("next"), tc.count, tc.first, tc.next)
		}
	}
	for query, code := range map[string]string{
		"?limit=0": "validation_failed", "?limit=1001": "validation_failed", "?limit=x": "invalid_request", "?after=-1": "invalid_request",
		"?since=now": "invalid_request", "?until=": "invalid_request", "?after=1&after=2": "invalid_request", "?%zz": "invalid_request",
	} {
		status := 400
		if code == "validation_failed" {
			status = 422
		}
		s.want(s.request("GET", "/v1/operations"+query, "", "Authorization", "Bearer "+token), status, code)
	}
	s.want(s.request("GET", "/v1/operations", ""), 401, "unauthorized")
	s.want(s.request("GET", "/v1/operations/stats", ""), 401, "unauthorized")
}

func TestReadsAreCountedAndNotKept(t *testing.T) {
	s := openShop(t, func(o *api.Options) {
		log, err := oplog.Open(t.Context(), oplog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o.Oplog = log
	})
	cart := s.newCart()
	s.want(s.request("GET", cart, ""), 200, "")
	s.want(s.request("GET", "/v1/carts/nobody", ""), 404, "cart_not_found")
	s.want(s.request("GET", cart, "", "Authorization", "Bearer "+token, "Cartd-Source", "scenario"), 200, "")
	got := s.operations("")
	if got.field("operations.0.kind") != "createCart" || got.field("operations.1.source") != "scenario" || got.field("operations.2") != "" {
		t.Errorf("got %s", got.body)
	}
	if stats := s.request("GET", "/v1/operations/stats", "", "Authorization", "Bearer "+token); stats.field("total") != "4" {
		t.Errorf("statistics: %s", stats.body)
	}
}

func (s *shop) operations(query string) answer {
	s.t.Helper()
	return s.want(s.request("GET", "/v1/operations"+query, "", "Authorization", "Bearer "+token), 200, "")
}
