package api

import (
	"net/http"
	"strings"
	"testing"

	"cartd/internal/grain"
)

const someCart = "7ZK3D4M8W5Q0X1T2B9C6VNEJ4R"

// HostileCookies are Cookie headers that name no cart.
func HostileCookies() []string {
	return []string{
		"", "cartid", "cartid=", "cartid= ", `cartid=""`, `cartid="` + someCart + `"`, "=" + someCart, someCart, "CARTID=" + someCart, "cartid2=" + someCart,
		"cartid=1", "cartid=536365", "cartid=42", "cartid=c", "cartid=-1", "cartid=null", "cartid=undefined", "cartid=true", "cartid=[]", "cartid={}",
		"cartid=00000000000000000000000001", "cartid=00000000000000000000536365", "cartid=AAAAAAAAAAAAAAAAAAAAAAAAAA", "cartid=01234560123456012345601234",
		"cartid=" + strings.ToLower(someCart), "cartid=" + someCart[:25], "cartid=" + someCart + "0", "cartid=8" + someCart[1:], "cartid=Z" + someCart[1:],
		"cartid=" + someCart[:25] + "U", "cartid=" + someCart[:25] + "I", "cartid=" + someCart[:25] + "L", "cartid=" + someCart[:25] + "O", "cartid=" + someCart[:25] + "-",
		"cartid=../../../../etc/passwd", "cartid=..%2f..%2fx", "cartid=%00", "cartid=" + someCart[:20] + "%00%00", "cartid=" + someCart + "%00",
		"cartid=" + someCart + "/items", "cartid=" + someCart + "?a", "cartid=" + someCart + ".events.log", "cartid=" + someCart + ",x", "cartid=" + someCart + " x",
		"cartid=550e8400-e29b-41d4-a716-446655440000", "cartid=550e8400e29b41d4a716446655440000", "cartid='; DROP TABLE carts; --", "cartid=<script>alert(1)</script>",
		"cartid=" + someCart + "; cartid=" + someCart[1:] + "0", "cartid=" + someCart + "; cartid=", "cartid=; cartid=" + someCart, "cartid=" + someCart + "; cartid=" + someCart,
		"cartid=x; a=b; cartid=" + someCart, "cartid=" + someCart + "; cartid=1; cartid=2",
		"cartid=" + strings.Repeat(someCart, 100), "cartid=" + strings.Repeat("A", 10_000), strings.Repeat("cartid="+someCart+"; ", 300), strings.Repeat("a=b; ", 2500),
		"cartid=\u00c5\u00c4\u00d6", "cartid=" + someCart[:24] + "\u00c5", "cartid=" + someCart[:13] + "\u200b" + someCart[13:], "cartid=\xff\xfe",
		"cartid=\\x37ZK3D4M8W5Q0X1T2B9C6VN", "cartid==" + someCart, "cartid=" + someCart + "=", "cartid:" + someCart, "$Version=1; $cartid=" + someCart,
	}
}

func requestWith(cookie string) *http.Request {
	return &http.Request{Method: "GET", Header: http.Header{"Cookie": {cookie}}}
}

func TestHostileCookiesNameNoCart(t *testing.T) {
	hostile := HostileCookies()
	if len(hostile) < 64 {
		t.Errorf("only %d cookies", len(hostile))
	}
	for _, cookie := range hostile {
		if id, ok := cookieCart(requestWith(cookie)); ok || id != "" {
			t.Errorf("%.80q names %s", cookie, id)
		}
	}
	if _, ok := cookieCart(&http.Request{Header: http.Header{"Cookie": {"cartid=" + someCart, "cartid=" + someCart[1:] + "0"}}}); ok {
		t.Error("two headers name a cart")
	}
	for _, cookie := range []string{"cartid=" + someCart, " cartid=" + someCart + " ", "a=b; cartid=" + someCart + "; c=d", "a=;cartid=" + someCart} {
		if id, ok := cookieCart(requestWith(cookie)); !ok || id != someCart {
			t.Errorf("%q names %q", cookie, id)
		}
	}
}

// FuzzCookie: whatever is sent as a cookie, the id that is taken from it is one that could have been made here, stands in
// it as it is, and is safe as a file name.
func FuzzCookie(f *testing.F) {
	for _, cookie := range HostileCookies() {
		f.Add(cookie)
	}
	f.Add("cartid=" + someCart)
	f.Add("a=b; cartid=" + someCart + "; c=d")
	f.Fuzz(func(t *testing.T, cookie string) {
		id, ok := cookieCart(requestWith(cookie))
		if !ok {
			if id != "" {
				t.Errorf("%q: no cart, and it is %s", cookie, id)
			}
			return
		}
		if parsed, err := grain.ParseCartID(string(id)); err != nil || parsed != id || !id.LooksRandom() {
			t.Errorf("%q names %q: %v", cookie, id, err)
		}
		if !strings.Contains(cookie, string(id)) {
			t.Errorf("%q does not name %q", cookie, id)
		}
		for part := range strings.SplitSeq(cookie, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name == cookieName && value != string(id) && validValue(value) {
				t.Errorf("%q names %q, and %q too", cookie, id, value)
			}
		}
	})
}

// validValue reports whether net/http reads value as that of a cookie.
func validValue(value string) bool {
	_, err := http.ParseCookie("x=" + value)
	return err == nil
}
