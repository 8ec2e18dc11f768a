package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"cartd/internal/identity"
)

// tokens are the hashes of the backend tokens: comparing hashes takes the same time whatever was sent.
type tokens [][sha256.Size]byte

func hashTokens(plain []string) tokens {
	var ts tokens
	for _, t := range plain {
		if t != "" {
			ts = append(ts, sha256.Sum256([]byte(t)))
		}
	}
	return ts
}

// allow reports whether r carries one of the tokens.
func (ts tokens) allow(r *http.Request) bool {
	token, ok := bearer(r)
	if !ok || len(ts) == 0 {
		return false
	}
	sum, found := sha256.Sum256([]byte(token)), 0
	for _, t := range ts {
		found |= subtle.ConstantTimeCompare(t[:], sum[:])
	}
	return found == 1
}

// bearer returns the token that r carries. Other schemes of Authorization are none of our business.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, strings.EqualFold(scheme, "Bearer")
}

// Users says who the bearer of a token is: the error is an [*identity.InvalidError] if the token does not count.
type Users interface {
	Subject(ctx context.Context, token string) (string, error)
}

// anonymous is the caller who has not logged in, where one can.
var anonymous string

// authenticate finds out who asks: afterwards x.caller is who the grains judge by, nil for the backend, and for everybody
// if nobody can log in. A token that does not count is an error also where none is needed: its bearer believes to be
// somebody, and would be shown the cart of nobody.
func (s *server) authenticate(r *http.Request, x *exchange) error {
	x.caller = &anonymous
	if len(r.Header["Authorization"]) > 1 {
		return badToken("Authorization was sent more than once")
	}
	token, ok := bearer(r)
	if !ok {
		return nil
	}
	user, err := s.Users.Subject(x, token)
	if invalid, ok := errors.AsType[*identity.InvalidError](err); ok {
		return badToken(invalid.Error())
	}
	if err != nil {
		p := fault("unavailable", "tokens cannot be checked at present; nothing was changed")
		p.cause = err
		return p
	}
	x.caller = &user
	return nil
}

// badToken is the answer to who has a token that does not count (RFC 6750, section 3.1).
func badToken(why string) *problem {
	p := fault("unauthorized", "%s", why)
	p.challenge = `Bearer error="invalid_token"`
	return p
}

// mayBind returns what keeps the caller from binding a cart to a user: where users log in, each binds carts to itself.
func mayBind(r *http.Request, userID string) error {
	caller := exchangeOf(r).caller
	switch {
	case caller == nil, *caller != "" && *caller == userID:
		return nil
	case *caller == "":
		return fault("unauthorized", "to bind a cart to a user takes the user's token")
	}
	return invalid("userId", "must be the subject of your token")
}

// backend lets only the shop's backend through.
func (s *server) backend(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !s.tokens.allow(r) {
			return fault("unauthorized", "this needs the backend token")
		}
		return h(w, r)
	}
}
