// Package journal is the log that all streams share: numbered frames in segment files, each frame on stable storage
// before the next is written. So only the last frame can be torn, and a frame that does not check out with a sound
// one behind it is damage.
//
//	DIR/<first position, 20 digits>.wal   a segment
//	DIR/checkpoint                        up to where the streams' own files have everything
//	DIR/<n>.tmp                           a segment being prepared; removed at recovery
//
// All numbers are little-endian; all checksums are CRC-32C (Castagnoli).
//
// # Segment
//
//	offset  bytes  field
//	     0      8  magic "cartdwal"
//	     8      4  format version: 1
//	    12     16  incarnation id of the log
//	    28      8  position of the first event
//	    36      8  number of the first frame
//	    44      4  checksum of bytes 0 to 43
//	    48         frames, one behind the other
//
// A segment is written full of zeros before use, so that a frame overwrites and needs no new blocks. Segments are
// used again: what stands behind the last frame may be left from before. A frame is therefore written with a zero
// length behind it, and a frame of an old use has a number that is too small.
//
// # Frame
//
//	offset  bytes  field
//	     0      4  length of the frame with this header; 0: nothing here
//	     4      8  number, from 1, dense over all segments
//	    12      8  run: the number of the process that wrote it, from 1, never going down
//	    20      8  position of the first event
//	    28      4  events in the frame, at least 1
//	    32      4  checksum of the incarnation id, bytes 0 to 31 and the payload
//	    36         payload: records
//
// # Record
//
//	offset  bytes  field
//	     0      1  k, length of the stream's kind
//	     1      1  n, length of the stream's name
//	     2      4  b, bytes of lines
//	     6      k  kind
//	     6+k    n  name
//	     6+k+n  b  lines, each with its newline, exactly as they go to the stream's file
//
// # Checkpoint
//
//	offset  bytes  field
//	     0      8  magic "cartdchk"
//	     8      4  format version: 1
//	    12     16  incarnation id of the log
//	    28      8  run of the last process that opened the log
//	    36      8  number of the last frame that the streams' files have; 0: none
//	    44      8  position of the last event in it
//	    52      4  checksum of bytes 0 to 51
//
// # Later formats
//
// Whatever a later version adds to a segment's header or to the checkpoint comes behind these bytes, whose checksum stays
// where it is: so that this version refuses it with [ErrNewerFormat], and does not take it for damage.
//
// # Concurrency
//
// [Writer.Append] is called by one goroutine; [Writer.Retire], [Writer.Checkpoint] and the preparation of segments,
// a goroutine of the Writer's own, may run beside it, and so may any number of [Writer.Frames].
//
//	found, err := journal.Recover(fs, "journal")
//	kept, err := found.Settle(fs, "journal", true)
//	w, err := journal.Open(fs, "journal", found.State, journal.Options{SegmentBytes: 16 << 20, Sync: true, Kept: kept})
//	b.Begin("cart", "c1"); b.Buf = append(b.Buf, line...); b.End(1)
//	frame, err := w.Append(&b)
package journal
