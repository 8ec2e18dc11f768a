package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"cartd/internal/api/openapi"
	"cartd/internal/grain"
	"cartd/internal/oplog"
)

// The sources of requests.
const (
	sourceSession    = "session"
	sourceStorefront = "storefront"
	sourceBackend    = "backend"
)

// contractOperation is what the contract says of an operation.
type contractOperation struct {
	name     string
	expected []int // the statuses of its answers that are no refusals: below 400, and from 500 on
}

// contractOperations are the operations of the contract, by path and method.
var contractOperations = sync.OnceValue(func() map[string]map[string]contractOperation {
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(openapi.JSON(), &document); err != nil {
		panic(err) // it is ours
	}
	all := map[string]map[string]contractOperation{}
	for path, methods := range document.Paths {
		all[path] = map[string]contractOperation{}
		for method, text := range methods {
			var operation struct {
				OperationID string                     `json:"operationId"`
				Responses   map[string]json.RawMessage `json:"responses"`
			}
			if json.Unmarshal(text, &operation) != nil { // it is what the methods share
				continue
			}
			o := contractOperation{name: operation.OperationID}
			for code := range operation.Responses {
				if status, err := strconv.Atoi(code); err == nil && (status < 400 || status >= 500) {
					o.expected = append(o.expected, status)
				}
			}
			all[path][strings.ToUpper(method)] = o
		}
	}
	return all
})

// operationNames returns how the contract calls what the methods of a path do. Who looks at the operations themselves is
// none of them.
func operationNames(path string, m methods) map[string]string {
	names := map[string]string{}
	if strings.HasPrefix(path, "/v1/operations") {
		return names
	}
	for method := range m {
		names[method] = contractOperations()[path][method].name
	}
	return names
}

// record adds a request to the log of operations.
func (s *server) record(r *http.Request, x *exchange, start time.Time, took time.Duration) {
	o := oplog.Operation{Time: start, Source: s.sourceOf(r), Kind: x.operation, OK: x.answer.code() < 400, Took: took}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch status := x.answer.code(); {
	case o.Source == oplog.SourceScenario:
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests:
		o.Routine = true // strangers, who would push out everything else
	default:
		o.Routine = read && status < 500
	}
	if !o.OK {
		o.Error = x.failure
	}
	if id := x.session.cart; id != "" {
		o.Cart = string(id)
	} else if id, err := grain.ParseCartID(x.vars.get("id")); err == nil && strings.HasPrefix(x.route, "/v1/carts/") {
		o.Cart = string(id)
	}
	if err := s.Oplog.Record(o); err != nil {
		s.Logger.Debug("record an operation", "request", x.id, "err", err) // it is shutting down
	}
}

// sourceOf says who sent a request. The backend may say it differently: its probes are no customers.
func (s *server) sourceOf(r *http.Request) string {
	switch {
	case r.Header["Authorization"] != nil && s.tokens.allow(r):
		if source := r.Header.Get("Cartd-Source"); oplog.ValidSource(source) {
			return source
		}
		return sourceBackend
	case exchangeOf(r).session.cart != "":
		return sourceSession
	}
	return sourceStorefront
}

// listOperations answers a page of the log of operations.
func (s *server) listOperations(w http.ResponseWriter, r *http.Request) error {
	q, err := operationsQuery(r)
	if err != nil {
		return err
	}
	page, err := s.Oplog.Query(r.Context(), q)
	if err != nil {
		return err
	}
	return writeValue(w, http.StatusOK, page)
}

// readOperationStats answers the counts of operations.
func (s *server) readOperationStats(w http.ResponseWriter, _ *http.Request) error {
	return writeValue(w, http.StatusOK, s.Oplog.Stats())
}

// operationsQuery reads the query of a request for operations.
func operationsQuery(r *http.Request) (oplog.Query, error) {
	values, err := parseQuery(r)
	if err != nil {
		return oplog.Query{}, err
	}
	for _, name := range []string{"source", "cart"} {
		if len(values[name]) > 1 {
			return oplog.Query{}, fault("invalid_request", "%s is there more than once", name)
		}
	}
	w, err := windowOf(values)
	return oplog.Query{
		After: w.after, Tail: !values.Has("after"), Limit: w.limit, Since: w.since, Until: w.until,
		Source: values.Get("source"), Kinds: namesIn(values, "kind"), Cart: values.Get("cart"),
	}, err
}
