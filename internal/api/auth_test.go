package api_test

import (
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"cartd/internal/api"
	"cartd/internal/identity"
	"cartd/internal/identity/identitytest"
)

// openLogins starts a shop where users log in.
func openLogins(t *testing.T) (*shop, *identitytest.Issuer) {
	t.Helper()
	issuer := identitytest.New(t)
	keys := httptest.NewServer(issuer)
	t.Cleanup(keys.Close)
	users, err := identity.Open(t.Context(), keys.URL, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(users.Close)
	return openShop(t, func(o *api.Options) { o.Users = users }), issuer
}

func as(token string) []string { return []string{"Authorization", "Bearer " + token} }

// everyCartRoute has a request for each route of a cart that shoppers may call.
var everyCartRoute = []struct{ method, path, body string }{
	{"GET", "", ""},
	{"HEAD", "", ""},
	{"DELETE", "", ""},
	{"POST", "/items", addLantern},
	{"POST", "/items", `{"items":[{"sku":"no-such-thing","quantity":1}]}`},
	{"PUT", "/items", `{"items":[]}`},
	{"DELETE", "/items", ""},
	{"PATCH", "/items/1", `{"quantity":2}`},
	{"DELETE", "/items/1", ""},
	{"POST", "/deliveries", `{"provider":"postnord","items":[1]}`},
	{"PUT", "/deliveries/1/pickup-point", `{"id":"p"}`},
	{"DELETE", "/deliveries/1", ""},
	{"POST", "/checkout", `{"orderId":"o"}`},
	{"DELETE", "/checkout", ""},
	{"GET", "/events", ""},
	{"POST", "/vouchers", `{"code":"WELCOME10"}`},
	{"DELETE", "/vouchers/1", ""},
	{"POST", "/refresh", ""},
	{"PUT", "/subscription-details", `{"offeringCode":"o"}`},
	{"GET", "?branch=gift", ""},
	{"GET", "?version=1", ""},
	{"GET", "?at=2100-01-01T00:00:00Z", ""},
	{"GET", "/events?branch=gift", ""},
	{"GET", "/branches", ""},
	{"POST", "/branches", `{"name":"gift"}`},
	{"GET", "/branches/main", ""},
	{"GET", "/branches/gift?compare=main", ""},
	{"POST", "/branches/gift/promote", ""},
	{"DELETE", "/branches/gift", ""},
}

// A route that is new has to be above, or to be named here: those that are the backend's, and two with tests of their own.
func TestEachRouteOfACartIsTriedByStrangers(t *testing.T) {
	apart := []string{"POST /v1/carts/{id}/order", "POST /v1/carts/{id}/mutations", "POST /v1/carts/{id}/merge", "PUT /v1/carts/{id}/user"}
	variable := regexp.MustCompile(`\{[a-z]+\}`)
	for _, route := range api.Routes() {
		method, path, _ := strings.Cut(route, " ")
		rest, ok := strings.CutPrefix(path, "/v1/carts/{id}")
		if !ok || slices.Contains(apart, route) {
			continue
		}
		form := regexp.MustCompile("^" + variable.ReplaceAllString(rest, "[^/?]+") + `(\?|$)`)
		tried := false
		for _, tc := range everyCartRoute {
			tried = tried || tc.method == method && form.MatchString(tc.path)
		}
		if !tried {
			t.Errorf("%s is not tried by a stranger", route)
		}
	}
}

func TestBoundCartIsThereForItsUserAlone(t *testing.T) {
	s, issuer := openLogins(t)
	ada, bob := issuer.Token("ada"), issuer.Token("bob")
	cart, guest := s.newCart(), s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, "") // a guest, who then logs in
	s.want(s.request("PUT", cart+"/user", `{"userId":"ada"}`, as(ada)...), 200, "")
	before := s.want(s.request("GET", cart, "", as(ada)...), 200, "")

	for who, header := range map[string][]string{"bob": as(bob), "nobody": nil} {
		for _, tc := range everyCartRoute {
			there := s.request(tc.method, cart+tc.path, tc.body, header...)
			missing := s.request(tc.method, "/v1/carts/AAAAAAAAAAAAAAAAAAAAAAAAAA"+tc.path, tc.body, header...)
			if there.status != 404 || tc.method != "HEAD" && there.field("code") != "cart_not_found" {
				t.Errorf("%s: %s %s: %d %s, want 404", who, tc.method, tc.path, there.status, there.body)
			}
			if there.status != missing.status || there.field("detail") != missing.field("detail") || there.header.Get("ETag") != "" {
				t.Errorf("%s: %s %s: the answer %s differs from that for a cart that does not exist, %s", who, tc.method, tc.path, there.body, missing.body)
			}
		}
		s.want(s.request("POST", cart+"/items", addLantern, append(header, "Idempotency-Key", "k")...), 404, "cart_not_found") // a repeat shows the cart
		s.want(s.request("DELETE", cart, "", append(header, "If-Match", `"main-1"`)...), 404, "cart_not_found")                // so does a conflict
		s.want(s.request("POST", cart+"/merge", `{"from":"`+strings.TrimPrefix(guest, "/v1/carts/")+`"}`, header...), 404, "cart_not_found")
		s.want(s.request("POST", guest+"/merge", `{"from":"`+strings.TrimPrefix(cart, "/v1/carts/")+`"}`, header...), 404, "cart_not_found")
	}
	s.want(s.request("PUT", cart+"/user", `{"userId":"bob"}`, as(bob)...), 404, "cart_not_found")
	if after := s.want(s.request("GET", cart, "", as(ada)...), 200, ""); string(after.body) != string(before.body) {
		t.Errorf("the cart was %s and is %s", before.body, after.body)
	}

	// The backend sees it, and may give it to another; guests keep what is theirs.
	s.want(s.request("GET", cart, "", asBackend...), 200, "")
	s.want(s.request("PUT", cart+"/user", `{"userId":"bob"}`, asBackend...), 200, "")
	s.want(s.request("GET", cart, "", as(ada)...), 404, "cart_not_found")
	s.want(s.request("GET", cart, "", as(bob)...), 200, "")
	s.want(s.request("GET", guest, ""), 200, "")
	s.want(s.request("GET", guest, "", as(bob)...), 200, "")

	// That it was deleted is for its user to know.
	s.want(s.request("DELETE", cart, "", as(bob)...), 204, "")
	s.want(s.request("GET", cart, "", as(bob)...), 410, "cart_deleted")
	s.want(s.request("GET", cart, ""), 404, "cart_not_found")
}

