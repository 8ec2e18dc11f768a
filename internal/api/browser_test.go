package api_test

import (
	"net/http"
	"testing"

	"cartd/internal/grain"
)

// browser calls the session API and keeps the cookie as browsers do.
type browser struct {
	*shop
	cart string // the id in its cookie
}

// send asks with the present cookie, and does not take a new one: it may be called at once with others.
func (b *browser) send(method, path, body string, headers ...string) answer {
	b.t.Helper()
	if b.cart != "" {
		headers = append(headers, "Cookie", "cartid="+b.cart)
	}
	return b.request(method, path, body, headers...)
}

// ask asks and takes the cookie of the answer, if there is one.
func (b *browser) ask(method, path, body string, headers ...string) answer {
	b.t.Helper()
	a := b.send(method, path, body, headers...)
	if id := cookieOf(b.t, a); id != "" {
		b.cart = id
	}
	return a
}

// plainCookie is what follows the id in a cookie without TLS.
const plainCookie = "; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"

// cookieOf returns the id that an answer hands out, "" for none, and checks that it is handed out as it should be.
func cookieOf(t testing.TB, a answer) string {
	t.Helper()
	set := a.header.Values("Set-Cookie")
	if len(set) == 0 {
		return ""
	}
	c, err := http.ParseSetCookie(set[0])
	if err != nil || len(set) != 1 || c.Name != "cartid" || !grain.CartID(c.Value).LooksRandom() {
		t.Fatalf("Set-Cookie: %q, %v", set, err)
	}
	if want := "cartid=" + c.Value + plainCookie; set[0] != want {
		t.Fatalf("Set-Cookie: %s, want %s", set[0], want)
	}
	return c.Value
}

// quantity returns how many units of its only line the cart has that the browser sees.
func (b *browser) quantity() string {
	b.t.Helper()
	a := b.want(b.send("GET", "/cart", ""), 200, "")
	if a.field("items.1") != "" {
		b.t.Errorf("more than one line: %s", a.body)
	}
	return a.field("items.0.qty")
}

// order has the browser's cart ordered.
func (b *browser) order() {
	b.t.Helper()
	a := b.want(b.ask("POST", "/cart/checkout", `{}`), 200, "")
	body := `{"orderId":"` + a.field("result.orderReference") + `","status":"paid"}`
	b.want(b.request("POST", "/v1/carts/"+b.cart+"/order", body, asBackend...), 200, "")
}

// carts returns how many carts the store has.
func (s *shop) carts() (n int) {
	s.t.Helper()
	for _, err := range s.store.Streams(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		n++
	}
	return n
}
