package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// fork makes a branch of a cart.
func (s *shop) fork(cart, body string) answer {
	s.t.Helper()
	return s.want(s.request("POST", cart+"/branches", body), 201, "")
}

func TestBranchIsForkedChangedComparedAndPromoted(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	a := s.fork(cart, `{"name":"gift"}`)
	if string(a.body) != `{"name":"gift","version":1,"forkedFrom":{"branch":"main","version":2}}` ||
		a.header.Get("ETag") != `"gift-1"` || a.header.Get("Location") != cart+"/branches/gift" {
		t.Errorf("forked: %v %s", a.header, a.body)
	}
	main := s.want(s.request("GET", cart, ""), 200, "")
	a = s.want(s.request("POST", cart+"/items?branch=gift", `{"sku":"71053","quantity":2}`), 200, "")
	if a.header.Get("ETag") != `"gift-2"` || a.field("result.branch") != "gift" || a.field("result.version") != "2" || a.field("result.items.1.id") != "2" {
		t.Errorf("added: %v %s", a.header, a.body)
	}
	s.want(s.request("PATCH", cart+"/items/1?branch=gift", `{"quantity":1}`), 200, "")
	if now := s.want(s.request("GET", cart, ""), 200, ""); string(now.body) != string(main.body) {
		t.Errorf("main was\n%s\nand is\n%s", main.body, now.body)
	}
	gift := s.want(s.request("GET", cart+"?branch=gift", ""), 200, "")
	if gift.header.Get("ETag") != `"gift-3"` || gift.field("items.0.qty") != "1" || gift.field("id") != main.field("id") {
		t.Errorf("the branch is %v %s", gift.header, gift.body)
	}
	if a := s.request("GET", cart+"?branch=gift", "", "If-None-Match", `"gift-3"`); a.status != 304 {
		t.Errorf("what the client has already: got %d", a.status)
	}
	if a := s.want(s.request("GET", cart+"?branch=gift&version=1", ""), 200, ""); a.field("items.0.qty") != "6" || a.header.Get("ETag") != `"gift-1"` {
		t.Errorf("the first version of the branch is %s", a.body)
	}
	s.want(s.request("GET", cart+"?branch=gift&version=4", ""), 404, "not_found")
	born, err := time.Parse(time.RFC3339, gift.field("createdAt"))
	if err != nil {
		t.Fatal(err)
	}
	s.want(s.request("GET", cart+"?branch=gift&at="+born.Add(-time.Millisecond).Format(time.RFC3339Nano), ""), 404, "not_found")
	if a := s.want(s.request("GET", cart+"?branch=gift&at="+gift.field("updatedAt"), ""), 200, ""); string(a.body) != string(gift.body) {
		t.Errorf("the branch at its last change is %s", a.body)
	}

	diff := s.want(s.request("GET", cart+"/branches/gift?compare=main", ""), 200, "")
	if diff.field("items.0.left.qty") != "1" || diff.field("items.0.right.qty") != "6" || diff.field("items.1.sku") != "71053" ||
		diff.field("items.1.left.qty") != "2" || !strings.Contains(string(diff.body), `"right":null}],"totalPrice"`) ||
		diff.field("totalPrice.left.incVat") != gift.field("totalPrice.incVat") || diff.field("totalPrice.right.incVat") != main.field("totalPrice.incVat") {
		t.Errorf("the difference is %s", diff.body)
	}
	if a := s.want(s.request("GET", cart+"/branches/main?compare=main", ""), 200, ""); !strings.HasPrefix(string(a.body), `{"items":[],`) {
		t.Errorf("main and itself differ: %s", a.body)
	}
	if a := s.want(s.request("GET", cart+"/branches", ""), 200, ""); string(a.body) != `{"branches":[{"name":"gift","version":3,"forkedFrom":{"branch":"main","version":2}}]}` {
		t.Errorf("the list is %s", a.body)
	}

	s.want(s.request("POST", cart+"/items", `{"sku":"22752","quantity":1}`), 200, "") // main moves on
	a = s.want(s.request("POST", cart+"/branches/gift/promote", "", "If-Match", `"gift-3"`), 200, "")
	if a.header.Get("ETag") != `"main-4"` || a.field("mutations.0.type") != "BranchPromoted" || a.field("result.branch") != "main" ||
		a.field("result.items.0.qty") != "1" || a.field("result.items.1.sku") != "71053" || a.field("result.items.2") != "" {
		t.Errorf("promoted: %v %s", a.header, a.body)
	}
	if a := s.want(s.request("POST", cart+"/items", `{"sku":"22752","quantity":1}`), 200, ""); a.field("result.items.2.id") != "4" {
		t.Errorf("the next line is %s", a.body)
	}
	s.want(s.request("DELETE", cart+"/branches/gift", ""), 204, "")
	for _, req := range [][3]string{
		{"GET", "?branch=gift", ""}, {"GET", "?branch=gift&version=1", ""}, {"GET", "/events?branch=gift", ""}, {"POST", "/items?branch=gift", addLantern},
		{"GET", "/branches/gift", ""}, {"GET", "/branches/gift?compare=main", ""}, {"GET", "/branches/main?compare=gift", ""},
		{"DELETE", "/branches/gift", ""}, {"POST", "/branches/gift/promote", ""}, {"POST", "/branches?branch=gift", `{"name":"x"}`},
		{"GET", "?branch=never", ""}, {"DELETE", "/branches/Never", ""}, {"GET", "/branches/gift?compare=No", ""},
	} {
		s.want(s.request(req[0], cart+req[1], req[2]), 404, "branch_not_found")
	}
	s.want(s.request("POST", cart+"/branches", `{"name":"gift"}`), 409, "branch_exists")
	s.want(s.request("POST", cart+"/branches", `{"name":"main"}`), 409, "branch_exists")
	if a := s.want(s.request("GET", cart+"/branches", ""), 200, ""); string(a.body) != `{"branches":[]}` {
		t.Errorf("the list is %s", a.body)
	}
}

