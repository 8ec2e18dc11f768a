package api

import (
	"net/http"

	"cartd/internal/grain"
)

// cookieName is the cookie that holds the id of a browser's cart.
const cookieName = "cartid"

// cookieSeconds is how long a browser keeps it: 400 days, the longest that browsers do (RFC 6265bis, section 5.5). A cart
// that expires sooner is followed by a new one.
const cookieSeconds = 400 * 24 * 60 * 60

// cookieCart returns the id in the request's cookie, false if it has none that could have been made here. Of several
// cookies, which another page of the domain can bring about, none is taken.
//
// A cart need not exist for its id to be taken: GET /cart hands ids out and stores nothing. So a client can choose the id
// of its cart, as far as it looks random. A signature would not help: who wants to plant an id in somebody else's browser
// gets a signed one by asking for it.
func cookieCart(r *http.Request) (grain.CartID, bool) {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) != 1 || cookies[0].Quoted {
		return "", false
	}
	id := grain.CartID(cookies[0].Value)
	if !id.LooksRandom() {
		return "", false
	}
	return id, true
}

// freshCart returns the id of a cart that does not exist.
func freshCart() grain.CartID {
	for {
		if id := grain.NewCartID(); id.LooksRandom() { // or the cookie would not be taken next time
			return id
		}
	}
}

// setCookie gives the browser the id of its cart. There is no Domain: other hosts of the domain do not get it.
func (s *server) setCookie(w http.ResponseWriter, r *http.Request, id grain.CartID) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: string(id), Path: "/", MaxAge: cookieSeconds,
		HttpOnly: true, Secure: r.TLS != nil || s.SecureCookies, SameSite: http.SameSiteLaxMode,
	})
}
