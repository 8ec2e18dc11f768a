package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	frameHeader  = 36
	recordHeader = 6
	terminator   = 4 // the zero length behind a frame
)

// MaxFrameBytes bounds a frame. [Writer.Append] refuses a larger one; a larger length in a file is damage.
const MaxFrameBytes = 1 << 30

// castagnoli is CRC-32C, which amd64 and arm64 compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged frame")

// ID is the incarnation of a log: a random UUID, made with the log. Frames of another one never check out.
type ID [16]byte

// Frame is what was written with one sync.
type Frame struct {
	Number uint64 // from 1, dense
	Run    uint64 // of the process that wrote it
	First  uint64 // position of its first event
	Count  uint32 // of its events
	// Payload holds the records; see [Frame.Records].
	Payload []byte
}

// Last returns the position of the frame's last event.
func (f *Frame) Last() uint64 { return f.First + uint64(f.Count) - 1 }

// Record is what one stream has in a frame.
type Record struct {
	Kind, Name string
	Lines      []byte // whole lines, with their newlines
}

// Records yields the frame's records; Lines point into Payload. It returns an error when the payload does not
// consist of whole records, after those that are.
func (f *Frame) Records(yield func(Record) bool) error {
	for rest := f.Payload; len(rest) > 0; {
		if len(rest) < recordHeader {
			return fmt.Errorf("%w: %d bytes behind the last record", errDamaged, len(rest))
		}
		k, n, size := int(rest[0]), int(rest[1]), uint64(binary.LittleEndian.Uint32(rest[2:]))
		rest = rest[recordHeader:]
		if uint64(len(rest)) < uint64(k+n)+size {
			return fmt.Errorf("%w: record of %d bytes, %d are left", errDamaged, uint64(k+n)+size, len(rest))
		}
		r := Record{Kind: string(rest[:k]), Name: string(rest[k : k+n]), Lines: rest[k+n : uint64(k+n)+size]}
		if len(r.Lines) == 0 || r.Lines[len(r.Lines)-1] != '\n' {
			return fmt.Errorf("%w: record of %s/%s holds no whole lines", errDamaged, r.Kind, r.Name)
		}
		if !yield(r) {
			return nil
		}
		rest = rest[uint64(k+n)+size:]
	}
	return nil
}

// Builder makes a frame in memory. The zero value is an empty frame. Between Begin and End, lines are appended to
// Buf.
type Builder struct {
	Buf   []byte
	Count int // events so far
	at    int // of the record that is being filled
}

// Reset empties the frame and keeps its memory, unless that is more than keep bytes.
func (b *Builder) Reset(keep int) {
	if cap(b.Buf) > keep {
		b.Buf = nil
	}
	b.Buf, b.Count = b.Buf[:0], 0
}

// Len returns the bytes of the frame so far.
func (b *Builder) Len() int { return max(len(b.Buf), frameHeader) }

// Begin starts a record. Kind and name have at most 255 bytes.
func (b *Builder) Begin(kind, name string) {
	if len(b.Buf) == 0 {
		b.Buf = append(b.Buf, make([]byte, frameHeader)...)
	}
	b.at = len(b.Buf)
	b.Buf = append(b.Buf, byte(len(kind)), byte(len(name)), 0, 0, 0, 0)
	b.Buf = append(b.Buf, kind...)
	b.Buf = append(b.Buf, name...)
}

// End ends the record, which holds so many events.
func (b *Builder) End(events int) {
	head := b.Buf[b.at:]
	lines := len(head) - recordHeader - int(head[0]) - int(head[1])
	binary.LittleEndian.PutUint32(head[2:], uint32(min(lines, math.MaxUint32)))
	b.Count += events
}

// finish fills in the header.
func (b *Builder) finish(seed uint32, number, run, first uint64) {
	h := b.Buf[:frameHeader]
	binary.LittleEndian.PutUint32(h, uint32(len(b.Buf)))
	binary.LittleEndian.PutUint64(h[4:], number)
	binary.LittleEndian.PutUint64(h[12:], run)
	binary.LittleEndian.PutUint64(h[20:], first)
	binary.LittleEndian.PutUint32(h[28:], uint32(b.Count))
	binary.LittleEndian.PutUint32(h[32:], frameSum(seed, b.Buf))
}

// seed is the checksum that those of a log's frames go on from.
func (id ID) seed() uint32 { return crc32.Checksum(id[:], castagnoli) }

func frameSum(seed uint32, frame []byte) uint32 {
	sum := crc32.Update(seed, castagnoli, frame[:32])
	return crc32.Update(sum, castagnoli, frame[frameHeader:])
}

// decodeFrame reads the frame that b begins with, and its size. The payload points into b. A zero length is a frame
// of size 0. The error wraps errDamaged.
func decodeFrame(seed uint32, b []byte) (f Frame, size int, err error) {
	if len(b) < terminator {
		return Frame{}, 0, nil // a segment may end without room for a length
	}
	length := binary.LittleEndian.Uint32(b)
	switch {
	case length == 0:
		return Frame{}, 0, nil
	case length < frameHeader || length > MaxFrameBytes || uint64(length) > uint64(len(b)):
		return Frame{}, 0, fmt.Errorf("%w: length %d, %d bytes are left", errDamaged, length, len(b))
	}
	b = b[:length]
	if got, want := frameSum(seed, b), binary.LittleEndian.Uint32(b[32:]); got != want {
		return Frame{}, 0, fmt.Errorf("%w: checksum %08x, want %08x", errDamaged, got, want)
	}
	f = Frame{
		Number: binary.LittleEndian.Uint64(b[4:]), Run: binary.LittleEndian.Uint64(b[12:]),
		First: binary.LittleEndian.Uint64(b[20:]), Count: binary.LittleEndian.Uint32(b[28:]),
		Payload: b[frameHeader:],
	}
	if f.Number == 0 || f.Run == 0 || f.First == 0 || f.Count == 0 || f.First > math.MaxUint64-uint64(f.Count) {
		return Frame{}, 0, fmt.Errorf("%w: checksum is right, fields are not", errDamaged)
	}
	if err := f.Records(func(Record) bool { return true }); err != nil {
		return Frame{}, 0, err
	}
	return f, int(length), nil
}

// findFrame returns the offset of the first sound frame in b with a number from least on; -1 if there is none. Most
// offsets are ruled out by their numbers before a checksum is computed.
func findFrame(seed uint32, b []byte, least uint64) int {
	most := least + uint64(len(b)/frameHeader) + 1
	for i := 0; i+frameHeader <= len(b); i++ {
		number := binary.LittleEndian.Uint64(b[i+4:])
		if number < least || number > most {
			continue
		}
		if f, size, err := decodeFrame(seed, b[i:]); err == nil && size > 0 && f.Number >= least {
			return i
		}
	}
	return -1
}

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