func TestForkIsOfAnyVersionOfAnyBranch(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	s.want(s.request("DELETE", cart+"/items", ""), 200, "")
	if a := s.fork(cart, `{"name":"old","fromVersion":2}`); a.field("forkedFrom.version") != "2" {
		t.Errorf("forked: %s", a.body)
	}
	s.want(s.request("PATCH", cart+"/items/1?branch=old", `{"quantity":7}`), 200, "")
	a := s.want(s.request("POST", cart+"/branches?branch=old", `{"name":"older","fromVersion":1}`), 201, "")
	if string(a.body) != `{"name":"older","version":1,"forkedFrom":{"branch":"old","version":1}}` {
		t.Errorf("forked: %s", a.body)
	}
	for branch, qty := range map[string]string{"main": "", "old": "7", "older": "6"} {
		if a := s.want(s.request("GET", cart+"?branch="+branch, ""), 200, ""); a.field("items.0.qty") != qty || a.field("branch") != branch {
			t.Errorf("branch %s: %s", branch, a.body)
		}
	}
	for body, field := range map[string]string{
		`{"name":"x","fromVersion":0}`: "fromVersion", `{"name":"x","fromVersion":4}`: "fromVersion", `{"name":"X"}`: "name", `{"name":""}`: "name", `{}`: "name",
		`{"name":"` + strings.Repeat("x", 33) + `"}`: "name",
	} {
		if a := s.want(s.request("POST", cart+"/branches", body), 422, "validation_failed"); a.field("errors.0.field") != field {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	for _, body := range []string{`{"name":"x","fromVersion":-1}`, `{"name":"x","fromVersion":"2"}`, `{"name":"x","from":2}`, ``} {
		s.want(s.request("POST", cart+"/branches", body), 400, "invalid_request")
	}
	s.want(s.request("POST", "/v1/carts/nobody/branches", `{"name":"x"}`), 404, "cart_not_found")
	s.want(s.request("POST", cart+"/branches?version=1", `{"name":"x"}`), 400, "invalid_request")
}

func TestConflictsAreToldPerBranch(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	s.fork(cart, `{"name":"gift-2"}`)
	conflict := func(a answer, branch, want, got string) {
		t.Helper()
		a = s.want(a, 412, "version_conflict")
		tag := fmt.Sprintf(`"%s-%s"`, branch, got)
		if a.header.Get("ETag") != tag || a.field("cart.branch") != branch || a.field("cart.version") != got ||
			want != "" && a.field("detail") != fmt.Sprintf("branch %s: expected %s, got %s", branch, want, got) {
			t.Errorf("got %v %s, want %s of %s", a.header, a.body, tag, branch)
		}
	}
	change := func(method, path, tag string) answer {
		return s.request(method, cart+path, addLantern, "If-Match", tag)
	}
	conflict(change("POST", "/items?branch=gift-2", `"gift-2-2"`), "gift-2", "2", "1")
	conflict(change("POST", "/items?branch=gift-2", `"main-2"`), "gift-2", "", "1")
	conflict(change("POST", "/items", `"gift-2-1"`), "main", "", "2")
	conflict(change("POST", "/items", `"main-1"`), "main", "1", "2")
	conflict(change("POST", "/branches/gift-2/promote", `"gift-2-9"`), "gift-2", "9", "1")
	conflict(change("POST", "/branches/gift-2/promote", `"main-9"`), "main", "9", "2")
	conflict(change("POST", "/branches/gift-2/promote", `"other-1"`), "main", "", "2")
	conflict(change("DELETE", "/branches/gift-2", `"main-2"`), "gift-2", "", "1")
	conflict(s.request("POST", cart+"/branches", `{"name":"x"}`, "If-Match", `"main-1"`), "main", "1", "2")
	conflict(s.request("POST", cart+"/branches?branch=gift-2", `{"name":"x"}`, "If-Match", `"main-2"`), "gift-2", "", "1")
	s.want(change("POST", "/items?branch=nobody", `"nobody-1"`), 404, "branch_not_found")

	s.want(change("POST", "/items?branch=gift-2", `"gift-2-1"`), 200, "")
	s.want(s.request("POST", cart+"/branches?branch=gift-2", `{"name":"x"}`, "If-Match", `"gift-2-2"`), 201, "")
	s.want(change("POST", "/branches/gift-2/promote", `"main-2"`), 200, "")
	s.want(change("DELETE", "/branches/gift-2", `"gift-2-2"`), 204, "")
}

func TestKeysAreTheCartsAndTellBranchesApart(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	key := []string{"Idempotency-Key", "k-1"}
	s.want(s.request("POST", cart+"/branches", `{"name":"gift"}`, key...), 201, "")
	if a := s.want(s.request("POST", cart+"/branches", `{"name":"gift"}`, key...), 200, ""); a.header.Get("Idempotent-Replayed") != "true" || a.field("forkedFrom.version") != "2" {
		t.Errorf("the same fork: %v %s", a.header, a.body)
	}
	s.want(s.request("POST", cart+"/branches", `{"name":"gift2"}`, key...), 422, "idempotency_key_reused")
	s.want(s.request("POST", cart+"/branches?branch=gift", `{"name":"gift"}`, key...), 422, "idempotency_key_reused")

	key[1] = "k-2"
	s.want(s.request("POST", cart+"/items?branch=gift", addLantern, key...), 200, "")
	s.want(s.request("POST", cart+"/items", addLantern, key...), 422, "idempotency_key_reused")
	if a := s.want(s.request("POST", cart+"/items?branch=gift", addLantern, key...), 200, ""); a.header.Get("ETag") != `"gift-2"` || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same add: %v %s", a.header, a.body)
	}
	key[1] = "k-3"
	s.want(s.request("POST", cart+"/items", addLantern, key...), 200, "")
	s.want(s.request("POST", cart+"/items?branch=gift", addLantern, key...), 422, "idempotency_key_reused")
	if a := s.want(s.request("POST", cart+"/items?branch=main", addLantern, key...), 200, ""); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("main by its name: %v", a.header)
	}
	key[1] = "k-4" // finds nothing to change, and is remembered in the branch
	for range 2 {
		if a := s.want(s.request("PATCH", cart+"/items/1?branch=gift", `{"quantity":12}`, key...), 200, ""); a.header.Get("ETag") != `"gift-3"` {
			t.Errorf("no change: %v", a.header)
		}
	}
	key[1] = "k-5"
	for range 2 {
		s.want(s.request("POST", cart+"/branches/gift/promote", "", key...), 200, "")
	}
	key[1] = "k-6"
	for range 2 {
		s.want(s.request("DELETE", cart+"/branches/gift", "", key...), 204, "")
	}
	if a := s.want(s.request("GET", cart+"/events?branch=main", ""), 200, ""); strings.Count(string(a.body), `"BranchPromoted"`)+strings.Count(string(a.body), `"NoChange"`) != 1 {
		t.Errorf("main's events are %s", a.body)
	}
}

