// Package filelog keeps each stream in a file of its own, one JSON object a line, made to be read, grepped and
// copied by people.
//
//	DIR/LOCK                          flock(2): one process; its id is in it
//	DIR/carts/ab/<name>.events.log    a stream; ab is the first two hex digits of the SHA-256 of its name
//	DIR/quarantine/<name>.<time>.torn cut off torn tails, never deleted by this package
//
// The streams of another kind have a directory of their own, named after the kind with an s.
//
// # Lines
//
// A line is an object without white space, its fields in this order, and a newline:
//
//	v        1
//	pos      number among all events, from 1; left out when there is none
//	seq      version in the branch, from 1
//	branch   left out for main
//	id       UUID, lower case
//	key      Idempotency-Key; left out when there was none
//	req      hash of the request that came with key: 16 hex digits; left out when 0
//	more     1 when the next line belongs to the same commit; left out otherwise
//	epoch    number of the activation that wrote it
//	ts       RFC 3339, UTC, milliseconds
//	type     name of the mutation
//	payload  JSON object without white space
//	crc      CRC-32C of the line's bytes before `,"crc":`, 8 hex digits, always last
//
// Lines of the service before cartd are read too: {"ts":1700000000,"type":"AddItem","payload":{…}}, ts in Unix
// seconds. Their version is their place in the file, damaged lines counted; new lines follow them.
//
// # Promise
//
// A commit is answered with nil after its lines have been written with one write and fdatasync has returned; for a
// new file the directories that lead to it have been synced as well. A file that was there before the process is
// synced before anything of it is shown, with the directories that lead to it, since a former process may have ended between write and sync.
//
// What an append that was cut short leaves, a last line without its newline or a commit without its last line, was never
// acknowledged: Activate copies it to quarantine/ and cuts it off; Read stops before it. A whole line that does not
// check out is damage to acknowledged data, wherever it stands: it stays, it is yielded as a damaged event that has a
// version of its own, and the rest is served.
//
// One limit has to be known. A batch of more than a page may reach the disk out of order when power fails, and then a
// line of it that was never acknowledged can look like damage, or stand behind it.
//
// The first failing write, sync, close, mkdir or truncate ends the log's life: what waits is told
// eventlog.ErrOutcomeUnknown, and nothing more is accepted until the log is opened anew.
//
// # Concurrency
//
// Append encodes into the stream's queue under the stream's mutex, without I/O. Options.Syncers goroutines write: each
// takes a stream, and all that waits for it goes out with one write and one sync. A stream has an entry in memory
// only while an activation, a queued append or a running read refers to it.
//
//	log, err := filelog.Open("data", filelog.Options{LowSpaceBytes: 64 << 20})
//	defer log.Close()
//	act, err := log.Activate(ctx, id)
package filelog
