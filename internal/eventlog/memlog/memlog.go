// Package memlog is an event store in memory, for tests.
//
// It keeps the contract of eventlog to the letter, except that nothing outlives the process, and it lets a test
// stand between a commit and its decision: [Log.Hold] keeps commits undecided, [Log.Release] decides some,
// [Log.FailNext] and [Log.LoseNext] let one go wrong, [Log.Refuse] turns appends away.
//
//	store := memlog.New()
//	store.Hold()
//	act.Append(commit, decided) // not decided, and no read shows it
//	store.Release(1)            // decided
//
// It has no goroutine of its own while nothing is queued, so that it can be left without Close, also in a bubble of
// testing/synctest.
package memlog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"cartd/internal/eventlog"

	"github.com/google/uuid"
)

// Log is a store in memory. Make it with [New]. Safe for concurrent use.
type Log struct {
	mu       sync.Mutex // guards everything below, and the streams and activations
	streams  map[eventlog.StreamID]*stream
	queue    []*item       // undecided, in the order of Append; unbounded
	draining bool          // a goroutine is deciding
	drained  chan struct{} // closed when draining ends; nil when nobody waits
	held     bool
	permits  int // commits to decide while held
	fates    []fate
	refusal  error
	closed   bool
	cause    error
	failed   chan struct{}
	epoch    uint64

	feed      []eventlog.Event // what is decided, by position; never changed behind its length
	compacted uint64           // ReadAll gives what is above it
	tail      eventlog.Tail
	pins      eventlog.Pins
	id        uuid.UUID
}

// stream is kept for ever; all holds what is decided and, behind it, what is queued.
type stream struct {
	id      eventlog.StreamID
	all     []eventlog.Event
	durable int // all[:durable] is decided
	ids     map[uuid.UUID]int
	saved   []snapshot // oldest first, two at most
	owner   *activation
	pending int
	idle    chan struct{} // closed when pending becomes 0; nil when nobody waits
}

// snapshot stands for all[:place].
type snapshot struct {
	place int
	data  []byte
}

// item waits for its decision. n is how many events of the stream it adds; a refusal and a repeat add none.
type item struct {
	s       *stream
	act     *activation
	n       int
	receipt eventlog.Receipt
	err     error
	place   int // in s.all, of the event that a repeat repeats
	decided func(eventlog.Receipt, error)
}

// New returns an empty store.
func New() *Log {
	return &Log{streams: map[eventlog.StreamID]*stream{}, failed: make(chan struct{}), id: uuid.New()}
}

// Activate implements [eventlog.Store].
func (l *Log) Activate(ctx context.Context, id eventlog.StreamID) (eventlog.Activation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, eventlog.ErrClosed
	}
	s := l.stream(id)
	a := &activation{log: l, s: s}
	s.owner = a
	for s.pending > 0 {
		if s.idle == nil {
			s.idle = make(chan struct{})
		}
		idle := s.idle
		l.mu.Unlock()
		var err error
		select {
		case <-idle:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		l.mu.Lock()
		switch {
		case err != nil:
			a.release()
			return nil, fmt.Errorf("activate %s: %w", id, err)
		case s.owner != a:
			return nil, fmt.Errorf("activate %s: %w", id, eventlog.ErrFenced)
		}
	}
	if l.closed {
		return nil, eventlog.ErrClosed
	}
	l.epoch++
	a.epoch = l.epoch
	return a, nil
}

// Read implements [eventlog.Store].
func (l *Log) Read(ctx context.Context, id eventlog.StreamID) iter.Seq2[eventlog.Event, error] {
	return l.Recall(ctx, id, nil)
}

// Recall implements [eventlog.Store].
func (l *Log) Recall(ctx context.Context, id eventlog.StreamID, load func([]byte) error) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		l.mu.Lock()
		closed, evs, saved := l.closed, []eventlog.Event(nil), []snapshot(nil)
		if s := l.streams[id]; s != nil {
			evs, saved = s.all[:s.durable:s.durable], slices.Clone(s.saved)
		}
		l.mu.Unlock()
		if closed {
			yield(eventlog.Event{}, eventlog.ErrClosed)
			return
		}
		each(ctx, evs[accepted(saved, load):], yield)
	}
}

// accepted returns the place behind the newest snapshot that load takes; 0 if it takes none.
func accepted(saved []snapshot, load func([]byte) error) int {
	for _, snap := range slices.Backward(saved) {
		if load != nil && load(slices.Clone(snap.data)) == nil {
			return snap.place
		}
	}
	return 0
}

// each yields copies, so that a caller who breaks the rule and writes to a payload harms only itself.
func each(ctx context.Context, evs []eventlog.Event, yield func(eventlog.Event, error) bool) bool {
	for _, ev := range evs {
		if ctx.Err() != nil {
			yield(eventlog.Event{}, context.Cause(ctx))
			return false
		}
		ev.Payload = slices.Clone(ev.Payload)
		if !yield(ev, nil) {
			return false
		}
	}
	return true
}

// Writable implements [eventlog.Store].
func (l *Log) Writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writable()
}

func (l *Log) writable() error {
	switch {
	case l.closed:
		return eventlog.ErrClosed
	case l.cause != nil:
		return fmt.Errorf("%w: %w", eventlog.ErrFailed, l.cause)
	}
	return l.refusal
}

// Failed implements [eventlog.Store].
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Cause implements [eventlog.Store].
func (l *Log) Cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Close implements [eventlog.Store]. It ends a hold.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return eventlog.ErrClosed
	}
	l.closed, l.held = true, false
	l.drain()
	var drained chan struct{}
	if l.draining {
		drained = make(chan struct{})
		l.drained = drained
	}
	l.mu.Unlock()
	if drained != nil {
		<-drained
	}
	l.tail.Close()
	return nil
}

// stream returns the stream, new if need be. l.mu is held.
func (l *Log) stream(id eventlog.StreamID) *stream {
	s := l.streams[id]
	if s == nil {
		s = &stream{id: id, ids: map[uuid.UUID]int{}}
		l.streams[id] = s
	}
	return s
}

// head returns the version of branch, counting what is queued.
func (s *stream) head(branch string) uint64 {
	for i := len(s.all) - 1; i >= 0; i-- {
		if s.all[i].Branch == branch {
			return s.all[i].Version
		}
	}
	return 0
}

// cut forgets what is queued: it will not be stored.
func (s *stream) cut() {
	for _, ev := range s.all[s.durable:] {
		delete(s.ids, ev.ID)
	}
	s.all = s.all[:s.durable:s.durable]
}
