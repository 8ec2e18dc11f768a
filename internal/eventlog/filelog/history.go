package filelog

import (
	"errors"
	"fmt"
	"io"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// history is all of a stream's log: its sealed parts and its file, one behind the other. Offsets into it count the
// bytes of the lines from the stream's first one on.
type history struct {
	sealed []*sealedPart
	base   int64    // where the file begins
	live   vfs.File // nil when it is missing
	size   int64    // of the file
}

// sealedPart is an open sealed part.
type sealedPart struct {
	label
	path  string
	file  vfs.File
	bytes int64 // of the file
	bad   error // why its label cannot be read; it has no lines then
}

// openHistory opens the log of the stream whose file is at path. A missing one is empty. To most streams, which have no
// sealed part, it costs one attempt to open a file on top of their own.
func openHistory(fs vfs.FS, path string, maxLine int) (_ *history, err error) {
	h := &history{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.live, h.size, err = openLog(fs, path); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		p := &sealedPart{path: sealedPath(path, n)}
		p.file, p.bytes, err = openLog(fs, p.path)
		if err != nil {
			return nil, err
		}
		if p.file == nil {
			break
		}
		h.sealed = append(h.sealed, p)
		if p.label, _, p.bad = readLabel(p.file); errors.Is(p.bad, ErrNewerFormat) {
			return nil, fmt.Errorf("%s: %w", p.path, p.bad)
		} else if p.bad != nil && !errors.Is(p.bad, errSealed) {
			return nil, p.bad
		}
	}
	if err := h.dropUnforced(maxLine); err != nil {
		return nil, err
	}
	for _, p := range h.sealed {
		p.Offset = h.base // as its label says, if none before it is bad
		h.base += p.Bytes
	}
	return h, nil
}

// dropUnforced closes the last sealed part if the stream's file was not cut after it.
func (h *history) dropUnforced(maxLine int) error {
	if len(h.sealed) == 0 || h.live == nil {
		return nil
	}
	last := h.sealed[len(h.sealed)-1]
	if last.bad != nil {
		return nil
	}
	first, err := firstPosition(h.live, h.size, maxLine)
	if err != nil || first == 0 || first >= last.Next {
		return err
	}
	h.sealed = h.sealed[:len(h.sealed)-1]
	return last.file.Close()
}

// firstPosition returns the position of the first sound line that has one; 0 if none has.
func firstPosition(f io.ReaderAt, size int64, maxLine int) (uint64, error) {
	var (
		dec decoder
		ev  eventlog.Event
	)
	for r := newLineReader(f, size, maxLine); ; {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if line.whole && line.text != nil && dec.decode(line.text, &ev) == nil && ev.Position > 0 {
			return ev.Position, nil
		}
	}
}

// end returns the offset behind the file.
func (h *history) end() int64 { return h.base + h.size }

// reader gives the bytes from off to end. bad, if not nil, is told of each sealed part that cannot be read in whole.
func (h *history) reader(off, end int64, bad func(path string, offset int64, err error)) io.Reader {
	var rs []io.Reader
	for _, p := range h.sealed {
		switch {
		case p.bad != nil:
			if bad != nil && off == 0 {
				bad(p.path, p.Offset, p.bad)
			}
		case off < p.Offset+p.Bytes && p.Offset < end:
			skip := max(0, off-p.Offset)
			rs = append(rs, &lazyPart{part: p, skip: skip, told: bad})
		}
	}
	if h.live != nil && end > h.base {
		from := max(0, off-h.base)
		rs = append(rs, io.NewSectionReader(h.live, from, end-h.base-from))
	}
	return io.MultiReader(rs...)
}

// lines splits the bytes from off to end.
func (h *history) lines(off, end int64, maxLine int, bad func(path string, offset int64, err error)) *lineReader {
	return newLineReaderAt(h.reader(off, end, bad), off, end, maxLine)
}

// lazyPart opens a part's decompressor when it is read first, and closes it at its end: its window takes megabytes.
type lazyPart struct {
	part *sealedPart
	skip int64
	told func(path string, offset int64, err error)
	r    *sealedReader
}

func (l *lazyPart) Read(p []byte) (int, error) {
	if l.r == nil {
		var err error
		if _, l.r, err = openSealed(l.part.file, l.part.bytes); err != nil {
			return 0, err
		}
		if _, err := io.CopyN(io.Discard, l.r, l.skip); err != nil {
			return 0, err
		}
	}
	n, err := l.r.Read(p)
	if errors.Is(err, io.EOF) {
		l.close()
	}
	return n, err
}

func (l *lazyPart) close() {
	l.r.dec.Close()
	if l.r.bad != nil && l.told != nil {
		l.told(l.part.path, l.part.Offset, l.r.bad)
	}
	l.told = nil
}

// recognises reports whether the log has a line at offset end that ends there and is the one that last tells.
func (h *history) recognises(end int64, last line32) (bool, error) {
	for _, p := range h.sealed {
		if p.Offset+p.Bytes == end {
			return p.bad == nil && p.Last == last, nil
		}
	}
	at := end - h.base - int64(last.Bytes) - 1
	if h.live == nil || at < 0 || end > h.end() || last.Bytes < 0 {
		return false, nil
	}
	line := make([]byte, last.Bytes+1)
	if n, err := h.live.ReadAt(line, at); n < len(line) {
		return false, err
	}
	return line[last.Bytes] == '\n' && line32Of(line[:last.Bytes]) == last, nil
}

// Close closes the files.
func (h *history) Close() error {
	var errs []error
	if h.live != nil {
		errs = append(errs, h.live.Close())
	}
	for _, p := range h.sealed {
		errs = append(errs, p.file.Close())
	}
	return errors.Join(errs...)
}
