package filelog

import (
	"errors"
	"fmt"
	"time"

	"cartd/internal/eventlog"
)

// newFileBytes is what a new file takes beside its content, at the least.
const newFileBytes = 4096

// Append implements [eventlog.Activation]. Refusals keep the order too: one behind undecided commits is told after
// them. The only exception is ErrBusy, told at once, because there is no room for it to wait.
func (a *activation) Append(c eventlog.Commit, decided func(eventlog.Receipt, error)) {
	it := item{decided: decided, at: time.Since(a.log.opened)}
	if a.submit(&c, &it) {
		it.decided(it.receipt, it.err)
	}
}

// submit queues the commit, or its refusal. It reports whether the item is decided already.
func (a *activation) submit(c *eventlog.Commit, it *item) (told bool) {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.queued
	it.err = a.accept(c, it)
	if _, conflict := errors.AsType[*eventlog.ConflictError](it.err); conflict {
		a.dead = it.err
	}
	if errors.Is(it.err, eventlog.ErrBusy) || it.err != nil && !s.scheduled {
		return true
	}
	if it.err != nil && before+queuedCost > maxQueuedBytes {
		return true
	}
	s.queued += queuedCost
	b := s.batch()
	b.items = append(b.items, *it)
	return false
}

// accept checks the commit in the order of the contract and encodes its lines into the queue. When it returns nil
// the stream is scheduled. s.mu is held.
func (a *activation) accept(c *eventlog.Commit, it *item) error {
	l, s := a.log, a.s
	if err := l.unusable(); err != nil {
		return a.refuse(err)
	}
	switch {
	case s.owner != a:
		return a.refuse(eventlog.ErrFenced)
	case a.dead != nil:
		return a.dead
	case !a.replayed:
		return a.refuse(fmt.Errorf("%w: %w", eventlog.ErrInvalid, errNotReplayed))
	}
	if err := c.Check(); err != nil {
		return a.refuse(err)
	}
	if s.queued+queuedCost > maxQueuedBytes {
		return a.refuse(eventlog.ErrBusy)
	}
	receipt, repeated, place, err := a.repeat(c)
	if err != nil {
		return err
	}
	if repeated {
		if err := l.schedule(s); err != nil {
			return a.refuse(err)
		}
		it.receipt, it.act, it.place = receipt, a, place
		return nil
	}
	if s.archived {
		return a.refuse(eventlog.ErrArchived)
	}
	if head := a.head(c.Branch); head != c.Want {
		return &eventlog.ConflictError{Stream: s.id, Branch: c.Branch, Want: c.Want, Got: head}
	}
	return a.encode(c, it)
}

func (a *activation) refuse(err error) error { return fmt.Errorf("append to %s: %w", a.s.id, err) }

// encode adds the commit's lines to the queue. It takes them out again when they may not stay.
func (a *activation) encode(c *eventlog.Commit, it *item) error {
	l, s := a.log, a.s
	if err := a.bounded(c); err != nil {
		return a.refuse(err)
	}
	b := s.batch()
	from, lines := len(b.buf), len(b.ends)
	undo := func(err error) error {
		b.buf, b.ends = b.buf[:from], b.ends[:lines]
		s.dropEmpty()
		return a.refuse(err)
	}
	for i := range c.Events {
		ev := c.Events[i]
		ev.Position, ev.Branch, ev.Version = 0, c.Branch, c.Want+1+uint64(i)
		ev.More, ev.Epoch = i < len(c.Events)-1, a.epoch
		start := len(b.buf)
		b.buf = appendFields(b.buf, &ev)
		b.ends = append(b.ends, len(b.buf))
		if size := len(b.buf) - start + lineFrame; size > l.opts.MaxLineBytes {
			return undo(fmt.Errorf("%w: event %d takes a line of %d bytes, the largest is %d", eventlog.ErrTooLarge, i, size, l.opts.MaxLineBytes))
		}
	}
	size := len(b.buf) - from
	switch {
	case size+queuedCost > maxQueuedBytes:
		return undo(fmt.Errorf("%w: commit takes %d bytes, the queue holds %d", eventlog.ErrTooLarge, size, maxQueuedBytes))
	case s.queued+size+queuedCost > maxQueuedBytes:
		return undo(eventlog.ErrBusy)
	}
	takes := size + len(c.Events)*lineFrame
	if s.end == 0 && from == 0 {
		takes += newFileBytes
	}
	if !l.space.take(takes) {
		return undo(eventlog.ErrLowSpace)
	}
	if err := l.schedule(s); err != nil {
		l.space.give(takes)
		return undo(err)
	}
	s.queued += size
	b.takes += takes
	b.owner = a
	for i := range c.Events {
		ev := &c.Events[i]
		a.ids.Set(ev.ID, known{c.Want + 1 + uint64(i), contentSum(c.Branch, ev), queuedPlace | a.queued})
		a.queued++
	}
	version := c.Want + uint64(len(c.Events))
	a.setHead(c.Branch, version)
	it.receipt, it.events = eventlog.Receipt{Version: version}, len(c.Events)
	return nil
}

// bounded refuses, before anything of it is copied, a commit that cannot fit.
func (a *activation) bounded(c *eventlog.Commit) error {
	total := 0
	for i := range c.Events {
		n := len(c.Events[i].Payload)
		if n > a.log.opts.MaxLineBytes {
			return fmt.Errorf("%w: payload of event %d has %d bytes, the largest line %d", eventlog.ErrTooLarge, i, n, a.log.opts.MaxLineBytes)
		}
		if total += n; total > maxQueuedBytes {
			return fmt.Errorf("%w: commit has over %d bytes", eventlog.ErrTooLarge, maxQueuedBytes)
		}
	}
	return nil
}

// batch returns the stream's queue, a new one if there is none. s.mu is held.
func (s *stream) batch() *batch {
	if s.queue == nil {
		s.queue = batches.Get().(*batch)
	}
	return s.queue
}

// dropEmpty gives a queue back in which nothing waits. s.mu is held.
func (s *stream) dropEmpty() {
	if s.queue != nil && len(s.queue.items) == 0 && len(s.queue.buf) == 0 {
		s.queue.free()
		s.queue = nil
	}
}
