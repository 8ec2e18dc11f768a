package importer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"cartd/internal/catalog"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/grain"
	"cartd/internal/resolve"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// typeDamaged is the event that takes the place of a line that does not check out. No cart knows it, so that replay
// marks the cart.
const typeDamaged = "ImportDamaged"

// maxItems bounds the items of one SetCartRequest.
const maxItems = 10_000

// namespace is what the ids of imported events begin with (RFC 9562, version 8).
var namespace = uuid.MustParse("5d0f3f0e-7c0a-4f0b-9d0c-6a1f6f3f2b11")

// cart is one that is being imported.
type cart struct {
	im    *importer
	file  string
	id    eventlog.StreamID
	state grain.Cart // as the events so far make it

	events   []eventlog.Event
	problems []Problem

	// Of the line that is being read.
	number int
	text   []byte
	at     time.Time
	nth    int // event of the line
}

func (c *cart) tell(kind Kind, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{File: c.file, Line: c.number, Cart: c.id.Name(), Kind: kind, Detail: fmt.Sprintf(format, args...)})
	}
}

// read makes events of the log.
func (c *cart) read(ctx context.Context, f io.ReaderAt, size int64) error {
	for line, err := range filelog.OldLines(f, size) {
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		c.number, c.text, c.nth = line.Number, line.Text, 0
		if line.Err == nil { // a damaged line has the time of the one before it
			c.at = line.Event.Time
		}
		if errors.Is(line.Err, filelog.ErrOwnLine) {
			c.refuse(OwnLog, "it was written by cartd: serve its directory as it is, or restore a backup of it")
			return nil
		}
		if err := c.line(ctx, &line); err != nil {
			return fmt.Errorf("line %d: %w", c.number, err)
		}
	}
	return nil
}

func (c *cart) line(ctx context.Context, line *filelog.OldLine) error {
	switch {
	case line.Err != nil:
		c.tell(DamagedLine, "%.300v", line.Err)
		payload, err := json.Marshal(map[string]any{"file": c.file, "line": line.Number, "offset": line.Offset})
		c.add(typeDamaged, payload)
		return err
	case line.Event.Type == "AddRequest":
		req := new(messages.AddRequest)
		if err := json.Unmarshal(line.Event.Payload, req); err != nil {
			return c.keep(line, err)
		}
		return c.resolve(ctx, req, line.Event.Payload)
	case line.Event.Type == "SetCartRequest":
		req := new(messages.SetCartRequest)
		err := json.Unmarshal(line.Event.Payload, req)
		if err == nil && len(req.Items) > maxItems {
			err = fmt.Errorf("it has %d items, at most %d are resolved", len(req.Items), maxItems)
		}
		if err != nil {
			return c.keep(line, err)
		}
		return c.replace(ctx, req)
	}
	m, err := c.im.Registry.Decode(line.Event.Type, line.Event.Payload)
	if err != nil {
		c.tell(UnknownType, "%.300v: it is kept, and the cart is marked as damaged", err)
	} else {
		c.apply(m)
	}
	c.add(line.Event.Type, line.Event.Payload)
	return nil
}

// keep stores a request as it is, which has no effect.
func (c *cart) keep(line *filelog.OldLine, why error) error {
	c.tell(Unresolved, "%s: %.300v", line.Event.Type, why)
	c.add(line.Event.Type, line.Event.Payload)
	return nil
}

// replace is a SetCartRequest.
func (c *cart) replace(ctx context.Context, req *messages.SetCartRequest) error {
	clear := &messages.ClearCart{}
	c.apply(clear)
	c.add("ClearCart", []byte("{}"))
	for i, item := range req.Items {
		if item == nil {
			c.tell(Unresolved, "items[%d] is null", i)
			continue
		}
		payload, err := json.Marshal(item)
		if err != nil {
			return err
		}
		if err := c.resolve(ctx, item, payload); err != nil {
			return err
		}
	}
	return nil
}

