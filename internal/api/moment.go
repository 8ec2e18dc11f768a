package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
)

// mainBranch is what clients call the branch that is always there; cartd itself calls it "".
const mainBranch = "main"

// branchOf returns the branch that a request is about, "" for main. A name that no branch can have names none.
func branchOf(r *http.Request) (string, error) {
	if r.URL.RawQuery == "" {
		return "", nil
	}
	q, err := parseQuery(r)
	if err != nil {
		return "", err
	}
	return branchIn(q)
}

func parseQuery(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault("invalid_request", "the query cannot be read")
	}
	return q, nil
}

func branchIn(q url.Values) (string, error) {
	switch names := q["branch"]; len(names) {
	case 0:
		return "", nil
	case 1:
		return parseBranch(names[0])
	}
	return "", fault("invalid_request", "branch is there more than once")
}

func parseBranch(name string) (string, error) {
	switch {
	case name == mainBranch:
		return "", nil
	case !grain.ValidBranch(name):
		return "", branchNotFound()
	}
	return name, nil
}

func branchNotFound() *problem {
	return fault("branch_not_found", "the cart has no branch of this name")
}

// presentBranch is branchOf for what concerns the present alone.
func presentBranch(r *http.Request) (string, error) {
	if r.URL.RawQuery == "" {
		return "", nil
	}
	q, err := parseQuery(r)
	if err != nil {
		return "", err
	}
	if q.Has("version") || q.Has("at") {
		return "", fault("invalid_request", "version and at are for reading a cart alone")
	}
	return branchIn(q)
}

// momentOf returns which state of a cart a request asks for; past is false if that is the present one.
func momentOf(r *http.Request) (m actor.Moment, past bool, err error) {
	if r.URL.RawQuery == "" {
		return m, false, nil
	}
	q, err := parseQuery(r)
	if err != nil {
		return m, false, err
	}
	if m.Branch, err = branchIn(q); err != nil {
		return m, false, err
	}
	versions, times := q["version"], q["at"]
	switch {
	case len(versions)+len(times) == 0:
		return m, false, nil
	case len(versions)+len(times) > 1:
		return m, false, fault("invalid_request", "give one version or one time")
	case len(times) == 1:
		m.At, err = parseTime("at", times[0])
		if err == nil && m.At.IsZero() {
			err = neverWas() // the year 1; to a moment it would be no time at all
		}
		return m, true, err
	}
	if m.Version, err = strconv.ParseUint(versions[0], 10, 64); err != nil {
		return m, false, fault("invalid_request", "version is not a version")
	}
	if m.Version == 0 {
		return m, false, neverWas()
	}
	return m, true, nil
}

// neverWas is not cart_not_found: the cart is there.
func neverWas() *problem {
	return fault("not_found", "the cart was never like that: there is no such version")
}

// then reads a cart of which the grain has said that it may be seen.
func (s *server) then(r *http.Request, id grain.CartID, m actor.Moment) (*grain.Past, error) {
	stream, err := eventlog.ParseStreamID(eventlog.KindCart, string(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cartNotFound(), err)
	}
	past, err := s.History.At(r.Context(), stream, m)
	if err != nil && r.Context().Err() != nil {
		err = fmt.Errorf("%w: %w", errTooLate, err)
	}
	return past, err
}
