package api

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exchange is what is known of a request beside itself. It travels as the request's context, which it is.
type exchange struct {
	connection context.Context // for its values alone
	client     context.Context // ends when the client goes
	due        *deadline
	id         string   // request id, in logs and in the answer's X-Request-Id
	route      string   // template of the route, for metrics
	vars       pathVars // of the route
	answer     recorder
	begun      time.Time // of an answer that goes on and on; zero of others
	inFlight   prometheus.Gauge
}

// streaming says that the answer begins now and goes on for as long as its client wants: it is no request in flight any more.
func (x *exchange) streaming() {
	x.begun = time.Now()
	x.inFlight.Dec()
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a request that has come through observe.
func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// observe wraps all routes, also the ones that do not exist: request id, deadline, counters, log, and the end of panics.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{
			// The deadline is not the connection's: a change that is on its way is finished when the client hangs up.
			connection: context.WithoutCancel(r.Context()), client: r.Context(), due: s.deadlines.next(start),
			id: r.Header.Get("X-Request-Id"), route: "none", answer: recorder{ResponseWriter: w}, inFlight: s.Metrics.inFlight,
		}
		if !plainToken(x.id, 64) {
			x.id = newRequestID()
		}
		w.Header()["X-Request-Id"] = []string{x.id}
		r = r.WithContext(x)
		s.Metrics.inFlight.Inc()
		defer func() {
			if v := recover(); v != nil {
				s.Logger.Error("handler panicked", "request", x.id, "panic", v, "stack", string(debug.Stack()))
				if x.answer.status == 0 {
					s.fail(&x.answer, r, fault("internal", "something went wrong; the log knows more under this request's id"))
				}
			}
			took, status := time.Since(start), x.answer.code()
			if x.begun.IsZero() {
				s.Metrics.inFlight.Dec()
			} else {
				took = x.begun.Sub(start) // how long a stream lasts is its client's affair
			}
			s.Metrics.observe(x.route, r.Method, status, took)
			if s.Logger.Enabled(x, slog.LevelDebug) {
				s.Logger.Debug("request", "request", x.id, "method", r.Method, "route", x.route, "status", status, "took", took)
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, s.MaxBodyBytes)
		next.ServeHTTP(&x.answer, r)
	})
}

// newRequestID returns a name that no other request has: 128 random bits. It is no secret, so it need not come from
// crypto/rand, which takes ten times as long.
func newRequestID() string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648
	var id [26]byte
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range id {
		id[i] = digits[lo%32]
		lo, hi = lo>>5|hi<<59, hi>>5
	}
	return string(id[:])
}

// plainToken reports whether s is 1 to limit letters, digits and - _ . characters.
func plainToken(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code returns the status, 200 if nothing was written: so does net/http.
func (w *recorder) code() int { return cmp.Or(w.status, http.StatusOK) }