// resolve stores the AddItem that a request becomes, or, if the catalogue does not have the product, the request.
func (c *cart) resolve(ctx context.Context, req *messages.AddRequest, payload []byte) error {
	if req.Country == "" {
		req.Country = c.state.Country()
	}
	add, err := resolve.AddItem(ctx, c.im.Catalog, req)
	if errors.Is(err, catalog.ErrUnknownSKU) {
		c.tell(Unresolved, "%d × %.80q: %v", req.Quantity, req.Sku, err)
		c.add("AddRequest", payload)
		return nil
	}
	if err != nil {
		return err
	}
	encoded, err := grain.AppendPayload(nil, add)
	if err != nil {
		return err
	}
	c.apply(add)
	c.add("AddItem", encoded)
	return nil
}

// apply does to the state what replay will do, and tells if that is nothing.
func (c *cart) apply(m actor.Mutation) {
	defer func() {
		if r := recover(); r != nil {
			c.tell(Refused, "its handler panics: %.300v", r)
		}
	}()
	err := c.im.Registry.Apply(&c.state, m, actor.Meta{Time: c.at, Version: uint64(len(c.events)) + 1})
	if err != nil && !errors.Is(err, actor.NoChange) {
		c.tell(Refused, "it has no effect: %.300v", err)
	}
}

// add appends an event of the present line. Its id says where it comes from, not what the catalogue made of it.
func (c *cart) add(typ string, payload []byte) {
	c.events = append(c.events, eventlog.Event{ID: c.eventID(), Time: c.at, Type: typ, Payload: slices.Clone(payload)})
	c.nth++
}

// eventID is the id of the present line's next event.
func (c *cart) eventID() uuid.UUID {
	place := c.id.Name() + "\x00" + strconv.Itoa(c.number) + "\x00" + strconv.Itoa(c.nth) + "\x00"
	return uuid.NewHash(sha256.New(), namespace, append([]byte(place), c.text...), 8)
}

// run imports the log, unless the cart is there already: then its lines are only compared with what is there.
func (c *cart) run(ctx context.Context, f io.ReaderAt, size int64) error {
	act, err := c.im.Store.Activate(ctx, c.id)
	if err != nil {
		return err
	}
	defer act.Release()
	there := make(map[uuid.UUID]bool)
	first := uuid.Nil
	for ev, err := range act.Replay(ctx, nil) {
		if err != nil {
			return err
		}
		if len(there) == 0 {
			first = ev.ID
		}
		there[ev.ID] = true
	}
	if len(there) > 0 {
		return c.compare(f, size, there, first)
	}
	if err := c.read(ctx, f, size); err != nil {
		return err
	}
	if len(c.events) == 0 {
		return c.done(0) // an empty log is a cart that does not exist
	}
	decided := make(chan error, 1)
	act.Append(eventlog.Commit{Events: c.events}, func(_ eventlog.Receipt, err error) { decided <- err })
	switch err := <-decided; {
	case errors.Is(err, eventlog.ErrTooLarge), errors.Is(err, eventlog.ErrInvalid):
		c.refuse(TooLarge, "%v", err)
		return c.done(0)
	case err != nil:
		return err
	}
	return c.done(1)
}

// refuse tells why nothing of the cart is imported, which is all that matters then.
func (c *cart) refuse(kind Kind, format string, args ...any) {
	c.problems, c.events, c.number = nil, nil, 0
	c.tell(kind, format, args...)
}

// done puts what became of the cart into the report.
func (c *cart) done(carts int) error {
	c.im.mu.Lock()
	defer c.im.mu.Unlock()
	c.im.report.Carts += carts
	c.im.report.Events += len(c.events)
	for _, p := range c.problems {
		c.im.report.add(p)
	}
	return nil
}

// compare decides what a cart is that is there already.
func (c *cart) compare(f io.ReaderAt, size int64, there map[uuid.UUID]bool, first uuid.UUID) error {
	lines, lacks, same := 0, 0, false
	for line, err := range filelog.OldLines(f, size) {
		if err != nil {
			return err
		}
		c.number, c.text = line.Number, line.Text
		id := c.eventID()
		if lines++; lines == 1 {
			same = id == first
		}
		if !there[id] {
			lacks++
		}
	}
	switch {
	case lacks == 0:
		c.im.mu.Lock()
		defer c.im.mu.Unlock()
		c.im.report.Already++
		return nil
	case same:
		c.refuse(Exists, "the cart was imported before, and its log has changed since: %d lines are not in the cart; nothing was changed", lacks)
	default:
		c.refuse(Exists, "there is another cart with this id; nothing was changed")
	}
	return c.done(0)
}
