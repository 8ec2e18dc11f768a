// Package eventlog is the contract of cartd's event stores.
//
// A store keeps streams. A stream is one cart's events in order; each event was accepted once and is never
// edited. An event's version is its number within its branch of the stream: the first is 1, 0 is the empty
// stream. Commits are atomic: all events of a [Commit] are in the stream, or none.
//
// Whoever writes claims the stream first, with [Store.Activate], reads what is there and then queues commits.
// A commit is answered when it is decided: on stable storage, refused, or of unknown outcome. Many commits may
// wait at once; they are decided in the order in which they were queued. Nothing that is not on stable storage
// is ever yielded by a read.
//
//	act, err := store.Activate(ctx, id)
//	for ev, err := range act.Replay(ctx, nil) { … }
//	act.Append(eventlog.Commit{Want: 3, Events: evs}, func(r eventlog.Receipt, err error) { … })
//	act.Release()
//
// All events of all streams have positions, from 1 and without a gap, in the order in which they were stored: a [Feed]
// gives them by position, for as long as the store keeps them in that order, and [Follow] waits for those to come.
//
//	for ev, err := range eventlog.Follow(ctx, store, after) { … }
//
// Stores: memlog (tests), filelog (a file per stream). All of them pass the suite in logtest.
package eventlog
