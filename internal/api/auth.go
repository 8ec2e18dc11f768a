package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
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
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum, found := sha256.Sum256([]byte(token)), 0
	for _, t := range ts {
		found |= subtle.ConstantTimeCompare(t[:], sum[:])
	}
	return found == 1
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
