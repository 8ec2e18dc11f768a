package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// blockBytes is what is read at once. A longer line makes the buffer grow, up to the largest line.
const blockBytes = 64 << 10

// lineReader splits bytes into lines. One buffer serves all of them.
type lineReader struct {
	src  io.Reader
	off  int64  // of buf[pos]
	end  int64  // nothing beyond it is read
	read int64  // how far src has been read
	max  int    // bytes of a line with its newline
	buf  []byte // buf[pos:] is not consumed
	pos  int
}

// newLineReader reads the first end bytes of f.
func newLineReader(f io.ReaderAt, end int64, maxLine int) *lineReader {
	return newLineReaderAt(io.NewSectionReader(f, 0, end), 0, end, maxLine)
}

// newLineReaderAt reads bytes that are those from off to end of something.
func newLineReaderAt(src io.Reader, off, end int64, maxLine int) *lineReader {
	return &lineReader{src: src, off: off, read: off, end: end, max: maxLine, buf: make([]byte, 0, min(end-off, blockBytes))}
}

// rawLine is a piece of a log up to a newline or the end.
type rawLine struct {
	text  []byte // without its newline; nil when it is longer than the largest line
	start int64
	end   int64 // behind its newline
	whole bool  // it has a newline
}

// next returns the next line, or io.EOF. Its text is valid until the next call.
func (r *lineReader) next() (rawLine, error) {
	line := rawLine{start: r.off}
	searched, tooLong := 0, false
	for {
		if i := bytes.IndexByte(r.buf[r.pos+searched:], '\n'); i >= 0 {
			i += searched
			if !tooLong && i < r.max {
				line.text = r.buf[r.pos : r.pos+i]
			}
			r.consume(i + 1)
			line.end, line.whole = r.off, true
			return line, nil
		}
		searched = len(r.buf) - r.pos
		if r.read == r.end {
			if searched == 0 && !tooLong {
				return rawLine{}, io.EOF
			}
			if !tooLong && searched < r.max {
				line.text = r.buf[r.pos:]
			}
			r.consume(searched)
			line.end = r.off
			return line, nil
		}
		if searched >= r.max { // let go of what cannot become a line
			tooLong = true
			r.consume(searched)
			searched = 0
		}
		if err := r.fill(); err != nil {
			return rawLine{}, err
		}
	}
}

func (r *lineReader) consume(n int) {
	r.pos += n
	r.off += int64(n)
}

// fill reads the next block behind what is not consumed.
func (r *lineReader) fill() error {
	rest := copy(r.buf[:cap(r.buf)], r.buf[r.pos:])
	r.buf, r.pos = r.buf[:rest], 0
	if rest == cap(r.buf) {
		grown := make([]byte, rest, min(max(2*rest, blockBytes), max(r.max, blockBytes)+blockBytes))
		copy(grown, r.buf)
		r.buf = grown
	}
	n := int(min(int64(cap(r.buf)-rest), r.end-r.read))
	got, err := io.ReadFull(r.src, r.buf[rest:rest+n])
	r.buf = r.buf[:rest+got]
	r.read += int64(got)
	switch {
	case got == n:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: file ends at byte %d, expected %d", eventlog.ErrCorrupt, r.read, r.end)
	default:
		return err
	}
}

// tail is where the sound part of a log ends.
type tail struct {
	end   int64  // behind the last line of the last whole commit
	epoch uint64 // of that line; 0 if there is none, or an old one
}

// findTail looks for the end of what may be kept of the first size bytes of f. Only what an append that was cut short
// leaves is torn: a last piece without its newline, and lines before it whose commit is not complete. A whole line that
// does not check out is damage to what was acknowledged, wherever it stands: it stays, and is told at replay.
// As a rule the last line is sound, found with one read; otherwise the log is read from the beginning.
func findTail(f io.ReaderAt, size int64, maxLine int) (tail, error) {
	if size == 0 {
		return tail{}, nil
	}
	var (
		dec decoder
		ev  eventlog.Event
	)
	block := make([]byte, min(size, blockBytes))
	if n, err := f.ReadAt(block, size-int64(len(block))); n < len(block) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: file ends before byte %d", eventlog.ErrCorrupt, size)
		}
		return tail{}, err
	}
	if last := len(block) - 1; block[last] == '\n' {
		from := bytes.LastIndexByte(block[:last], '\n') + 1
		if from > 0 || int64(len(block)) == size {
			if sound, epoch := soundLine(&dec, block[from:last], &ev); sound && !ev.More {
				return tail{size, epoch}, nil
			}
		}
	}
	var t tail
	for r := newLineReader(f, size, maxLine); ; {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return tail{}, err
		}
		if !line.whole {
			continue // torn
		}
		sound, epoch := false, uint64(0)
		if line.text != nil {
			sound, epoch = soundLine(&dec, line.text, &ev)
		}
		if !sound || !ev.More {
			t = tail{line.end, max(t.epoch, epoch)}
		}
	}
}

// soundLine reports whether a line checks out; ev.More tells then whether its commit goes on. One of a newer format
// does: whatever it says, it is not to be cut off.
func soundLine(dec *decoder, line []byte, ev *eventlog.Event) (sound bool, epoch uint64) {
	err := dec.decode(line, ev)
	if errors.Is(err, ErrNewerFormat) {
		ev.More = false
		return true, 0
	}
	return err == nil, ev.Epoch
}

// openLog opens the log of a stream for reading. A missing one is nil without an error.
func openLog(fs vfs.FS, path string) (vfs.File, int64, error) {
	f, err := fs.Open(path)
	if isNotExist(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}
