package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"cartd/internal/api/openapi"
)

// badRequest is a kind of request that must be refused, each over the wire. In path, {cart} is a cart with one line,
// {bound} one that is bound to a user, {empty}, {frozen}, {ordered}, {merged} and {deleted} what they say, {own} the id of
// the first. "there" is a subscription.
type badRequest struct {
	kind, method, path, body string
	status                   int
	code                     string
	header                   []string
}

// badRequests are what clients get wrong, and what they try.
var badRequests = []badRequest{
	// Not JSON, or not the JSON that is asked for.
	{"no body", "POST", "{cart}/items", ``, 400, "invalid_request", nil},
	{"white space", "POST", "{cart}/items", " \n", 400, "invalid_request", nil},
	{"JSON cut off", "POST", "{cart}/items", `{`, 400, "invalid_request", nil},
	{"no JSON", "POST", "{cart}/items", `nonsense`, 400, "invalid_request", nil},
	{"a form", "POST", "{cart}/items", `sku=85123A&quantity=1`, 400, "invalid_request", nil},
	{"an array", "POST", "{cart}/items", `[]`, 400, "invalid_request", nil},
	{"a text", "POST", "{cart}/items", `"x"`, 400, "invalid_request", nil},
	{"null", "POST", "{cart}/items", `null`, 400, "invalid_request", nil},
	{"null for a change", "PATCH", "{cart}/items/1", `null`, 400, "invalid_request", nil},
	{"two objects", "POST", "{cart}/items", `{"sku":"85123A","quantity":1} {}`, 400, "invalid_request", nil},
	{"a name twice", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"quantity":1000}`, 400, "invalid_request", nil},
	{"another case", "POST", "{cart}/items", `{"SKU":"85123A","quantity":1}`, 400, "invalid_request", nil},
	{"an unknown field", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"price":1}`, 400, "invalid_request", nil},
	{"an unknown field further in", "PATCH", "{cart}/items/1", `{"marking":{"text":"x","colour":"red"}}`, 400, "invalid_request", nil},
	{"no UTF-8", "POST", "{cart}/items", "{\"sku\":\"85123A\",\"quantity\":1,\"attributes\":{\"a\":\"\xff\"}}", 400, "invalid_request", nil},
	{"half a surrogate pair", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"attributes":{"a":"\ud800"}}`, 400, "invalid_request", nil},
	{"nested too deeply", "POST", "{cart}/items", strings.Repeat(`{"items":[`, 20000), 400, "invalid_request", nil},
	{"too large a body", "POST", "{cart}/items", `{"sku":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "payload_too_large", nil},

	// Values of the wrong type.
	{"a number for a text", "POST", "{cart}/items", `{"sku":5,"quantity":1}`, 400, "invalid_request", nil},
	{"a text for a number", "POST", "{cart}/items", `{"sku":"85123A","quantity":"1"}`, 400, "invalid_request", nil},
	{"a fraction", "POST", "{cart}/items", `{"sku":"85123A","quantity":1.5}`, 400, "invalid_request", nil},
	{"more than 64 bits", "POST", "{cart}/items", `{"sku":"85123A","quantity":9223372036854775808}`, 400, "invalid_request", nil},
	{"a negative parent", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"parentId":-1}`, 400, "invalid_request", nil},
	{"a number as attribute", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"attributes":{"a":1}}`, 400, "invalid_request", nil},
	{"null as attribute", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"attributes":{"a":null}}`, 400, "invalid_request", nil},
	{"a negative line of a delivery", "POST", "{cart}/deliveries", `{"provider":"postnord","items":[-1]}`, 400, "invalid_request", nil},
	{"a text for a total", "POST", "{cart}/checkout", `{"orderId":"o","expectedTotal":"1530"}`, 400, "invalid_request", nil},
	{"a number for an id", "POST", "/v1/carts", `{"id":7}`, 400, "invalid_request", asBackend},

	// Values out of bounds.
	{"no units", "POST", "{cart}/items", `{"sku":"85123A","quantity":0}`, 422, "validation_failed", nil},
	{"fewer than no units", "POST", "{cart}/items", `{"sku":"85123A","quantity":-1}`, 422, "validation_failed", nil},
	{"too many units", "POST", "{cart}/items", `{"sku":"85123A","quantity":1000001}`, 422, "validation_failed", nil},
	{"32 bits of units", "POST", "{cart}/items", `{"sku":"85123A","quantity":2147483648}`, 422, "validation_failed", nil},
	{"64 bits of units", "POST", "{cart}/items", `{"sku":"85123A","quantity":9223372036854775807}`, 422, "validation_failed", nil},
	{"too many units with those there", "POST", "{cart}/items", `{"sku":"85123A","quantity":999995}`, 422, "validation_failed", nil},
	{"too many units for a line", "PATCH", "{cart}/items/1", `{"quantity":1000001}`, 422, "validation_failed", nil},
	{"null units", "POST", "{cart}/items", `{"sku":"85123A","quantity":null}`, 422, "validation_failed", nil},
	{"units missing", "POST", "{cart}/items", `{"sku":"85123A"}`, 422, "validation_failed", nil},
	{"product missing", "POST", "{cart}/items", `{"quantity":1}`, 422, "validation_failed", nil},
	{"too long a SKU", "POST", "{cart}/items", `{"sku":"` + strings.Repeat("x", 65) + `","quantity":1}`, 422, "validation_failed", nil},
	{"three letters of country", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"country":"GBR"}`, 422, "validation_failed", nil},
	{"a country without letters", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"country":"1!"}`, 422, "validation_failed", nil},
	{"letters that turn into a country", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"country":"ſe"}`, 422, "validation_failed", nil},
	{"a parent that is not there", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"parentId":77}`, 422, "validation_failed", nil},
	{"an attribute without a name", "POST", "{cart}/items", `{"sku":"85123A","quantity":1,"attributes":{"":"x"}}`, 422, "validation_failed", nil},
	{"one product and a list", "POST", "{cart}/items", `{"items":[{"sku":"85123A","quantity":1}],"sku":"85123A"}`, 422, "validation_failed", nil},
	{"attributes beside a list", "POST", "{cart}/items", `{"items":[{"sku":"85123A","quantity":1}],"attributes":{"a":"b"}}`, 422, "validation_failed", nil},
	{"an empty list", "POST", "{cart}/items", `{"items":[]}`, 422, "validation_failed", nil},
	{"too long a list", "POST", "{cart}/items", `{"items":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 422, "validation_failed", nil},
	{"no list to replace with", "PUT", "{cart}/items", `{}`, 422, "validation_failed", nil},
	{"a quantity of no line", "PUT", "/cart", `{"quantity":1}`, 422, "validation_failed", nil},
	{"a line of no cart", "DELETE", "/cart/1", ``, 404, "item_not_found", nil},
	{"a change of nothing", "PATCH", "{cart}/items/1", `{}`, 422, "validation_failed", nil},
	{"too long a marking", "PATCH", "{cart}/items/1", `{"marking":{"text":"` + strings.Repeat("x", 257) + `"}}`, 422, "validation_failed", nil},
	{"a delivery by nobody", "POST", "{cart}/deliveries", `{"items":[1]}`, 422, "validation_failed", nil},
	{"a delivery of nothing", "POST", "{cart}/deliveries", `{"provider":"postnord","items":[]}`, 422, "validation_failed", nil},
	{"a delivery of a line that is not there", "POST", "{cart}/deliveries", `{"provider":"postnord","items":[9]}`, 422, "validation_failed", nil},
	{"an address in no country", "POST", "{cart}/deliveries", `{"provider":"postnord","items":[1],"address":{"country":"Britain"}}`, 422, "validation_failed", nil},
	{"a pickup point in no country", "POST", "{cart}/deliveries", `{"provider":"postnord","items":[1],"pickupPoint":{"id":"p","country":"ıt"}}`, 422, "validation_failed", nil},
	{"a voucher without a code", "POST", "{cart}/vouchers", `{"code":""}`, 422, "validation_failed", nil},
	{"a user without a name", "PUT", "{cart}/user", `{"userId":""}`, 422, "validation_failed", nil},
	{"a checkout without an order", "POST", "{cart}/checkout", `{}`, 422, "validation_failed", nil},
	{"a merge with nothing", "POST", "{cart}/merge", `{}`, 422, "validation_failed", nil},
	{"a merge with itself", "POST", "{cart}/merge", `{"from":"{own}"}`, 422, "validation_failed", nil},
	{"an id with a slash", "POST", "/v1/carts", `{"id":"a/b"}`, 422, "validation_failed", asBackend},
	{"a currency in small letters", "POST", "/v1/carts", `{"currency":"gbp"}`, 422, "validation_failed", nil},
	{"an unknown mutation", "POST", "{cart}/mutations", `{"mutations":[{"type":"Nonsense"}]}`, 422, "validation_failed", asBackend},
	{"a mutation that is not for callers", "POST", "{cart}/mutations", `{"mutations":[{"type":"CartMerged","payload":{"into":"x"}}]}`, 422, "validation_failed", asBackend},
	{"one bad mutation of two", "POST", "{cart}/mutations", `{"mutations":[{"type":"ClearCart"},{"type":"AddItem","payload":{"sku":"x"}}]}`, 422, "validation_failed", asBackend},
	{"a negative price", "POST", "{cart}/mutations", `{"mutations":[{"type":"AddItem","payload":{"sku":"x","quantity":1,"price":-1}}]}`, 422, "validation_failed", asBackend},

	// What the shop does not have.
	{"an unknown product", "POST", "{cart}/items", `{"sku":"85123a","quantity":1}`, 422, "unknown_sku", nil},
	{"an unknown delivery", "POST", "{cart}/deliveries", `{"provider":"pigeon","items":[1]}`, 422, "unknown_provider", nil},
	{"an unknown voucher", "POST", "{cart}/vouchers", `{"code":"NONE"}`, 422, "unknown_voucher", nil},

	// What is not there.
	{"an unknown cart", "POST", "/v1/carts/nobody/items", addLantern, 404, "cart_not_found", nil},
	{"an unknown line", "PATCH", "{cart}/items/9", `{"quantity":1}`, 404, "item_not_found", nil},
	{"a line of 33 bits", "PATCH", "{cart}/items/4294967296", `{"quantity":1}`, 404, "item_not_found", nil},
	{"a negative line", "DELETE", "{cart}/items/-1", ``, 404, "item_not_found", nil},
	{"an unknown delivery of the cart", "DELETE", "{cart}/deliveries/9", ``, 404, "delivery_not_found", nil},
	{"an unknown voucher of the cart", "DELETE", "{cart}/vouchers/9", ``, 404, "voucher_not_found", nil},
	{"an unknown branch", "POST", "{cart}/items?branch=gift", addLantern, 404, "branch_not_found", nil},
	{"two branches", "POST", "{cart}/items?branch=main&branch=gift", addLantern, 400, "invalid_request", nil},
	{"a name that no branch has", "POST", "{cart}/items?branch=Gift", addLantern, 404, "branch_not_found", nil},
	{"a change of the past", "POST", "{cart}/items?version=1", addLantern, 400, "invalid_request", nil},
	{"events of a moment", "GET", "{cart}/events?at=2026-11-21T02:26:22Z", ``, 400, "invalid_request", nil},
	{"a last event that is none", "GET", "{cart}/events", ``, 400, "invalid_request", []string{"Accept", "text/event-stream", "Last-Event-ID", "x"}},
	{"a last event to come", "GET", "{cart}/events", ``, 410, "position_compacted", []string{"Accept", "text/event-stream", "Last-Event-ID", "3"}},
	{"a version to come to follow from", "GET", "{cart}/events?after=3", ``, 410, "position_compacted", []string{"Accept", "text/event-stream"}},
	{"a position to come", "GET", "/v1/events?after=1000000", ``, 410, "position_compacted", asBackend},
	{"a position of another log", "GET", "/v1/events?after=1&incarnation=x", ``, 410, "position_compacted", asBackend},
	{"a position that is none", "GET", "/v1/events?after=x", ``, 400, "invalid_request", asBackend},
	{"two carts", "GET", "/v1/events?cart=a&cart=b", ``, 400, "invalid_request", asBackend},
	{"events of what is no cart", "GET", "/v1/events?cart=a%2Fb", ``, 422, "validation_failed", asBackend},
	{"all events of a shopper", "GET", "/v1/events", ``, 401, "unauthorized", nil},
	{"a subscription without a name", "POST", "/v1/subscriptions", `{}`, 422, "validation_failed", asBackend},
	{"a subscription in capitals", "POST", "/v1/subscriptions", `{"name":"MAIL"}`, 422, "validation_failed", asBackend},
	{"a subscription from what is to come", "POST", "/v1/subscriptions", `{"name":"late","after":1000000}`, 410, "position_compacted", asBackend},
	{"a webhook without http", "POST", "/v1/subscriptions", `{"name":"hook","webhook":{"url":"ftp://x/"}}`, 422, "validation_failed", asBackend},
	{"a webhook with a weak secret", "POST", "/v1/subscriptions", `{"name":"hook","webhook":{"url":"http://x/","secret":"whsec_eA=="}}`, 422, "validation_failed", asBackend},
	{"another subscription of a name", "POST", "/v1/subscriptions", `{"name":"there","types":["AddItem"]}`, 409, "subscription_exists", asBackend},
	{"an unknown subscription", "POST", "/v1/subscriptions/none/ack", `{"position":0}`, 404, "not_found", asBackend},
	{"an end of no subscription", "DELETE", "/v1/subscriptions/none", ``, 404, "not_found", asBackend},
	{"an ack of nothing", "POST", "/v1/subscriptions/there/ack", `{}`, 422, "validation_failed", asBackend},
	{"an ack of what is to come", "POST", "/v1/subscriptions/there/ack", `{"position":1000000}`, 422, "validation_failed", asBackend},
	{"a page that begins elsewhere", "GET", "/v1/subscriptions/there/events?after=1", ``, 400, "invalid_request", asBackend},
	{"a fork of a name that is taken", "POST", "{cart}/branches", `{"name":"main"}`, 409, "branch_exists", nil},
	{"a branch of events", "GET", "{cart}/events?branch=gift", ``, 404, "branch_not_found", nil},
	{"an unknown path", "POST", "{cart}/nonsense", `{}`, 404, "not_found", nil},
	{"a path of another API", "GET", "/v2/carts", ``, 404, "not_found", nil},
	{"a branch that is not there", "GET", "{cart}?branch=gift&version=1", ``, 404, "branch_not_found", nil},
	{"version 0", "GET", "{cart}?version=0", ``, 404, "not_found", nil},
	{"a version of the cart to come", "GET", "{cart}?version=18446744073709551615", ``, 404, "not_found", nil},
	{"a version that is none", "GET", "{cart}?version=-1", ``, 400, "invalid_request", nil},
	{"an empty version", "GET", "{cart}?version=", ``, 400, "invalid_request", nil},
	{"two versions of the cart", "GET", "{cart}?version=1&version=2", ``, 400, "invalid_request", nil},
	{"a version and a time", "GET", "{cart}?version=1&at=2026-11-21T02:26:22Z", ``, 400, "invalid_request", nil},
	{"a time that is none", "GET", "{cart}?at=yesterday", ``, 400, "invalid_request", nil},
	{"a time before the cart", "GET", "{cart}?at=2026-01-01T00:00:00Z", ``, 404, "not_found", nil},
	{"the first of all times", "GET", "{cart}?at=0001-01-01T00:00:00Z", ``, 404, "not_found", nil},
	{"a merge with an unknown cart", "POST", "{cart}/merge", `{"from":"nobody"}`, 404, "cart_not_found", nil},
	{"a method that the path has not", "PATCH", "{cart}/items", `{"quantity":1}`, 405, "method_not_allowed", nil},
	{"a method that nothing has", "BREW", "{cart}", ``, 405, "method_not_allowed", nil},

	// Parameters and headers.
	{"a query that is none", "DELETE", "{cart}/items?branch=%zz", ``, 400, "invalid_request", nil},
	{"a semicolon in a query", "GET", "{cart}?branch=main;x", ``, 400, "invalid_request", nil},
	{"a limit of 0", "GET", "{cart}/events?limit=0", ``, 422, "validation_failed", nil},
	{"a limit of 1001", "GET", "{cart}/events?limit=1001", ``, 422, "validation_failed", nil},
	{"a limit in words", "GET", "{cart}/events?limit=ten", ``, 400, "invalid_request", nil},
	{"an empty limit", "GET", "{cart}/events?limit=", ``, 400, "invalid_request", nil},
	{"two limits", "GET", "{cart}/events?limit=1&limit=2", ``, 400, "invalid_request", nil},
	{"a negative version", "GET", "{cart}/events?after=-1", ``, 400, "invalid_request", nil},
	{"a time in words", "GET", "{cart}/events?since=yesterday", ``, 400, "invalid_request", nil},
	{"an unknown status", "GET", "/v1/carts?status=lost", ``, 422, "validation_failed", asBackend},
	{"a list of 1001 carts", "GET", "/v1/carts?limit=1001", ``, 422, "validation_failed", asBackend},
	{"a cursor of somebody else", "GET", "/v1/carts?cursor=x", ``, 400, "invalid_request", asBackend},
	{"an empty key", "POST", "{cart}/items", addLantern, 400, "invalid_request", []string{"Idempotency-Key", ""}},
	{"too long a key", "POST", "{cart}/items", addLantern, 400, "invalid_request", []string{"Idempotency-Key", strings.Repeat("k", 256)}},
	{"a key that cannot be seen", "POST", "{cart}/items", addLantern, 400, "invalid_request", []string{"Idempotency-Key", "a b"}},
	{"two keys", "POST", "{cart}/items", addLantern, 400, "invalid_request", []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}},
	{"the key of another request", "POST", "{cart}/items", `{"sku":"85123A","quantity":2}`, 422, "idempotency_key_reused", []string{"Idempotency-Key", "first"}},
	{"a version that is past", "POST", "{cart}/items", addLantern, 412, "version_conflict", []string{"If-Match", `"main-1"`}},
	{"a version to come", "POST", "{cart}/items", addLantern, 412, "version_conflict", []string{"If-Match", `"main-9"`}},
	{"a version of no cart of ours", "POST", "{cart}/items", addLantern, 412, "version_conflict", []string{"If-Match", `W/"main-2"`}},
	{"a version without quotes", "POST", "{cart}/items", addLantern, 400, "invalid_request", []string{"If-Match", `main-2`}},
	{"two versions", "POST", "{cart}/items", addLantern, 400, "invalid_request", []string{"If-Match", `"main-1", "main-2"`}},

	// Who may not.
	{"no token", "POST", "{cart}/order", `{"orderId":"o"}`, 401, "unauthorized", nil},
	{"another's token", "POST", "{cart}/mutations", `{"mutations":[]}`, 401, "unauthorized", []string{"Authorization", "Bearer guessed"}},
	{"a token of another scheme", "GET", "/v1/carts", ``, 401, "unauthorized", []string{"Authorization", "Basic " + token}},
	{"an id of a shopper's choice", "POST", "/v1/carts", `{"id":"mine"}`, 401, "unauthorized", nil},
	{"a page of another site", "POST", "/cart", addLantern, 403, "cross_site", []string{"Sec-Fetch-Site", "cross-site"}},
	{"a cart of another user", "PUT", "{bound}/user", `{"userId":"u-18"}`, 409, "user_bound", nil},

	// What a cart does not take as it is.
	{"a cart that is there", "POST", "/v1/carts", `{"id":"{own}"}`, 409, "cart_exists", asBackend},
	{"a checkout of nothing", "POST", "{empty}/checkout", `{"orderId":"o"}`, 409, "cart_empty", nil},
	{"a checkout of another total", "POST", "{cart}/checkout", `{"orderId":"o","expectedTotal":1}`, 409, "expected_total_changed", nil},
	{"an end of no checkout", "DELETE", "{cart}/checkout", ``, 409, "not_in_checkout", nil},
	{"an order of no checkout", "POST", "{cart}/order", `{"orderId":"o"}`, 409, "not_in_checkout", asBackend},
	{"an add while it is paid", "POST", "{frozen}/items", addLantern, 409, "cart_frozen", nil},
	{"an order of another checkout", "POST", "{frozen}/order", `{"orderId":"another"}`, 409, "cart_frozen", asBackend},
	{"an add to what is ordered", "POST", "{ordered}/items", addLantern, 409, "cart_ordered", nil},
	{"an add to what is merged", "POST", "{merged}/items", addLantern, 409, "cart_merged", nil},
	{"a merge with what is merged", "POST", "{cart}/merge", `{"from":"{merged}"}`, 409, "cart_merged", nil},
	{"a read of what is deleted", "GET", "{deleted}", ``, 410, "cart_deleted", nil},
	{"an add to what is deleted", "POST", "{deleted}/items", addLantern, 410, "cart_deleted", nil},
}

