package api

import "net/http"

// admit says why r is not handled at all; nil if it is. Nothing of it costs anything while it is not asked for.
func (s *server) admit(r *http.Request) error {
	if s.Users == nil {
		return nil
	}
	if s.tokens.allow(r) {
		return nil
	}
	if r.Method == http.MethodOptions { // browsers ask without credentials what they may send
		return nil
	}
	return s.authenticate(r, exchangeOf(r))
}
