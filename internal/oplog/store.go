package oplog

import "context"

// Store keeps operations. Append and Close are called by one goroutine at a time, Query by any number beside it.
type Store interface {
	// Append stores operations, in ascending order of Seq, all above those before. After an error it may be given again
	// what it has stored, by the same log; no operation is stored twice. It returns nil when all are stored, so that they
	// outlive the process. It does not keep ops.
	Append(ctx context.Context, ops []Operation) error

	// Query returns stored operations by Seq. It may look at a bounded number of them only: Page.Next then is where it
	// has stopped, or the page of a Tail is short.
	Query(ctx context.Context, q Query) (Page, error)

	// Close releases what the store holds.
	Close() error
}
