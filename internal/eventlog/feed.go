package eventlog

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/uuid"
)

// Feed gives the events of all streams by position. All methods are safe for concurrent use.
//
// Positions are dense as the store gives them, and so are those that ReadAll yields. A consumer that stored the position
// of the last event it has handled goes on behind it, and has proof that it has seen everything. Two things end such a
// cursor: what it needs is not kept any more, which ReadAll tells, and a store that was restored from a backup, which
// has another Incarnation.
type Feed interface {
	// ReadAll yields the events of all streams whose positions are above after, by position and without a gap, as far
	// as they were on stable storage when the loop began. It stops after the first error: a *CompactedError when the
	// event behind after is not kept any more, also in the middle of the loop if the reader is slower than the
	// retention; an error that wraps ErrCorrupt when the feed is damaged at this place; ErrClosed. A reader costs
	// writers nothing, and no memory beyond what was written at once, however slow it is.
	ReadAll(ctx context.Context, after uint64) iter.Seq2[Event, error]

	// Head returns the position of the last event on stable storage; 0 if there is none. It does no I/O.
	Head() uint64

	// Changed returns a channel that is closed when Head is above after, or the store is closed. It may be closed
	// earlier: who waits looks at Head again.
	Changed(after uint64) <-chan struct{}

	// Pin asks the store to keep the events above after for ReadAll, whatever their age, until the Pin is moved or
	// released. A store may ignore it when it runs out of room.
	Pin(after uint64) *Pin

	// Streams yields each stream that had an event on stable storage when the loop began, in no order; younger ones
	// may be among them. It stops after the first error. It reads names: with many streams it takes a while.
	// Those that a store has archived are not among them.
	Streams(ctx context.Context) iter.Seq2[StreamID, error]

	// Incarnation identifies what positions belong to: two stores with the same one have the same events at the same
	// positions, as far as both have them.
	Incarnation() uuid.UUID
}

// CompactedError reports a position behind which events are not kept any more.
type CompactedError struct {
	After    uint64 // where the reader wanted to go on
	Earliest uint64 // position of the first event that is kept: ReadAll works from Earliest-1 on
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("events behind position %d are not kept any more; the earliest is %d", e.After, e.Earliest)
}

// Follow yields what ReadAll does and then each event as it comes, without a gap or a double, until an error, which it
// yields: ctx's cause at its end, and those of ReadAll. A slow reader is behind, and nobody waits for it.
func Follow(ctx context.Context, f Feed, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			select {
			case <-f.Changed(after):
			case <-ctx.Done():
				yield(Event{}, context.Cause(ctx))
				return
			}
			for ev, err := range f.ReadAll(ctx, after) {
				if !yield(ev, err) || err != nil {
					return
				}
				after = ev.Position
			}
		}
	}
}
