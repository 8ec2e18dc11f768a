package filelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
)

// Head implements [eventlog.Feed].
func (l *Log) Head() uint64 { return l.tail.Head() }

// Changed implements [eventlog.Feed].
func (l *Log) Changed(after uint64) <-chan struct{} { return l.tail.Changed(after) }

// Pin implements [eventlog.Feed].
func (l *Log) Pin(after uint64) *eventlog.Pin { return l.pins.Add(after) }

// ReadAll implements [eventlog.Feed]. It reads the journal's segments, each frame into memory when it comes to it.
func (l *Log) ReadAll(ctx context.Context, after uint64) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		if l.isClosed() {
			yield(eventlog.Event{}, eventlog.ErrClosed)
			return
		}
		upTo := l.Head()
		if after >= upTo {
			return
		}
		var dec decoder
		for f, err := range l.journal.Frames(after, upTo) {
			if err == nil {
				var more bool
				if more, err = yieldFrame(ctx, &dec, &f, after, yield); err == nil && !more {
					return
				}
			}
			if err != nil {
				yield(eventlog.Event{}, l.feedError(after, err))
				return
			}
		}
	}
}

// feedError says an error of the journal in the words of the contract.
func (l *Log) feedError(after uint64, err error) error {
	damage, damaged := errors.AsType[*journal.CorruptError](err)
	switch {
	case l.isClosed():
		return eventlog.ErrClosed
	case errors.Is(err, journal.ErrRetired):
		return &eventlog.CompactedError{After: after, Earliest: l.journal.Earliest()}
	case damaged && !errors.Is(err, journal.ErrNewerFormat):
		return fmt.Errorf("read behind position %d: %w: %w", after, eventlog.ErrCorrupt, damage)
	}
	return fmt.Errorf("read behind position %d: %w", after, err)
}

// yieldFrame yields the frame's events above after. more is false when the reader has had enough. What a sound frame
// holds has been written like that, so that a line which does not check out is a mistake of the program.
func yieldFrame(ctx context.Context, dec *decoder, f *journal.Frame, after uint64, yield func(eventlog.Event, error) bool) (more bool, err error) {
	position, more := f.First, true
	var ev eventlog.Event
	bad := func(r journal.Record, why error) error {
		return fmt.Errorf("%w: journal's frame %d, stream %.80q/%.80q: %w", eventlog.ErrCorrupt, f.Number, r.Kind, r.Name, why)
	}
	records := f.Records(func(r journal.Record) bool {
		id, e := eventlog.ParseStreamID(eventlog.Kind(r.Kind), r.Name)
		if e != nil {
			err = bad(r, e)
			return false
		}
		for rest := r.Lines; len(rest) > 0 && more && err == nil; position++ {
			end := bytes.IndexByte(rest, '\n')
			line := rest[:end]
			rest = rest[end+1:]
			if position <= after {
				continue
			}
			if err = context.Cause(ctx); err != nil {
				break
			}
			if e := dec.decode(line, &ev); e != nil {
				err = bad(r, e)
				break
			}
			if ev.Position != position {
				err = bad(r, fmt.Errorf("position %d, want %d", ev.Position, position))
				break
			}
			ev.Stream = id
			more = yield(ev, nil)
		}
		return more && err == nil
	})
	if err == nil && more {
		err = records
	}
	return more, err
}

// Streams implements [eventlog.Feed]. It lists directories, one at a time.
func (l *Log) Streams(ctx context.Context) iter.Seq2[eventlog.StreamID, error] {
	return func(yield func(eventlog.StreamID, error) bool) {
		if l.isClosed() {
			yield(eventlog.StreamID{}, eventlog.ErrClosed)
			return
		}
		err := l.flushBehind() // those which are new have a file then
		more := true
		if err == nil {
			err = l.walkLogs(func(path string) {
				if !more || ctx.Err() != nil {
					return
				}
				if id := streamAt(path); id != (eventlog.StreamID{}) && newStream(id).path == path {
					more = yield(id, nil)
				}
			})
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil && more {
			yield(eventlog.StreamID{}, fmt.Errorf("list streams: %w", err))
		}
	}
}
