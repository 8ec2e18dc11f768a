package actor

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/google/uuid"
)

// Log is what a grain needs of an event log. Its methods are safe for concurrent use.
type Log interface {
	// Activate claims the log of the grain id for one activation: it waits until the appends of the activation
	// before it are decided, and fences them off from then on.
	Activate(ctx context.Context, id string) (Claim, error)

	// Writable returns nil if an append would be accepted now; otherwise ErrUnavailable, wrapped. No I/O.
	Writable() error
}

// Claim is one activation's hold on its log.
type Claim interface {
	// Replay yields the events on stable storage, oldest first. It is called once, before the first Append. If load is
	// not nil it is offered the snapshots there are, newest first, until it takes one by returning nil; then only the
	// events behind that one follow. load may keep data, and must not change it.
	Replay(ctx context.Context, load func(data []byte) error) iter.Seq2[Event, error]

	// Snapshot stores data, which stands for all events up to version of main, the queued ones included, in the background and
	// after them. Between Appends, from where those come; data is not changed any more. It may be dropped, and must be
	// if an append before it failed.
	Snapshot(version uint64, data []byte)

	// Append queues events of one branch, all or none of which get into the log, as the versions after want. It returns at
	// once; decided is called once, from any goroutine, in the order of the calls, and must not block. Its
	// error is nil when the events are on stable storage, ErrOutcomeUnknown when that cannot be told, and
	// any other error when they are not and will not be in the log: ErrStale when another activation has written,
	// ErrUnavailable when a later try may do. After an error the grain appends nothing more under this claim; what it
	// has queued already must fail too, as it builds on what is not there.
	Append(want uint64, events []Event, decided func(error))

	// Release ends the claim; appends that are queued are still decided.
	Release()
}

// Event is an accepted mutation as the log keeps it.
type Event struct {
	Branch  string    // the line of versions that it belongs to; "" is main
	Version uint64    // set by the log; at Append the grain's own count
	ID      uuid.UUID // unique in the log; zero only in events that were written without ids
	Key     string    // idempotency key, on the first event of its commit
	Request uint64    // hash of the request that came with Key
	Time    time.Time
	Type    string
	Payload []byte // a JSON object
	Damaged bool   // the record at this place did not check out; there is nothing to apply
}

var (
	// ErrUnavailable means that the log takes no appends at present; nothing was written.
	ErrUnavailable = errors.New("log is not writable")
	// ErrStale means that another activation has written to the log or claimed it; nothing was written.
	ErrStale = errors.New("another activation has written to the log")
	// ErrOutcomeUnknown means that the events may or may not be in the log.
	ErrOutcomeUnknown = errors.New("outcome of the append is unknown")
)
