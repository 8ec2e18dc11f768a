package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"cartd/internal/api/openapi"
	"cartd/internal/grain"
	"cartd/internal/oplog"
)

const defaultOperations = 100

// The sources of requests.
const (
	sourceSession    = "session"
	sourceStorefront = "storefront"
	sourceBackend    = "backend"
)

// contractOperations are the operations of the contract, by path and method.
var contractOperations = sync.OnceValue(func() map[string]map[string]string {
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(openapi.JSON(), &document); err != nil {
		panic(err) // it is ours
	}
	names := map[string]map[string]string{}
	for path, methods := range document.Paths {
		names[path] = map[string]string{}
		for method, text := range methods {
			var operation struct {
				OperationID string `json:"operationId"`
			}
			if json.Unmarshal(text, &operation) == nil { // else it is what the methods share
				names[path][strings.ToUpper(method)] = operation.OperationID
			}
		}
	}
	return names
})

// operationNames returns how the contract calls what the methods of a path do. Who looks at the operations themselves is
// none of them.
func operationNames(path string, m methods) map[string]string {
	names := map[string]string{}
	if strings.HasPrefix(path, "/v1/operations") {
		return names
	}
	for method := range m {
		names[method] = contractOperations()[path][method]
	}
	return names
}

// record adds a request to the log of operations.
func (s *server) record(r *http.Request, x *exchange, start time.Time, took time.Duration) {
	o := oplog.Operation{Time: start, Source: s.sourceOf(r), Kind: x.operation, OK: x.answer.code() < 400, Took: took}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	o.Routine = read && x.answer.code() < 500 && o.Source != oplog.SourceScenario
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
	q := oplog.Query{Limit: defaultOperations, Tail: true}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, fault("invalid_request", "the query cannot be read")
	}
	for _, name := range []string{"after", "limit", "since", "until", "source", "cart"} {
		if len(values[name]) > 1 {
			return q, fault("invalid_request", "%s is there more than once", name)
		}
	}
	q.Source, q.Cart = values.Get("source"), values.Get("cart")
	if values.Has("after") {
		q.Tail = false
		if q.After, err = strconv.ParseUint(values.Get("after"), 10, 63); err != nil {
			return q, fault("invalid_request", "after is not a number of an operation")
		}
	}
	if values.Has("limit") {
		n, err := strconv.ParseInt(values.Get("limit"), 10, 64)
		if err != nil {
			return q, fault("invalid_request", "limit is not an integer")
		}
		if n < 1 || n > oplog.MaxLimit {
			return q, invalid("limit", "must be 1 to %d", oplog.MaxLimit)
		}
		q.Limit = int(n)
	}
	if values.Has("since") {
		if q.Since, err = parseTime("since", values.Get("since")); err != nil {
			return q, err
		}
	}
	if values.Has("until") {
		if q.Until, err = parseTime("until", values.Get("until")); err != nil {
			return q, err
		}
	}
	for _, list := range values["kind"] {
		for name := range strings.SplitSeq(list, ",") {
			if name != "" {
				q.Kinds = append(q.Kinds, name)
			}
		}
	}
	return q, nil
}
