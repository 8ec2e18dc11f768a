package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Store keeps streams. All methods are safe for concurrent use.
type Store interface {
	Feed

	// Activate claims the stream for one writer. It waits until the appends of the writer before it are decided,
	// and fences that writer off: its later appends report ErrFenced. A stream that does not exist is empty;
	// activating it stores nothing. Release the activation when done.
	Activate(ctx context.Context, id StreamID) (Activation, error)

	// Read yields the stream's events in the order of the log, all branches, as far as they were on stable
	// storage when the loop began. It stops after the first error. A stream that does not exist yields nothing.
	Read(ctx context.Context, id StreamID) iter.Seq2[Event, error]

	// Recall is Read that may begin behind a snapshot: load is offered them as in Activation.Replay. It claims nothing. A
	// snapshot that load passes over with ErrPassedOver is as sound as before.
	Recall(ctx context.Context, id StreamID, load func(data []byte) error) iter.Seq2[Event, error]

	// Writable returns nil if an append would be accepted now; otherwise ErrLowSpace, ErrFailed or ErrClosed.
	// It does no I/O.
	Writable() error

	// Failed is closed when the store has failed for good (see ErrFailed). Cause tells why; nil before.
	Failed() <-chan struct{}
	Cause() error

	// Close decides what is queued, then releases all resources. Later calls report ErrClosed.
	Close() error
}

// Activation is one writer's claim on a stream. Replay comes first; Append may be called from one goroutine at a
// time.
type Activation interface {
	// Epoch is this activation's number: larger than that of every activation of the stream before.
	Epoch() uint64

	// Replay yields the events of the stream, as Read does. It is called once, before the first Append.
	//
	// If load is not nil it is offered what Snapshot was given, newest first, until it takes one by returning nil:
	// Replay then yields what follows that snapshot only. An error of load means that the data is of no use to it.
	// What does not check out is not offered. data must not be changed; it may be kept.
	Replay(ctx context.Context, load func(data []byte) error) iter.Seq2[Event, error]

	// Append queues c and returns without waiting for the disk. decided is called once, from a goroutine of the
	// store (or before Append returns when the commit is refused at once), for commits of one activation in the
	// order of the calls. It must not block. It is told:
	//
	//	nil                  the events are on stable storage, and visible to reads
	//	*ConflictError       the branch is at another version; nothing was appended
	//	*DuplicateIDError    an event id is taken by another event; nothing was appended
	//	ErrFenced            another activation has claimed the stream; nothing was appended
	//	ErrLowSpace          too little room; nothing was appended
	//	ErrTooLarge          an event is larger than the store can read back; nothing was appended
	//	ErrArchived          the stream takes no more events; nothing was appended
	//	ErrInvalid           the commit is not well formed (see Commit.Check), or comes before the end of Replay;
	//	                     nothing was appended
	//	ErrBusy              too much waits for the disk, told at once; nothing was appended
	//	ErrFailed, ErrClosed the store has failed or is closed; nothing was appended
	//	ErrOutcomeUnknown    the events may or may not be stored
	//
	// After any error but DuplicateIDError, ErrLowSpace, ErrArchived, ErrTooLarge, ErrInvalid and ErrBusy every later append of
	// this activation fails too. A commit whose event ids are all in the stream already, with the same types and payloads, is
	// answered with its first receipt once that is on stable storage, whatever Want says.
	Append(c Commit, decided func(Receipt, error))

	// Snapshot hands over what stands for all events of the stream up to version of main, queued ones included, so
	// that a later Replay can begin behind them. It is called between Appends, by whoever may call those, and
	// returns at once. data is stored in the background, as soon as all those events are on stable storage; the
	// caller must not change it any more.
	//
	// A snapshot saves time and holds nothing that the log has not. So nobody is told when it is dropped: because
	// the stream is at another version, an append before it fails, the store has no time or no room, or cannot write
	// it, which it counts.
	Snapshot(version uint64, data []byte)

	// Release ends the claim. Queued appends are still decided. Release twice is harmless.
	Release()
}

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("event log is closed")
	// ErrFailed means that a write or sync has failed earlier: the store accepts nothing more until it is opened
	// anew, because nobody knows what is on the disk. It is not retried: after a failed fsync the kernel has
	// marked the pages clean (LWN 752063, "PostgreSQL's fsync() surprise").
	ErrFailed = errors.New("event log has failed")
	// ErrLowSpace means that the disk has less room than the low-water mark.
	ErrLowSpace = errors.New("event log is low on disk space")
	// ErrFenced means that another activation has claimed the stream.
	ErrFenced = errors.New("stream was claimed by another activation")
	// ErrOutcomeUnknown means that an append may or may not be stored.
	ErrOutcomeUnknown = errors.New("outcome of the append is unknown")
	// ErrArchived means that the stream has come to its end, and takes no more events.
	ErrArchived = errors.New("stream is archived")
	// ErrTooLarge means that an event exceeds the store's limit.
	ErrTooLarge = errors.New("event is too large")
	// ErrPassedOver is what load returns for a snapshot that is not what it looks for, and nothing to be told of.
	ErrPassedOver = errors.New("snapshot is passed over")
	// ErrCorrupt means that stored data does not check out.
	ErrCorrupt = errors.New("event log is corrupt")
)

// ConflictError reports an append at a version that the branch is not at.
type ConflictError struct {
	Stream    StreamID
	Branch    string // "" is main
	Want, Got uint64 // what the commit builds on, what the branch is at
}

func (e *ConflictError) Error() string {
	branch := e.Branch
	if branch == "" {
		branch = "main"
	}
	return fmt.Sprintf("append to %s branch %s: expected version %d, got %d", e.Stream, branch, e.Want, e.Got)
}

// DuplicateIDError reports an event id that the stream holds with another type or payload.
type DuplicateIDError struct {
	Stream  StreamID
	ID      string
	Version uint64 // of the event that has the id; 0 when only part of the commit is there
}

func (e *DuplicateIDError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("append to %s: event id %s is in the stream, others of the same commit are not", e.Stream, e.ID)
	}
	return fmt.Sprintf("append to %s: event id %s is taken by version %d", e.Stream, e.ID, e.Version)
}
