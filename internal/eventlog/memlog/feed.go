package memlog

import (
	"context"
	"iter"

	"cartd/internal/eventlog"

	"github.com/google/uuid"
)

// ReadAll implements [eventlog.Feed].
func (l *Log) ReadAll(ctx context.Context, after uint64) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		l.mu.Lock()
		closed, evs, earliest := l.closed, l.feed[:len(l.feed):len(l.feed)], l.compacted+1
		l.mu.Unlock()
		switch {
		case closed:
			yield(eventlog.Event{}, eventlog.ErrClosed)
		case after >= uint64(len(evs)):
		case after+1 < earliest:
			yield(eventlog.Event{}, &eventlog.CompactedError{After: after, Earliest: earliest})
		default:
			each(ctx, evs[after:], yield)
		}
	}
}

// Compact lets ReadAll forget the events up to a position, as a store does that keeps them for some time; unless they are
// pinned.
func (l *Log) Compact(position uint64) {
	if after, ok := l.pins.Least(); ok {
		position = min(position, after)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.compacted = max(l.compacted, min(position, uint64(len(l.feed))))
}

// Head implements [eventlog.Feed].
func (l *Log) Head() uint64 { return l.tail.Head() }

// Changed implements [eventlog.Feed].
func (l *Log) Changed(after uint64) <-chan struct{} { return l.tail.Changed(after) }

// Pin implements [eventlog.Feed].
func (l *Log) Pin(after uint64) *eventlog.Pin { return l.pins.Add(after) }

// Incarnation implements [eventlog.Feed].
func (l *Log) Incarnation() uuid.UUID { return l.id }

// Streams implements [eventlog.Feed].
func (l *Log) Streams(ctx context.Context) iter.Seq2[eventlog.StreamID, error] {
	return func(yield func(eventlog.StreamID, error) bool) {
		l.mu.Lock()
		closed, ids := l.closed, make([]eventlog.StreamID, 0, len(l.streams))
		for id, s := range l.streams {
			if s.durable > 0 {
				ids = append(ids, id)
			}
		}
		l.mu.Unlock()
		if closed {
			yield(eventlog.StreamID{}, eventlog.ErrClosed)
			return
		}
		for _, id := range ids {
			if ctx.Err() != nil {
				yield(eventlog.StreamID{}, context.Cause(ctx))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}
