package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// exchange is what is known of a request beside itself; it travels in the context.
type exchange struct {
	id    string // request id, in logs and in the answer's X-Request-Id
	route string // template of the route, for metrics
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

func requestID(r *http.Request) string {
	if x := exchangeOf(r); x != nil {
		return x.id
	}
	return ""
}

func noteRoute(r *http.Request, route string) {
	if x := exchangeOf(r); x != nil && route != "" {
		x.route = route
	}
}

// observe wraps all routes, also the ones that do not exist: request id, deadline, counters, log, and the end of panics.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{id: r.Header.Get("X-Request-Id"), route: "none"}
		if !plainToken(x.id, 64) {
			x.id = rand.Text()
		}
		w.Header().Set("X-Request-Id", x.id)
		rec := &recorder{ResponseWriter: w}
		// The deadline is not the connection's: a change that is on its way is finished when the client hangs up.
		ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(r.Context()), exchangeKey{}, x), s.Timeout)
		defer cancel()
		r = r.WithContext(ctx)
		s.Metrics.inFlight.Inc()
		defer func() {
			if v := recover(); v != nil {
				s.Logger.Error("handler panicked", "request", x.id, "panic", v, "stack", string(debug.Stack()))
				if rec.status == 0 {
					s.fail(rec, r, fault("internal", "something went wrong; the log knows more under this request's id"))
				}
			}
			s.Metrics.inFlight.Dec()
			s.Metrics.observe(x.route, r.Method, rec.code(), time.Since(start))
			s.Logger.Debug("request", "request", x.id, "method", r.Method, "route", x.route, "status", rec.code(), "took", time.Since(start))
		}()
		r.Body = http.MaxBytesReader(w, r.Body, s.MaxBodyBytes)
		next.ServeHTTP(rec, r)
	})
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

func (w *recorder) code() string {
	if w.status == 0 {
		return "200"
	}
	return strconv.Itoa(w.status)
}