func TestOnlyMainIsBoughtMergedBoundAndDeleted(t *testing.T) {
	s := openShop(t, nil)
	cart, other := s.cartOf("85123A", 6), s.cartOf("71053", 1)
	s.fork(cart, `{"name":"gift"}`)
	before := s.events(cart)
	for _, req := range [][3]string{
		{"POST", "/checkout", `{"orderId":"o"}`}, {"DELETE", "/checkout", ""}, {"POST", "/order", `{"orderId":"o","status":"paid"}`},
		{"PUT", "/user", `{"userId":"u"}`}, {"POST", "/merge", `{"from":"` + strings.TrimPrefix(other, "/v1/carts/") + `"}`}, {"DELETE", "", ""},
		{"POST", "/branches/gift/promote", ""},
		{"POST", "/mutations", `{"mutations":[{"type":"AddItem","payload":{"sku":"a","quantity":1}},{"type":"InitializeCheckout","payload":{"orderId":"o"}}]}`},
	} {
		s.want(s.request(req[0], cart+req[1]+"?branch=gift", req[2], asBackend...), 422, "validation_failed")
	}
	s.want(s.request("DELETE", cart+"/branches/main", ""), 422, "validation_failed")
	s.want(s.request("POST", cart+"/branches/main/promote", ""), 422, "validation_failed")
	s.want(s.request("POST", cart+"/mutations?branch=x", `{"mutations":[{"type":"BranchForked","payload":{"from":"main","version":1}}]}`, asBackend...), 422, "validation_failed")
	if after := s.events(cart); after != before {
		t.Errorf("events were\n%s\nand are\n%s", before, after)
	}
	if a := s.want(s.request("GET", other, ""), 200, ""); a.field("status") != "open" {
		t.Errorf("the other cart is %s", a.body)
	}

	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", cart+"/items", addLantern), 409, "cart_frozen")
	a := s.want(s.request("POST", cart+"/items?branch=gift", addLantern), 200, "")
	if a.field("result.status") != "open" || a.field("result.paymentInProgress") != "false" {
		t.Errorf("the branch is %s", a.body)
	}
	s.want(s.request("POST", cart+"/branches/gift/promote", ""), 409, "cart_frozen")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o","status":"paid"}`, asBackend...), 200, "")
	s.want(s.request("POST", cart+"/branches/gift/promote", ""), 409, "cart_ordered")
	s.fork(cart, `{"name":"again"}`)
	s.want(s.request("POST", cart+"/vouchers?branch=again", `{"code":"WELCOME10"}`), 200, "")
	s.want(s.request("POST", cart+"/deliveries?branch=again", `{"provider":"postnord","items":[1]}`), 200, "")
	s.want(s.request("POST", cart+"/refresh?branch=again", ""), 200, "")
	s.want(s.request("PUT", cart+"/items?branch=again", `{"items":[{"sku":"71053","quantity":1}]}`), 200, "")
	if a := s.want(s.request("GET", cart+"/events?branch=again&after=1", ""), 200, ""); a.field("head") != "5" || a.field("events.0.branch") != "again" || a.field("events.0.type") != "AddVoucher" {
		t.Errorf("the branch's events are %s", a.body)
	}
}