func TestBadRequestsAreRefusedAndWriteNothing(t *testing.T) {
	s := openListing(t)
	name := s.badRequestCarts()
	before := s.store.Head()
	kinds := map[string]bool{}
	for _, bad := range badRequests {
		if kinds[bad.kind] {
			t.Errorf("%q is there twice", bad.kind)
		}
		kinds[bad.kind] = true
		a := s.request(bad.method, name.Replace(bad.path), name.Replace(strings.ReplaceAll(bad.body, "{merged}", "{mergedID}")), bad.header...)
		if a.status != bad.status || a.field("code") != bad.code {
			t.Errorf("%s: %s %s %.80s: got %d %s, want %d %s", bad.kind, bad.method, bad.path, bad.body, a.status, a.body, bad.status, bad.code)
		}
		if a.field("detail") == "" || bad.code == "validation_failed" && a.field("errors.0.field") == "" {
			t.Errorf("%s does not say what is wrong: %s", bad.kind, a.body)
		}
		if now := s.store.Head(); now != before {
			t.Errorf("%s: %d events were written", bad.kind, now-before)
			before = now
		}
	}
}

// badRequestCarts makes the carts that bad requests are about, and returns what fills in their paths.
func (s *shop) badRequestCarts() *strings.Replacer {
	s.t.Helper()
	withLine := func() string {
		cart := s.newCart()
		s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "first"), 200, "")
		return cart
	}
	cart, frozen, ordered, merged, deleted, bound, empty := withLine(), withLine(), withLine(), withLine(), withLine(), withLine(), s.newCart()
	s.want(s.request("POST", frozen+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", ordered+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", ordered+"/order", `{"orderId":"o","status":"paid"}`, asBackend...), 200, "")
	s.want(s.request("POST", s.newCart()+"/merge", `{"from":"`+strings.TrimPrefix(merged, "/v1/carts/")+`"}`), 200, "")
	s.want(s.request("DELETE", deleted, ""), 204, "")
	s.want(s.request("PUT", bound+"/user", `{"userId":"u-17"}`), 200, "")
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"there"}`, asBackend...), 201, "")
	return strings.NewReplacer("{cart}", cart, "{own}", strings.TrimPrefix(cart, "/v1/carts/"), "{frozen}", frozen, "{ordered}", ordered, "{merged}", merged,
		"{mergedID}", strings.TrimPrefix(merged, "/v1/carts/"), "{deleted}", deleted, "{bound}", bound, "{empty}", empty)
}

// Every code that says that a request was bad has a bad request that gets it.
func TestBadRequestsHaveEveryCode(t *testing.T) {
	var contract struct {
		Components struct {
			Schemas struct {
				ProblemCode struct{ Enum []string }
			}
		}
	}
	if err := json.Unmarshal(openapi.JSON(), &contract); err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{
		"rate_limited", "cart_expired", // their own tests
		"internal", "catalog_unavailable", "unavailable", "outcome_unknown", // not the request's fault
	}
	for _, code := range contract.Components.Schemas.ProblemCode.Enum {
		if !slices.ContainsFunc(badRequests, func(b badRequest) bool { return b.code == code }) && !slices.Contains(elsewhere, code) {
			t.Errorf("no bad request gets %s", code)
		}
	}
}
