// Package filelog keeps each stream in a file of its own, one JSON object a line, made to be read, grepped and
// copied by people.
//
//	DIR/LOCK                          flock(2), as on DIR itself: one process; its id is in it
//	DIR/journal/                      all streams' events in order; see package journal
//	DIR/carts/ab/<name>.events.log    a stream; ab is the first two hex digits of the SHA-256 of its name
//	DIR/carts/ab/<name>.events.000001.log.zst
//	                                  what stood before the file's lines, compressed: a sealed part
//	DIR/carts/ab/<name>.snapshot      what the stream's activation made of its events; .snapshot.old is the one before
//	DIR/archive/carts/ab/<name>.events.log.zst
//	                                  all of a stream that has come to its end: a sealed part
//	DIR/quarantine/<name>.<time>.torn cut off ends, never deleted by this package
//	DIR/RESTORING                     while a restore fills DIR: it is no log yet
//
// A backup has the streams' files in the same places, and manifest.json; see [Log.Backup].
//
// A file whose name goes on with .tmp was not put in its place; nobody reads it.
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
// # Sealed parts
//
// The parts 000001, 000002 and so on and the file behind them are a stream's log, byte for byte: zstdcat of the parts and
// then the file shows it. Offsets into the log count these bytes. A part, integers in little-endian order:
//
//	4 bytes   0x184D2A5C, the magic number of a frame that decoders of zstd skip (RFC 8878, section 3.1.2)
//	4 bytes   length of the label, at most 4,096
//	…         the label: a line of JSON with a crc as above
//	rest      one frame of zstd, with content size and checksum: whole lines
//
// The label's fields:
//
//	v         1
//	offset    of the part in the log, bytes
//	bytes     of its lines; at most 4 GiB
//	lines     how many they are
//	last      bytes and crc32c of the last one, without its newline
//	next      pos of the line that follows the part
//	crc       as that of a line
//
// A part is sealed, read back and synced before the file is cut. If the file begins before the line next, as it does when
// the process ends in between, the part is not in force: its lines are read from the file. A file that was cut begins
// with a sound line that has a position; one that begins otherwise is the whole log, and no part is in force.
//
// # Archives
//
// The log of a stream that has come to its end is one sealed part, behind which nothing follows, in a directory of its
// own: see [Log.Archive]. Its label has next 0, and:
//
//	end       pos of the last line
//
// It is read as any log is, and takes no more lines. It is in force when the stream's file is not there. The file is
// removed, durably, after the archive was read back and is on stable storage, and before anything else that stands beside
// it: whenever the process ends, one of the two is whole.
//
// # Snapshots
//
// A snapshot's file, integers in little-endian order:
//
//	8 bytes   "cartsnap"
//	4 bytes   CRC-32C of all that follows
//	4 bytes   length of the head
//	…         the head: JSON
//	…         the event ids, ascending, 40 bytes each: id, version, xxhash64 of the content, position
//	rest      the data, which the activation alone understands
//
// The head's fields:
//
//	v         1
//	stream    kind and name, with a slash between
//	offset    bytes of the log that it stands for
//	lines     of them
//	last      bytes and crc32c of the last one: a log that has another line there does not take the snapshot
//	main      version
//	branches  versions of the other branches; left out when there are none
//	ids       bytes
//
// A snapshot that does not check out, or that the activation refuses, is ignored: the one before is tried, and then the
// log is replayed from its beginning. Nothing that was acknowledged rests on a snapshot.
//
// # Promise
//
// A commit is answered with nil after its lines are in the journal and fdatasync has returned. One frame of the
// journal, written and synced once, holds the commits of all streams that wait. Then the lines go to the streams' own
// files, several with one write if the stream is busy; a checkpoint syncs them later with their directories, before the
// journal's segments are let go of. Reads see what is answered: what a stream's file lacks is written first. Positions are dense over all streams.
//
// Open completes the streams' files from the journal. The journal's last frame, if it does not check out, was never
// acknowledged: it is cut off and kept in quarantine/. A bad frame with a sound one behind it is damage to acknowledged
// data: Open returns an error that wraps eventlog.ErrCorrupt and says where.
//
// # Feed
//
// The journal has the lines of all streams by position, and ReadAll gives them from there. A segment stays until it is
// checkpointed, was last written longer ago than FeedRetention, and no Pin needs it; through restarts too. So the lines of
// that time take room twice. When there is less of it than four segments above LowSpaceBytes, or none for the next
// segment, the oldest that are checkpointed go, pinned or not: appends are refused only when none are left. Open looks at
// what is not checkpointed, and leaves the rest to its readers: damage there is told to them, and by Verify. It lets go
// of all when there is no reading on from it without a gap: after damage that the checkpoint covers, and when the files
// have events that the journal has lost.
//
// What is not covered by the journal any more is synced, with the directories that lead to it, before anything of it is
// shown. A last line without its newline, a commit without its last line, or a file with nothing in it: who reads the
// stream first writes again what the journal still has of it. Without that, as in the logs of the service before cartd,
// it is what an append that was cut short leaves: Activate copies it to quarantine/ and cuts it off; Read stops before
// it. A whole line
// that does not check out is damage to acknowledged data, wherever it stands: it stays, it is yielded as a damaged event
// that has a version of its own, and the rest is served. (One exception has to be known: damage to the last frame of the
// journal looks like a torn end as long as the streams' files do not have its lines.)
//
// The first failing write, sync, close, mkdir, rename or truncate ends the log's life: what waits is told
// eventlog.ErrOutcomeUnknown, and nothing more is accepted until the log is opened anew. A full disk that is noticed
// while the next segment is prepared only refuses appends, until there is room.
//
// # Concurrency
//
// Append encodes into the stream's queue under the stream's mutex, without I/O. One goroutine, the committer, takes
// what all streams have queued, numbers it, writes the frame and answers. Two write behind it to the streams' files,
// what has waited for 0.5 s or is 16 KiB, each file under a mutex of its stream; one makes checkpoints; one prepares segments. A stream has an entry in memory
// only while an activation, a queued append, a running read, an open file or the next checkpoint refers to it.
//
//	log, err := filelog.Open("data", filelog.Options{LowSpaceBytes: 64 << 20})
//	defer log.Close()
//	act, err := log.Activate(ctx, id)
package filelog
