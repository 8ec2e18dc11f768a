package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"cartd/internal/catalog"
	"cartd/internal/cluster"
	"cartd/internal/grain"
	"cartd/internal/readmodel"
	"cartd/internal/subscription"
	"cartd/pkg/actor"
)

// problem is an error answer as RFC 9457 has it, and an error that a handler can return.
type problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail"`
	Instance string       `json:"instance"`
	Code     string       `json:"code"`
	Errors   []fieldError `json:"errors,omitempty"`

	RequestID string `json:"requestId"` // as in X-Request-Id and the log

	Cart      json.RawMessage `json:"cart,omitempty"`      // the present cart, with version_conflict and expected_total_changed
	Mutations []outcome       `json:"mutations,omitempty"` // what became of each, when none was applied

	Earliest    uint64 `json:"earliest,omitempty"`    // the first position that is kept, with position_compacted
	Incarnation string `json:"incarnation,omitempty"` // the log that it belongs to

	etag       string // of the cart, where there is one
	challenge  string // WWW-Authenticate, if not the usual one
	retryAfter string // in seconds, if not the usual one
	cause      error  // for the log
}

// fieldError says what is wrong with one part of a request.
type fieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (p *problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%s: %s: %v", p.Code, p.Detail, p.cause)
	}
	return p.Code + ": " + p.Detail
}

func (p *problem) Unwrap() error { return p.cause }

// fault returns a problem with the code's status. The detail is one sentence for the developer who reads it.
func fault(code, format string, args ...any) *problem {
	status := statusOf(code)
	return &problem{
		Type: "urn:cartd:problem:" + code, Title: http.StatusText(status), Status: status,
		Code: code, Detail: fmt.Sprintf(format, args...),
	}
}

// invalid returns the problem of a value that is well-formed and not allowed.
func invalid(field, format string, args ...any) *problem {
	p := fault("validation_failed", format, args...)
	p.Detail = field + ": " + p.Detail
	p.Errors = []fieldError{{Field: field, Message: fmt.Sprintf(format, args...)}}
	return p
}

// errTooLate means that the request's time was over before its cart was asked.
var errTooLate = errors.New("the request's deadline has passed")

var errNotFound = fault("not_found", "there is nothing at this path")

// statusOf is the status of each code that api.md lists.
func statusOf(code string) int {
	switch code {
	case "invalid_request":
		return http.StatusBadRequest
	case "unauthorized":
		return http.StatusUnauthorized
	case "cross_site":
		return http.StatusForbidden
	case "not_found", "cart_not_found", "item_not_found", "delivery_not_found", "voucher_not_found", "branch_not_found":
		return http.StatusNotFound
	case "method_not_allowed":
		return http.StatusMethodNotAllowed
	case "cart_exists", "cart_frozen", "cart_ordered", "cart_merged", "cart_empty", "not_in_checkout", "user_bound",
		"branch_exists", "expected_total_changed", "subscription_exists":
		return http.StatusConflict
	case "cart_deleted", "cart_expired", "position_compacted":
		return http.StatusGone
	case "version_conflict":
		return http.StatusPreconditionFailed
	case "payload_too_large":
		return http.StatusRequestEntityTooLarge
	case "validation_failed", "unknown_sku", "unknown_voucher", "unknown_provider", "idempotency_key_reused", "not_applied":
		return http.StatusUnprocessableEntity
	case "rate_limited":
		return http.StatusTooManyRequests
	case "catalog_unavailable":
		return http.StatusBadGateway
	case "unavailable":
		return http.StatusServiceUnavailable
	case "outcome_unknown":
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// problemOf is the one place where an error becomes an answer.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if refusal, ok := errors.AsType[*actor.Refusal](err); ok {
		return problemOfRefusal(refusal)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault("payload_too_large", "the body is larger than %d bytes", tooLarge.Limit)
	}
	var p *problem
	switch {
	case errors.Is(err, errTooLate): // first: it says that nothing was to be changed, whatever else is wrong
		p = fault("unavailable", "the request took too long; nothing was changed")
	case errors.Is(err, cluster.ErrOutcomeUnknown):
		p = fault("outcome_unknown", "no answer in time: the request may or may not have been applied; repeat it with the same Idempotency-Key")
	case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrShutdown):
		p = fault("unavailable", "the request was not applied; try again")
	case errors.Is(err, readmodel.ErrBuilding):
		p = fault("unavailable", "the list of carts is being built; try again")
	case errors.Is(err, readmodel.ErrCursor):
		p = fault("invalid_request", "cursor was not made here")
	case errors.Is(err, subscription.ErrNotFound):
		p = fault("not_found", "there is no such subscription")
	case errors.Is(err, subscription.ErrExists):
		p = fault("subscription_exists", "there is a subscription of this name with other properties")
	case errors.Is(err, subscription.ErrTooMany):
		p = invalid("name", "there are %d subscriptions already", subscription.MaxSubscriptions)
	case errors.Is(err, subscription.ErrHasWebhook):
		p = invalid("position", "the subscription has a webhook, whose deliveries move it")
	case errors.Is(err, subscription.ErrUnavailable):
		p = fault("unavailable", "subscriptions cannot be stored at present; nothing was changed")
	case errors.Is(err, catalog.ErrUnavailable):
		p = fault("catalog_unavailable", "the catalogue does not answer")
	default:
		p = fault("internal", "something went wrong; the log knows more under this request's id")
	}
	p.cause = err
	return p
}

func problemOfRefusal(r *actor.Refusal) *problem {
	code := r.Code
	switch code {
	case actor.CodeNotFound:
		return cartNotFound()
	case actor.CodeUnknownMutation, actor.CodeFull:
		code = "validation_failed"
	case grain.CodeReservation: // the total is another without the voucher
		code = "expected_total_changed"
	}
	p := fault(code, "%s", r.Message)
	if p.Status == http.StatusUnprocessableEntity && r.Field != "" {
		p.Errors = []fieldError{{Field: r.Field, Message: r.Message}}
	}
	return p
}

// compacted returns the problem of a cursor that there is no going on from.
func compacted(earliest uint64, format string, args ...any) *problem {
	p := fault("position_compacted", format, args...)
	p.Earliest = earliest
	return p
}

func cartNotFound() *problem { return fault("cart_not_found", "there is no such cart") }

// fail writes err as the answer.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *problemOf(err) // a copy: some are shared
	p.Instance, p.RequestID = r.URL.EscapedPath(), exchangeOf(r).id
	if p.Status >= 500 {
		level := slog.LevelWarn
		if p.Status == http.StatusServiceUnavailable {
			level = slog.LevelDebug // while the disk is low each change is refused: the event log says why, once
		}
		s.Logger.Log(r.Context(), level, "request failed", "request", p.RequestID, traceID(r), "method", r.Method, "path", p.Instance, "code", p.Code, "err", err)
	}
	if s.Oplog != nil {
		exchangeOf(r).failure = p.Code + ": " + p.Detail
	}
	h := w.Header()
	if p.etag != "" {
		h.Set("ETag", p.etag)
	}
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", cmp.Or(p.retryAfter, "1"))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", cmp.Or(p.challenge, `Bearer realm="cartd"`))
	}
	body, err := appendMarshal(nil, &p)
	if err != nil { // cannot be: all parts are made here
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal"}`)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	w.Write(body) //nolint:errcheck // the client has gone
}
