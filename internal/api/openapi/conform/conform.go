// Package conform says whether what was asked of a server, and what it answered, is as the contract has it. It is for
// tests: the program does not import it.
//
//	if err := conform.Check(conform.Exchange{…}); err != nil {
//		t.Error(err)
//	}
//
// An answer must always be one of the contract: a status that the operation has, with its headers, and a body of its
// schema, without a member that the schema does not have. (Clients are to be more patient: for them the schemas of answers
// are open.) A request need not be of the contract, for tests send bad ones; but then it must have been refused.
package conform

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Exchange is a request and its answer.
type Exchange struct {
	Method string
	Target string // path and query, with their escapes
	Header http.Header
	Body   []byte

	Status       int
	AnswerHeader http.Header
	Answer       []byte // of a stream nothing: see Streams
}

// Streams reports whether an answer with this header goes on and on. Nobody waits for its end: it is checked when its header
// is there, and of its body nothing is.
func Streams(answer http.Header) bool { return answer.Get("Content-Type") == "text/event-stream" }

// contract is the document, ready for use.
var contract = sync.OnceValues(load)

// Check returns nil if x is as the contract has it, or all that is not. It is safe for concurrent use.
func Check(x Exchange) error {
	c, err := contract()
	if err != nil {
		return err
	}
	if err := c.check(&x); err != nil {
		return fmt.Errorf("%s %.200s %.300q, answered %d %.600s\nis not as the contract has it: %.1500w", x.Method, x.Target, x.Body, x.Status, x.Answer, err)
	}
	return nil
}

// anywhere are the statuses of who is not let in, whatever the path.
var anywhere = []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable}

func (c *document) check(x *Exchange) error {
	escaped, query, _ := strings.Cut(x.Target, "?")
	item := c.find(escaped)
	if item == nil {
		return c.answer(c.unrouted, x, append(anywhere, http.StatusNotFound, http.StatusBadRequest)...)
	}
	if x.Method == http.MethodOptions && x.Status != http.StatusNotFound { // the backend's, where there is none
		if x.Status != http.StatusNoContent {
			return errors.New("the answer to OPTIONS is 204")
		}
		return item.allow(x)
	}
	method := x.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op := item.operations[strings.ToLower(method)]
	if op == nil {
		if x.Status == http.StatusMethodNotAllowed {
			return errors.Join(item.allow(x), c.answer(c.unrouted, x, http.StatusMethodNotAllowed))
		}
		return c.answer(c.unrouted, x, append(anywhere, http.StatusNotFound)...)
	}
	err := c.answer(op.responses, x)
	if x.Status >= 400 {
		return err // and the request may have been bad
	}
	if trouble := op.request(x, item.values(escaped), query); trouble != nil && !partlyRefused(x.Answer) {
		err = errors.Join(err, fmt.Errorf("the request was not refused, though %w", trouble))
	}
	if op.backend && x.Header.Get("Authorization") == "" {
		err = errors.Join(err, errors.New("it was not refused, though it has no token"))
	}
	return err
}

// allow checks that the answer lists the methods of the path.
func (i *item) allow(x *Exchange) error {
	want := []string{"OPTIONS"}
	for method := range i.operations {
		want = append(want, strings.ToUpper(method))
		if method == "get" {
			want = append(want, "HEAD")
		}
	}
	slices.Sort(want)
	if got := x.AnswerHeader.Get("Allow"); got != strings.Join(want, ", ") {
		return fmt.Errorf("header Allow is %q; the path has %v", got, want)
	}
	return nil
}

// find returns the item of a path, nil if there is none. Of two that fit, the one with a name where the other has a
// variable is meant.
func (c *document) find(escaped string) *item {
	if len(escaped) > 1 {
		escaped = strings.TrimSuffix(escaped, "/")
	}
	segments := strings.Split(escaped, "/")
	var found *item
	for _, i := range c.items {
		if i.fits(segments) && (found == nil || len(i.variables) < len(found.variables)) {
			found = i
		}
	}
	return found
}

func (i *item) fits(segments []string) bool {
	if len(segments) != len(i.segments) {
		return false
	}
	for n, s := range i.segments {
		if _, variable := i.variables[n]; variable && segments[n] != "" {
			continue
		}
		if s != segments[n] {
			return false
		}
	}
	return true
}

// values returns what the variables of the path stand for, with their escapes.
func (i *item) values(escaped string) map[string]string {
	if len(escaped) > 1 {
		escaped = strings.TrimSuffix(escaped, "/")
	}
	values := map[string]string{}
	for n, segment := range strings.Split(escaped, "/") {
		if name, ok := i.variables[n]; ok {
			values[name] = segment
		}
	}
	return values
}