func TestUserBindsCartsToThemselvesAlone(t *testing.T) {
	s, issuer := openLogins(t)
	ada := issuer.Token("ada")
	cart := s.newCart()
	s.want(s.request("PUT", cart+"/user", `{"userId":"ada"}`), 401, "unauthorized")
	if a := s.want(s.request("PUT", cart+"/user", `{"userId":"bob"}`, as(ada)...), 422, "validation_failed"); a.field("errors.0.field") != "userId" {
		t.Errorf("the problem is %s", a.body)
	}
	s.want(s.request("POST", "/v1/carts", `{"userId":"ada"}`), 401, "unauthorized")
	s.want(s.request("POST", "/v1/carts", `{"userId":"bob"}`, as(ada)...), 422, "validation_failed")
	s.want(s.request("POST", "/v1/carts", `{"userId":"ada"}`, as(ada)...), 201, "")
	s.want(s.request("POST", "/v1/carts", `{"userId":"bob"}`, asBackend...), 201, "")
	if got := s.events(cart); got != "1" {
		t.Errorf("the cart has %s events, want 1", got)
	}
	s.want(s.request("PUT", cart+"/user", `{"userId":"ada"}`, as(ada)...), 200, "")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o"}`, as(ada)...), 401, "unauthorized") // a user is no backend
}

// Who sends a token believes to be somebody: a bad one is told so also where none is needed.
func TestBadTokenIsRefusedEverywhere(t *testing.T) {
	s, issuer := openLogins(t)
	cart := s.newCart()
	bad := map[string]string{
		"words":      "let-me-in",
		"nothing":    "",
		"expired":    issuer.Token("ada", func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"no subject": issuer.Token(""),
		"stranger":   identitytest.New(t).Token("ada"),
	}
	for what, token := range bad {
		for _, tc := range []struct{ method, path, body string }{
			{"GET", cart, ""}, {"POST", cart + "/items", addLantern}, {"POST", "/v1/carts", `{}`}, {"GET", "/v1/carts", ""}, {"GET", "/nowhere", ""}, {"PUT", cart, ""},
		} {
			a := s.want(s.request(tc.method, tc.path, tc.body, as(token)...), 401, "unauthorized")
			if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="invalid_token"` {
				t.Errorf("%s: WWW-Authenticate is %s", what, got)
			}
			if token != "" && strings.Contains(string(a.body), token) {
				t.Errorf("%s: the token is echoed: %s", what, a.body)
			}
		}
	}
	s.want(s.request("GET", cart, "", "Authorization", "Bearer "+issuer.Token("ada"), "Authorization", "Bearer "+issuer.Token("bob")), 401, "unauthorized")
	s.want(s.request("GET", cart, "", "Authorization", "Basic c3RhZ2luZzpzdGFnaW5n"), 200, "") // a proxy's own
	s.want(s.request("OPTIONS", cart, "", as("let-me-in")...), 204, "")                        // browsers ask before they say who they are
	if got := s.events(cart); got != "1" {
		t.Errorf("the cart has %s events, want 1: nothing of the refused requests", got)
	}
}

func TestNobodyIsLetInWhileTheKeySetIsNotThere(t *testing.T) {
	issuer := identitytest.New(t)
	issuer.Down(true)
	keys := httptest.NewServer(issuer)
	t.Cleanup(keys.Close)
	users, err := identity.Open(t.Context(), keys.URL, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(users.Close)
	s := openShop(t, func(o *api.Options) { o.Users = users })
	cart := s.newCart() // guests go on
	if a := s.want(s.request("GET", cart, "", as(issuer.Token("ada"))...), 503, "unavailable"); a.header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	s.want(s.request("GET", cart, "", asBackend...), 200, "")
}

// Without logins who has a cart's id has the cart, whatever else is sent.
func TestWithoutLoginsTokensOfUsersMeanNothing(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("PUT", cart+"/user", `{"userId":"ada"}`), 200, "")
	s.want(s.request("GET", cart, "", as("let-me-in")...), 200, "")
	s.want(s.request("GET", cart, ""), 200, "")
}

func TestEachOfSeveralBackendTokensLetsIn(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.BackendTokens = []string{"old", "", "new"} })
	for token, want := range map[string]int{"old": 201, "new": 201, "": 401, "ol": 401, "oldnew": 401, "old,new": 401} {
		s.want(s.request("POST", "/v1/carts", `{"id":"by-`+token+`"}`, as(token)...), want, "")
	}
	s.want(s.request("POST", "/v1/carts", `{"id":"c"}`, "Authorization", "bearer new"), 201, "")
	s.want(s.request("POST", "/v1/carts", `{"id":"d"}`, "Authorization", "Basic new"), 401, "unauthorized")
	none := openShop(t, func(o *api.Options) { o.BackendTokens = []string{""} })
	none.want(none.request("POST", "/v1/carts", `{"id":"c"}`, as("")...), 401, "unauthorized")
}
