package memlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"cartd/internal/eventlog"
)

var (
	errNotReplayed = errors.New("append before the replay has ended")
	errAnswerLost  = errors.New("the answer was lost")
)

// activation implements eventlog.Activation. Its fields are guarded by log.mu.
type activation struct {
	log      *Log
	s        *stream
	epoch    uint64
	replayed bool
	dead     error // what later appends are told
	lost     bool  // dead because an outcome is unknown: what it has queued is not stored
}

func (a *activation) Epoch() uint64 { return a.epoch }

func (a *activation) Replay(ctx context.Context, load func([]byte) error) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		l := a.log
		l.mu.Lock()
		err := error(nil)
		switch {
		case l.closed:
			err = eventlog.ErrClosed
		case a.s.owner != a:
			err = eventlog.ErrFenced
		}
		evs, saved := a.s.all[:a.s.durable:a.s.durable], slices.Clone(a.s.saved)
		l.mu.Unlock()
		if err != nil {
			yield(eventlog.Event{}, fmt.Errorf("replay %s: %w", a.s.id, err))
			return
		}
		if each(ctx, evs[accepted(saved, load):], yield) {
			l.mu.Lock()
			a.replayed = true
			l.mu.Unlock()
		}
	}
}

func (a *activation) Append(c eventlog.Commit, decided func(eventlog.Receipt, error)) {
	l := a.log
	l.mu.Lock()
	it := &item{s: a.s, act: a, decided: decided}
	it.receipt, it.n, it.err = a.accept(c)
	if it.receipt.Duplicate {
		it.place = a.s.ids[c.Events[len(c.Events)-1].ID]
	}
	if _, conflict := errors.AsType[*eventlog.ConflictError](it.err); conflict {
		a.dead = it.err
	}
	// A refusal behind undecided commits waits its turn: decisions come in the order of the calls.
	if it.err != nil && a.s.pending == 0 {
		l.mu.Unlock()
		decided(eventlog.Receipt{}, it.err)
		return
	}
	a.s.pending++
	l.queue = append(l.queue, it)
	l.drain()
	l.mu.Unlock()
}

// accept checks c and adds its events to the queued ones. l.mu is held.
func (a *activation) accept(c eventlog.Commit) (eventlog.Receipt, int, error) {
	l, s := a.log, a.s
	switch {
	case l.closed:
		return eventlog.Receipt{}, 0, eventlog.ErrClosed
	case l.cause != nil:
		return eventlog.Receipt{}, 0, fmt.Errorf("append to %s: %w: %w", s.id, eventlog.ErrFailed, l.cause)
	case s.owner != a:
		return eventlog.Receipt{}, 0, fmt.Errorf("append to %s: %w", s.id, eventlog.ErrFenced)
	case !a.replayed:
		return eventlog.Receipt{}, 0, fmt.Errorf("append to %s: %w: %w", s.id, eventlog.ErrInvalid, errNotReplayed)
	case a.dead != nil:
		return eventlog.Receipt{}, 0, a.dead
	}
	if err := c.Check(); err != nil {
		return eventlog.Receipt{}, 0, fmt.Errorf("append to %s: %w", s.id, err)
	}
	if receipt, ok, err := s.repeat(c); ok || err != nil {
		return receipt, 0, err
	}
	if head := s.head(c.Branch); head != c.Want {
		return eventlog.Receipt{}, 0, &eventlog.ConflictError{Stream: s.id, Branch: c.Branch, Want: c.Want, Got: head}
	}
	if l.refusal != nil {
		return eventlog.Receipt{}, 0, l.refusal
	}
	for i, ev := range c.Events {
		ev.Stream, ev.Branch, ev.Version, ev.Position = s.id, c.Branch, c.Want+1+uint64(i), 0
		ev.More = i < len(c.Events)-1
		ev.Epoch, ev.Damaged = a.epoch, false
		ev.Time = eventlog.StoredTime(ev.Time)
		ev.Payload = slices.Clone(ev.Payload)
		s.ids[ev.ID] = len(s.all)
		s.all = append(s.all, ev)
	}
	return eventlog.Receipt{Version: c.Want + uint64(len(c.Events))}, len(c.Events), nil
}

// Snapshot implements [eventlog.Activation].
func (a *activation) Snapshot(version uint64, data []byte) {
	l, s := a.log, a.s
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writable() != nil || s.owner != a || !a.replayed || a.dead != nil || s.head("") != version {
		return
	}
	snap := snapshot{len(s.all), data}
	if s.pending == 0 {
		s.save(snap)
		return
	}
	s.pending++
	l.queue = append(l.queue, &item{s: s, act: a, decided: func(_ eventlog.Receipt, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			s.save(snap)
		}
	}})
	l.drain()
}

// save keeps the newest two. l.mu is held.
func (s *stream) save(snap snapshot) {
	s.saved = append(s.saved, snap)
	s.saved = s.saved[max(0, len(s.saved)-2):]
}

// repeat looks for the commit's ids. ok is true when all of them are there with the same content.
func (s *stream) repeat(c eventlog.Commit) (receipt eventlog.Receipt, ok bool, err error) {
	found := 0
	var other *eventlog.DuplicateIDError
	for _, ev := range c.Events {
		i, is := s.ids[ev.ID]
		if !is {
			continue
		}
		found++
		old := s.all[i]
		if old.Branch != c.Branch || old.Type != ev.Type || !bytes.Equal(old.Payload, ev.Payload) {
			if other == nil {
				other = &eventlog.DuplicateIDError{Stream: s.id, ID: ev.ID.String(), Version: old.Version}
			}
		}
		receipt = eventlog.Receipt{Version: old.Version, Duplicate: true} // where is known when it is decided
	}
	switch {
	case found == 0:
		return eventlog.Receipt{}, false, nil
	case other != nil:
		return eventlog.Receipt{}, false, other
	case found < len(c.Events):
		return eventlog.Receipt{}, false, &eventlog.DuplicateIDError{Stream: s.id, ID: s.firstKnown(c)}
	}
	return receipt, true, nil
}

func (s *stream) firstKnown(c eventlog.Commit) string {
	for _, ev := range c.Events {
		if _, is := s.ids[ev.ID]; is {
			return ev.ID.String()
		}
	}
	return ""
}

func (a *activation) Release() {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	a.release()
}

// release gives the claim up, unless another activation has it. l.mu is held.
func (a *activation) release() {
	if a.s.owner == a {
		a.s.owner = nil
	}
}
