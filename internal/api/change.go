package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// outcome is what became of one mutation, as clients see it.
type outcome struct {
	Type     string          `json:"type"`
	Mutation json.RawMessage `json:"mutation"`
	Error    *outcomeError   `json:"error,omitempty"`

	field string // what the error is about, within the mutation
}

type outcomeError struct {
	Message    string `json:"message"`
	Code       string `json:"code"`
	StatusCode int    `json:"statusCode"`
}

func outcomeOf(out actor.Outcome) outcome {
	o := outcome{Type: out.Type, Mutation: out.Payload}
	if len(o.Mutation) == 0 {
		o.Mutation = json.RawMessage("{}")
	}
	if out.Refusal != nil {
		p := problemOfRefusal(out.Refusal)
		o.Error = &outcomeError{Message: p.Detail, Code: p.Code, StatusCode: p.Status}
		o.field = out.Refusal.Field
	}
	return o
}

// appendJSON writes what encoding/json would, but for the mutation, which is JSON already and need not be read again.
func (o *outcome) appendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"type":`...)
	b, err := jsontext.AppendQuote(b, o.Type)
	b = append(b, `,"mutation":`...)
	b = append(b, o.Mutation...)
	if o.Error != nil && err == nil {
		b = append(b, `,"error":`...)
		b, err = appendMarshal(b, o.Error)
	}
	return append(b, '}'), err
}

// appendMarshal appends v as JSON, without the escapes that only HTML needs.
func appendMarshal(b []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// change is a request that changes a cart, on its way to the grain.
type change struct {
	id   grain.CartID
	body body
	cmd  actor.Command
	tag  *versionTag // what If-Match wants, nil for nothing
	// refused are the items that were turned down before the grain is asked, by their place in the request.
	refused map[int]refusedItem
	// list names the nth mutation in the request, as a format, "" if it has only one; lead is the number of steps before.
	list string
	lead int
	// created is what makes the cart, nil if it must exist.
	created *messages.CartCreated
	// orderMade is true when the client left it to the server to name the order of a checkout.
	orderMade bool
	// fields are the names that parts of the mutation have in the request, where they differ.
	fields map[string]string

	// Room for what most changes have one of.
	step     [1]actor.Step
	item     [1]addRequest
	quantity int64
}

type refusedItem struct {
	mutation json.RawMessage
	problem  *problem
}

// cartID returns the id of the session, or else in the path. One that no cart can have names no cart.
func cartID(r *http.Request) (grain.CartID, error) {
	if id := exchangeOf(r).session.cart; id != "" {
		return id, nil
	}
	v, ok := pathVar(r, "id")
	if !ok {
		return "", cartNotFound()
	}
	id, err := grain.ParseCartID(v)
	if err != nil {
		return "", cartNotFound()
	}
	return id, nil
}

// partID returns the small number of an item, delivery or voucher that the path ends in, or nearly. What is no such
// number names none.
func partID(r *http.Request, code string) (uint32, error) {
	v, _ := url.PathUnescape(exchangeOf(r).vars.last())
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
		return 0, fault(code, "there is no such part of the cart")
	}
	return uint32(n), nil
}

// readChange reads what all changes have in common, and decodes the body into v unless v is nil.
func (s *server) readChange(r *http.Request, v any) (*change, error) {
	id, err := cartID(r)
	if err != nil {
		return nil, err
	}
	branch, err := presentBranch(r)
	if err != nil {
		return nil, err
	}
	c := &change{id: id, cmd: actor.Command{Branch: branch, MustExist: true, Minimal: wantsMinimal(r)}}
	c.cmd.Steps = c.step[:0]
	s.create(r, c)
	if c.cmd.Key, err = idempotencyKey(r); err != nil {
		return nil, err
	}
	if c.tag, err = ifMatch(r); err != nil {
		return nil, err
	}
	c.expect(branch)
	if x := exchangeOf(r); x.session.cart != "" {
		c.body = x.session.body
	} else if c.body, err = readBody(r); err != nil {
		return nil, err
	}
	if v != nil {
		if err := c.body.decode(v); err != nil {
			return nil, err
		}
	}
	if c.cmd.Key != "" {
		c.cmd.Request = hashRequest(r, branch, c.body)
	}
	return c, nil
}

// apply reads a change whose one mutation is made by mutation from the decoded body, asks the grain and answers.
// fields are as in change.
func (s *server) apply(w http.ResponseWriter, r *http.Request, v any, fields map[string]string, mutation func() (actor.Mutation, error)) error {
	c, err := s.readChange(r, v)
	if err != nil {
		return err
	}
	m, err := mutation()
	if err != nil {
		return err
	}
	c.fields = fields
	c.cmd.Steps = append(c.cmd.Steps, actor.Step{Mutation: m})
	return s.finish(w, r, c)
}

// ask sends msg, a command or a query, to the grain of a cart, in the name of who has sent the request.
func (s *server) ask(r *http.Request, id grain.CartID, msg any) (*actor.Reply, error) {
	switch msg := msg.(type) {
	case *actor.Command:
		msg.Caller = exchangeOf(r).caller
	case *actor.Query:
		msg.Caller = exchangeOf(r).caller
	}
	ctx, end := s.traceAsk(r.Context(), string(eventlog.KindCart), msg)
	answer, err := s.Carts.Ask(ctx, string(eventlog.KindCart), string(id), msg)
	end(err)
	if err != nil {
		return nil, err
	}
	reply, ok := answer.(*actor.Reply)
	if !ok {
		return nil, fmt.Errorf("cart %s answered with %T", id, answer)
	}
	return reply, nil
}

// askChange asks the grain for c, and returns the problem if it had no effect.
func (s *server) askChange(r *http.Request, c *change) (*actor.Reply, error) {
	c.cmd.Deadline, _ = r.Context().Deadline()
	reply, err := s.ask(r, c.id, &c.cmd)
	if err != nil {
		return nil, err
	}
	if reply.Refusal == nil {
		return reply, nil
	}
	return reply, c.problemOf(reply)
}

// problemOf returns the problem of a change that had no effect.
func (c *change) problemOf(reply *actor.Reply) *problem {
	p := problemOfRefusal(reply.Refusal)
	if p.Mutations = c.outcomes(nil, reply); len(p.Mutations) > 0 {
		p.Mutations = p.Mutations[c.lead:] // that the cart would have been cleared first is not the client's business
	}
	p.Errors = c.fieldErrors(p.Mutations)
	p.Cart = reply.View
	if reply.Refusal.Code == actor.CodeVersionConflict {
		p.etag = etag(c.cmd.IfBranch, reply.Version)
		p.Detail = "If-Match does not name the present version of the cart, which is " + p.etag
		if want := c.cmd.IfVersion; want != nil && *want != noVersion {
			p.Detail = fmt.Sprintf("branch %s: expected %d, got %d", cmp.Or(c.cmd.IfBranch, mainBranch), *want, reply.Version)
		}
	}
	return p
}

// finish asks the grain and answers as every mutation does.
func (s *server) finish(w http.ResponseWriter, r *http.Request, c *change) error {
	reply, err := s.askChange(r, c)
	if err != nil {
		return err
	}
	return c.answer(w, http.StatusOK, reply)
}

func (c *change) answer(w http.ResponseWriter, status int, reply *actor.Reply) error {
	h := w.Header()
	setHeader(w, "Etag", etag(c.cmd.Branch, reply.Version))
	if reply.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	buf := answers.Get().(*[]byte)
	b := (*buf)[:0]
	if c.cmd.Minimal {
		h.Set("Preference-Applied", "return=minimal")
		b = append(b, `{"version":`...)
		b = strconv.AppendUint(b, reply.Version, 10)
	} else {
		b = append(b, `{"result":`...)
		b = append(b, reply.View...)
		reply.Release()
	}
	b = append(b, `,"mutations":[`...)
	var room [1]outcome
	for i, o := range c.outcomes(room[:0], reply) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = o.appendJSON(b); err != nil {
			return err
		}
	}
	b = append(b, "]}"...)
	writeJSON(w, status, b)
	if cap(b) <= maxKeptAnswer {
		*buf = b
		answers.Put(buf)
	}
	return nil
}

// answers are buffers for answers; net/http has copied or sent what it was given when Write returns.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// maxKeptAnswer is up to which size a buffer is used again: those of large carts would stay for the small ones.
const maxKeptAnswer = 64 << 10

// outcomes appends to all, which is empty, those of the grain and of the items that never got there, in the order of the
// request.
func (c *change) outcomes(all []outcome, reply *actor.Reply) []outcome {
	if reply.Replayed {
		return all
	}
	next := reply.Outcomes
	for i := range len(reply.Outcomes) + len(c.refused) {
		if item, ok := c.refused[i-c.lead]; ok {
			all = append(all, item.outcome())
		} else if len(next) > 0 {
			all = append(all, outcomeOf(next[0]))
			next = next[1:]
		} else {
			break // the grain did not try the rest
		}
	}
	return all
}

// fieldErrors lists what is wrong with which part of the request.
func (c *change) fieldErrors(outcomes []outcome) (errs []fieldError) {
	for i, o := range outcomes {
		if o.Error == nil || o.Error.StatusCode != http.StatusUnprocessableEntity || o.Error.Code == actor.CodeNotApplied {
			continue
		}
		field := o.field
		if name, ok := c.fields[field]; ok {
			field = name
		}
		if c.list != "" {
			field = strings.TrimSuffix(fmt.Sprintf(c.list, i)+"."+field, ".")
		}
		if field != "" {
			errs = append(errs, fieldError{Field: field, Message: o.Error.Message})
		}
	}
	return errs
}

func (i refusedItem) outcome() outcome {
	o := outcome{Type: "AddItem", Mutation: i.mutation,
		Error: &outcomeError{Message: i.problem.Detail, Code: i.problem.Code, StatusCode: i.problem.Status}}
	if len(i.problem.Errors) > 0 {
		o.field = i.problem.Errors[0].Field
	}
	return o
}

// unlessApplied returns err, which was found before the grain was asked, unless the grain has something more important
// to say: nil if c is the repeat of a change that was answered, which needs nothing of a catalogue that is down or has
// dropped the product since; or that the cart does not exist, or takes no changes.
func (s *server) unlessApplied(r *http.Request, c *change, err error) error {
	reply, askErr := s.ask(r, c.id, &actor.Query{Branch: c.cmd.Branch, Key: c.cmd.Key})
	switch {
	case askErr != nil:
		return err
	case reply.Replayed:
		c.cmd.Steps, c.refused = nil, nil // the grain knows the key
		return nil
	case reply.Refusal != nil:
		return problemOfRefusal(reply.Refusal)
	case reply.Version == 0 && c.created != nil:
		return err
	case reply.Version == 0:
		return cartNotFound()
	}
	seen, viewErr := readView(reply.View)
	if viewErr != nil {
		return viewErr
	}
	switch seen.Status {
	case string(grain.StatusCheckout):
		if !time.Now().Before(seen.CheckoutUntil) {
			return err // the next mutation ends it
		}
		return fault("cart_frozen", "the cart is in checkout")
	case string(grain.StatusOrdered):
		return fault("cart_ordered", "the cart is ordered")
	case string(grain.StatusMerged):
		return fault("cart_merged", "the cart was merged into another")
	}
	return err
}

// refuse answers c, of which nothing is left to be asked: with err, unless unlessApplied says otherwise. The grain answers
// for a key that it knows, whether this is the repeat or another request.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, c *change, err error) error {
	if err := s.unlessApplied(r, c, err); err != nil {
		return err
	}
	return s.finish(w, r, c)
}

// seen is what a handler has to know of a cart.
type seen struct {
	Status        string    `json:"status"`
	CheckoutUntil time.Time `json:"checkoutUntil"`
	Country       string    `json:"country"`
	CreatedAt     time.Time `json:"createdAt"`
	Order         string    `json:"orderReference"`
}

func readView(view []byte) (v seen, err error) {
	if err := json.Unmarshal(view, &v); err != nil {
		return v, fmt.Errorf("read a cart's own view: %w", err)
	}
	return v, nil
}

// country returns where a cart is sold to, "" if that is not known, or what is wrong with the cart.
func (s *server) country(r *http.Request, id grain.CartID) (string, error) {
	if s.mayBeNew(r, id) {
		return "", nil
	}
	reply, err := s.query(r, id, &actor.Query{})
	if err != nil {
		return "", err
	}
	v, err := readView(reply.View)
	return v.Country, err
}

// The values of header fields that are always the same. They are shared by all answers: net/http only reads them.
var (
	typeJSON = []string{"application/json"}
	private  = []string{"private, no-cache"} // a cart is one shopper's, and changes
)

func writeJSON(w http.ResponseWriter, status int, b []byte) {
	h := w.Header() // names as http.CanonicalHeaderKey makes them
	h["Content-Type"] = typeJSON
	h["Cache-Control"] = private
	setHeader(w, "Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b) //nolint:errcheck // the client has gone
}

// parseTime reads an RFC 3339 time of a query.
func parseTime(name, v string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, fault("invalid_request", "%s is not a time like 2026-11-21T02:26:22Z", name)
	}
	return t, nil
}
