// Package oplog is the log of operations: what the service was asked and did, call by call, for those who run it.
//
// An operation is a request over HTTP, an activation, a passivation, a replay, a failed append, a sweep. The log keeps
// the newest in memory, counts all, and hands them in batches to a [Store], in the background: [Log.Record] costs its
// caller a lock and a copy and never waits, whatever the store does. While the store fails the newest operations are
// kept and tried again; those that there is no room for are dropped, oldest first, and counted.
//
// It is no journal: operations that were not stored yet, of the last second if the store works, are lost with a process
// that is killed, and their numbers are given again. What a cart holds never depends on them.
//
//	log, err := oplog.Open(ctx, oplog.Options{Store: files})
//	log.Record(oplog.Operation{Time: start, Source: "backend", Kind: "addItems", Cart: id, OK: true, Took: took})
//	page, err := log.Query(ctx, oplog.Query{Tail: true, Limit: 100})
//	err = log.Close(ctx)
package oplog
