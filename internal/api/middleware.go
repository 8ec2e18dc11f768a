package api

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gorilla/mux"
	"go.opentelemetry.io/otel/trace"
)

// exchange is what is known of a request beside itself. It travels as the request's context, which it is.
type exchange struct {
	session session // of a request of the session API

	client    context.Context // ends when the client goes, which is watched for in reads alone: see cmd/cartd
	due       *deadline
	id        string // request id, in logs and in the answer's X-Request-Id
	route     string // template of the route, for metrics
	operation string // the route's operation in the contract; "" if it has none
	failure   string // what went wrong, for the log of operations
	path      string // with its escapes, and without a slash at its end
	found     mux.RouteMatch
	vars      pathVars // of the route
	caller    *string  // who asks, as actor.Command has it
	answer    recorder
	fields    [3]string // values of the answer's header, as setHeader has it
	fieldsSet int

	server   *server
	entered  time.Time     // when it took a place among those that are worked on; zero: not yet
	left     bool          // it has given that back
	buffered int64         // bytes of its body that server.buffered counts
	worked   time.Duration // how long it had it

	begun time.Time // of an answer that goes on and on; zero of others
}

// streaming says that the answer begins now and goes on for as long as its client wants: it is no request in flight any more.
func (x *exchange) streaming() {
	x.begun = time.Now()
	x.server.inFlight.Add(-1)
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
			client: r.Context(), due: s.deadlines.next(start),
			id: r.Header.Get("X-Request-Id"), route: "none", server: s, answer: recorder{ResponseWriter: w},
		}
		x.answer.of = x
		if !plainToken(x.id, 64) {
			x.id = newRequestID()
		}
		setHeader(&x.answer, "X-Request-Id", x.id)
		var ctx context.Context = x
		var span trace.Span
		if s.Tracer != nil {
			ctx, span = s.startSpan(r, x)
		}
		r = r.WithContext(ctx)
		s.inFlight.Add(1)
		defer func() {
			if v := recover(); v != nil {
				s.Logger.Error("handler panicked", "request", x.id, traceID(r), "panic", v, "stack", string(debug.Stack()))
				if x.answer.status == 0 {
					s.fail(&x.answer, r, fault("internal", "something went wrong; the log knows more under this request's id"))
				}
			}
			x.leave() // if there was no answer
			if x.buffered > 0 {
				s.buffered.Add(-x.buffered)
			}
			if span != nil {
				endSpan(span, x, r.Method, x.answer.code())
			}
			took, status := time.Since(start), x.answer.code()
			if x.begun.IsZero() {
				s.inFlight.Add(-1)
			} else {
				took = x.begun.Sub(start) // how long a stream lasts is its client's affair
			}
			s.Metrics.observe(x.route, r.Method, status, took)
			if s.Oplog != nil && x.operation != "" {
				s.record(r, x, start, took)
			}
			switch {
			case x.worked >= slowRequest:
				s.Logger.Warn("slow request", "request", x.id, traceID(r), "method", r.Method, "route", x.route, "status", status, "worked", x.worked, "took", took)
			case s.Logger.Enabled(x, slog.LevelDebug):
				s.Logger.Debug("request", "request", x.id, traceID(r), "method", r.Method, "route", x.route, "status", status, "took", took)
			}
		}()
		next.ServeHTTP(&x.answer, r)
	})
}

// setHeader is w.Header().Set, for a name in its canonical form, and with room for the values that nearly every answer has.
func setHeader(w http.ResponseWriter, name, value string) {
	x := w.(*recorder).of
	if x.fieldsSet == len(x.fields) {
		w.Header().Set(name, value)
		return
	}
	values := x.fields[x.fieldsSet : x.fieldsSet+1 : x.fieldsSet+1]
	x.fieldsSet++
	values[0] = value
	w.Header()[name] = values
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
	of     *exchange
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.of.leave()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
		w.of.leave()
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code returns the status, 200 if nothing was written: so does net/http.
func (w *recorder) code() int { return cmp.Or(w.status, http.StatusOK) }
