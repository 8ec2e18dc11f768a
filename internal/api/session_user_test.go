package api_test

import "testing"

// A shopper who logs out does not change the account's cart any more: the next change starts another one.
func TestBrowserWhoseUserLoggedOutGetsAnotherCart(t *testing.T) {
	s, issuer := openLogins(t)
	b, ada := &browser{shop: s}, as(issuer.Token("ada"))
	b.want(b.ask("POST", "/cart", addLantern), 200, "")
	b.want(b.ask("PUT", "/cart/user", `{"userId":"ada"}`, ada...), 200, "")
	b.want(b.ask("POST", "/cart", addLantern, ada...), 200, "")
	bound := b.cart
	b.want(b.ask("GET", "/cart", ""), 404, "cart_not_found")
	b.want(b.ask("DELETE", "/cart/1", ""), 404, "cart_not_found")
	b.want(b.ask("POST", "/cart", `{"sku":"none","quantity":1}`), 422, "unknown_sku")
	if b.cart != bound {
		t.Error("the cookie changed for nothing")
	}
	b.want(b.ask("POST", "/cart", `{"sku":"85123A","quantity":1}`), 200, "")
	if b.cart == bound || b.quantity() != "1" {
		t.Errorf("cart %s has %s", b.cart, b.quantity())
	}
	if a := b.want(s.request("GET", "/cart/"+bound, "", ada...), 200, ""); a.field("items.0.qty") != "12" {
		t.Errorf("ada's cart: %s", a.body)
	}
	b.want(b.ask("GET", "/cart", "", "Authorization", "Bearer nonsense"), 401, "unauthorized")
	fresh := &browser{shop: s}
	fresh.want(fresh.ask("PUT", "/cart/user", `{"userId":"ada"}`, ada...), 200, "")
}
