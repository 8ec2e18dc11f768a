package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"cartd/internal/eventlog/filelog/vfs"
)

// ErrRetired means that the segment which is to be read has been let go of.
var ErrRetired = errors.New("journal's segment is not kept any more")

// readBytes is what a reader reads at once. A larger frame makes its buffer grow.
const readBytes = 64 << 10

// Frames yields the frames that hold the events above position after, in order, up to the one that ends at upTo, which
// Append has returned for. Payloads are valid until the next step. It stops after the first error: ErrRetired, or a
// *CorruptError. It may run beside everything else but Close, any number of times at once.
func (w *Writer) Frames(after, upTo uint64) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		r := frameReader{w: w, next: after + 1}
		defer r.close()
		for r.next <= upTo {
			f, err := r.read()
			if err != nil {
				yield(Frame{}, err)
				return
			}
			if f.Last() > after && !yield(f, nil) {
				return
			}
		}
	}
}

// frameReader goes from frame to frame. The file it reads may be let go of and used again at any time: what it finds
// there then has another checksum, or another position.
type frameReader struct {
	w    *Writer
	s    *segment // nil before the first
	file vfs.File
	size int64
	off  int64  // of the next frame
	next uint64 // position of its first event; as long as s is nil, of an event in it
	buf  []byte // the file's bytes from at on
	at   int64
}

func (r *frameReader) close() {
	if r.file != nil {
		r.file.Close() // only read
		r.file = nil
	}
}

// read returns the next frame.
func (r *frameReader) read() (Frame, error) {
	if r.s == nil {
		if err := r.open(); err != nil {
			return Frame{}, err
		}
	}
	b, err := r.peek(terminator)
	if err != nil {
		return Frame{}, err
	}
	if len(b) < terminator || le32(b) == 0 {
		return r.nextSegment()
	}
	length := int64(le32(b))
	if length < frameHeader || length > r.size-r.off {
		return Frame{}, r.fault(fmt.Errorf("%w: length %d, %d bytes are left", errDamaged, length, r.size-r.off))
	}
	if b, err = r.peek(int(length)); err != nil {
		return Frame{}, err
	}
	f, _, err := decodeFrame(r.w.seed, b)
	switch {
	case err != nil:
		return Frame{}, r.fault(err)
	case f.First != r.next:
		if f.First < r.next { // of an earlier use: the segment ends here
			return r.nextSegment()
		}
		return Frame{}, r.fault(fmt.Errorf("%w: frame %d begins at position %d, want %d", errDamaged, f.Number, f.First, r.next))
	}
	r.w.mu.Lock()
	r.s.mark(f.First, r.off)
	r.w.mu.Unlock()
	r.off += length
	r.next = f.Last() + 1
	return f, nil
}

// open begins at the last known frame that is not behind next, in the segment that has it.
func (r *frameReader) open() error {
	w := r.w
	w.mu.Lock()
	i, found := slices.BinarySearchFunc(w.live, r.next, func(s *segment, p uint64) int {
		switch {
		case s.first < p:
			return -1
		case s.first > p:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		w.mu.Unlock()
		return ErrRetired // or there is none at all, and nobody has a position to ask for
	}
	r.s = w.live[i]
	wanted := r.next
	r.next, r.off = r.s.first, segmentHeader
	for _, m := range r.s.marks {
		if m.position > wanted {
			break
		}
		r.next, r.off = m.position, m.offset
	}
	w.mu.Unlock()
	f, err := w.tree.Open(r.s.name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return r.fault(err)
		}
		return err
	}
	r.close()
	r.file, r.buf = f, r.buf[:0]
	if r.size, err = f.Size(); err != nil {
		return err
	}
	return r.checkHeader()
}

func (r *frameReader) checkHeader() error {
	b := make([]byte, min(segmentHeader, r.size))
	if n, err := r.file.ReadAt(b, 0); n < len(b) {
		return fmt.Errorf("read %s: %w", r.s.name, err)
	}
	h, err := decodeHeader(b)
	if err == nil && (h.id != r.w.id || h.first != r.s.first) {
		err = fmt.Errorf("it is the header of a segment of the log %x that begins at position %d", h.id, h.first)
	}
	if err != nil {
		r.off = 0
		return r.fault(err)
	}
	return nil
}

// nextSegment reads the first frame of the segment that begins where this one ends.
func (r *frameReader) nextSegment() (Frame, error) {
	r.w.mu.Lock()
	follows := slices.ContainsFunc(r.w.live, func(s *segment) bool { return s != r.s && s.first == r.next })
	r.w.mu.Unlock()
	if !follows { // or what stands here now is of another use
		return Frame{}, r.fault(fmt.Errorf("%w: nothing is there, want the frame of position %d", errDamaged, r.next))
	}
	if err := r.open(); err != nil {
		return Frame{}, err
	}
	return r.read()
}

// peek returns the next n bytes, fewer only at the end of the file. They are valid until the next call.
func (r *frameReader) peek(n int) ([]byte, error) {
	n = int(min(int64(n), r.size-r.off))
	if from := r.off - r.at; from >= 0 && from+int64(n) <= int64(len(r.buf)) {
		return r.buf[from : from+int64(n)], nil
	}
	want := int(min(int64(max(n, readBytes)), r.size-r.off))
	if cap(r.buf) < want {
		r.buf = make([]byte, 0, want)
	}
	r.at = r.off
	got, err := r.file.ReadAt(r.buf[:want], r.off)
	r.buf = r.buf[:got]
	if got < n {
		return nil, fmt.Errorf("read %s: %w", r.s.name, err)
	}
	return r.buf[:n], nil
}

// fault says why there is no reading on at off: the segment is not kept any more, or it is damaged.
func (r *frameReader) fault(why error) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if !slices.Contains(r.w.live, r.s) {
		return ErrRetired
	}
	return &CorruptError{r.s.name, r.off, why}
}