func TestBranchesGoWithTheirCart(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	s.fork(cart, `{"name":"gift"}`)
	s.want(s.request("DELETE", cart, ""), 204, "")
	for _, req := range [][3]string{
		{"GET", "?branch=gift", ""}, {"GET", "?branch=gift&version=1", ""}, {"POST", "/items?branch=gift", addLantern}, {"GET", "/branches", ""},
		{"GET", "/branches/gift?compare=main", ""}, {"POST", "/branches/gift/promote", ""}, {"DELETE", "/branches/gift", ""}, {"POST", "/branches", `{"name":"x"}`},
	} {
		s.want(s.request(req[0], cart+req[1], req[2]), 410, "cart_deleted")
	}
}

func TestBranchesComeBackWithTheActivation(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	s.fork(cart, `{"name":"gift"}`)
	for range 3 { // each has its snapshots
		var batch []string
		for i := range 150 {
			batch = append(batch, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"s-%d","quantity":1,"price":199,"tax":2500}}`, i%9))
		}
		s.want(s.request("POST", cart+"/mutations?branch=gift", `{"mutations":[`+strings.Join(batch, ",")+`]}`, asBackend...), 200, "")
	}
	s.want(s.request("POST", cart+"/items?branch=gift", addLantern), 200, "")
	before := s.want(s.request("GET", cart+"?branch=gift", ""), 200, "")
	act, err := s.store.Activate(t.Context(), streamOf(t, cart)) // the grain loses its claim, and learns of it when it writes
	if err != nil {
		t.Fatal(err)
	}
	act.Release()
	if a := s.want(s.request("POST", cart+"/items", `{"sku":"71053","quantity":1}`), 200, ""); a.field("result.items.1.id") != "11" || a.header.Get("ETag") != `"main-3"` {
		t.Errorf("the next line of main: %v %s", a.header, a.body)
	}
	if after := s.want(s.request("GET", cart+"?branch=gift", ""), 200, ""); string(after.body) != string(before.body) {
		t.Errorf("the branch was\n%s\nand is\n%s", before.body, after.body)
	}
}
