//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"cartd/internal/identity/identitytest"
)

func TestUsersLogInWithTokensOfTheIssuer(t *testing.T) {
	t.Parallel()
	issuer := identitytest.New(t)
	url := httptest.NewServer(issuer)
	defer url.Close()
	file := filepath.Join(t.TempDir(), "jwks.json")
	write(t, file, issuer.KeySet())
	data := t.TempDir()
	for i, keys := range []string{url.URL, file} {
		s := serve(t, data, "--auth=jwt", "--jwks="+keys, "--jwt-issuer=https://login.example", "--jwt-audience=shop,shop-test")
		bearer := func(sub, audience string) []string {
			return []string{"Authorization", "Bearer " + issuer.Token(sub, func(c jwt.MapClaims) { c["iss"], c["aud"] = "https://login.example", audience })}
		}
		id := []string{"by-url", "by-file"}[i]
		s.create(t, id)
		path := "/v1/carts/" + id
		s.do(t, http.StatusOK, "PUT", path+"/user", `{"userId":"ada"}`, bearer("ada", "shop")...)
		s.do(t, http.StatusOK, "GET", path, "", bearer("ada", "shop-test")...)
		wantProblem(t, s.do(t, http.StatusNotFound, "GET", path, "", bearer("bob", "shop")...), http.StatusNotFound, "cart_not_found")
		wantProblem(t, s.do(t, http.StatusUnauthorized, "GET", path, "", bearer("ada", "bank")...), http.StatusUnauthorized, "unauthorized")
		wantProblem(t, s.do(t, http.StatusNotFound, "GET", path, "", "Authorization", ""), http.StatusNotFound, "cart_not_found")
		s.cart(t, id) // the backend
		s.kill()
		s = serve(t, data, "--auth=jwt", "--jwks="+keys, "--jwt-issuer=https://login.example", "--jwt-audience=shop,shop-test") // who a cart belongs to outlives that
		wantProblem(t, s.do(t, http.StatusNotFound, "GET", path, "", bearer("bob", "shop")...), http.StatusNotFound, "cart_not_found")
		s.do(t, http.StatusOK, "GET", path, "", bearer("ada", "shop")...)
		s.kill()
	}
}
