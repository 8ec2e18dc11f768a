package api

import (
	"net/http"
	"strconv"
	"time"
)

// admit says why r is not handled at all; nil if it is. Nothing of it costs anything while it is not asked for.
func (s *server) admit(r *http.Request) error {
	if s.clients == nil && s.Users == nil || s.tokens.allow(r) {
		return nil
	}
	if s.clients != nil {
		if delay := s.clients.wait(s.clients.of(r), time.Now()); delay > 0 {
			p := fault("rate_limited", "too many requests from your address")
			p.retryAfter = strconv.FormatInt(int64((delay+time.Second-1)/time.Second), 10)
			return p
		}
	}
	if s.Users == nil || r.Method == http.MethodOptions { // browsers ask without credentials what they may send
		return nil
	}
	return s.authenticate(r, exchangeOf(r))
}

// refusedBody is how long the body of a request that is not handled at all is waited for.
const refusedBody = 200 * time.Millisecond

// waitLittle keeps net/http from waiting for the rest of a body until --read-timeout, before it sends the answer or closes
// the connection: who is refused could keep a busy connection for each request that he is refused.
func waitLittle(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedBody)) //nolint:errcheck // tests have no connection
	}
}

// slowRequest is from when on a request's handling is worth a line in the log.
const slowRequest = time.Second

// enter takes one of the places for requests that are worked on. There is no queue: with all of them taken more work would
// only make everybody wait. Who is still sending a body, or still reading the answer, takes none.
func (x *exchange) enter() error {
	if !x.entered.IsZero() {
		return nil
	}
	if x.server.working.Add(1) > int64(x.server.MaxRequests) {
		x.server.working.Add(-1)
		return fault("unavailable", "too many requests at once; nothing was changed")
	}
	x.entered = time.Now()
	return nil
}

// leave gives the place back, with the begin of the answer at the latest.
func (x *exchange) leave() {
	if x.entered.IsZero() || x.left {
		return
	}
	x.left = true
	x.worked = time.Since(x.entered)
	x.server.working.Add(-1)
}

// tooDeep reports whether arrays and objects are nested deeper than limit in what may be JSON.
func tooDeep(b []byte, limit int) bool {
	if len(b) <= limit {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}
