package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"
)

// maxDetailBytes is what is shown of a problem's detail: whatever answers at the URL wrote it.
const maxDetailBytes = 300

// statusError is an answer that is not what was asked for.
type statusError struct {
	status int
	code   string // of cartd's problem, empty if the answer was none
	detail string
	after  time.Duration // what Retry-After asked for; 0: nothing
}

// newStatusError reads the problem (RFC 9457) in an answer, if there is one.
func newStatusError(a answer) *statusError {
	var p struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(a.body, &p) != nil {
		p.Code, p.Detail = "", ""
	}
	return &statusError{status: a.status, code: cut(p.Code), detail: cut(p.Detail)}
}

// Error names status, code and detail, and says what to look at when the token or the URL is the likely fault.
func (e *statusError) Error() string {
	s := strconv.Itoa(e.status)
	if e.code != "" {
		s += " " + strconv.Quote(e.code)
	} else {
		s += " " + http.StatusText(e.status)
	}
	if e.detail != "" {
		s += ": " + strconv.Quote(e.detail)
	}
	switch {
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		s += " (is the backend token the one that the server was started with?)"
	case e.status == http.StatusNotFound && e.code != "cart_not_found":
		s += " (does cartd answer at this URL, and was it started with a backend token?)"
	case e.status/100 == 3:
		s += " (a redirect is not followed: give the URL at which cartd itself answers)"
	}
	return s
}

// Unwrap tells backoff how long to wait when the server said so.
func (e *statusError) Unwrap() error {
	if e.after == 0 {
		return nil
	}
	return &backoff.RetryAfterError{Duration: e.after}
}

// unexpected returns the error of a call whose answer is none that it can go on with.
func unexpected(r call, a answer) error {
	return fmt.Errorf("%s %s: %w", r.method, r.path, newStatusError(a))
}

// cut shortens s to maxDetailBytes, at the beginning of a character.
func cut(s string) string {
	if len(s) <= maxDetailBytes {
		return s
	}
	n := maxDetailBytes
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
