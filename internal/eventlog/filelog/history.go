package filelog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// history is all of a stream's log: its sealed parts and its file, one behind the other. Offsets into it count the
// bytes of the lines from the stream's first one on.
type history struct {
	path     string // of the file
	sealed   []*sealedPart
	base     int64    // where the file begins
	live     vfs.File // nil when it is missing
	size     int64    // of the file
	unforced []string // paths of the parts that are not in force
	archived bool     // sealed is the archive alone, and no file follows
}

// sealedPart is an open sealed part.
type sealedPart struct {
	label
	path  string
	file  vfs.File // nil when it is missing
	bytes int64    // of the file
	says  int64    // Offset in its label
	bad   error    // why its label cannot be read; it has no lines then
}

var errNoPart = fmt.Errorf("%w: it is missing, and one with a higher number is there", errSealed)

// openHistory opens the log of the stream whose file is at path. A missing one is empty. To most streams, which have no
// sealed part, it costs one attempt to open a file on top of their own.
func openHistory(fs vfs.FS, path string, maxLine int) (*history, error) {
	return openParts(fs, path, nil, maxLine)
}

// openParts is openHistory that knows the numbers of parts that are there, in order, so that it goes on where one is
// missing in between.
func openParts(fs vfs.FS, path string, numbers []int, maxLine int) (_ *history, err error) {
	h := &history{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.live, h.size, err = openLog(fs, path); err != nil {
		return nil, err
	}
	if h.live == nil {
		archive, err := openArchive(fs, path)
		if err != nil {
			return nil, err
		}
		if archive != nil {
			return h, h.archive(fs, archive, numbers)
		}
	}
	for n := 1; ; n++ {
		p := &sealedPart{path: sealedPath(path, n)}
		p.file, p.bytes, err = openLog(fs, p.path)
		if err != nil {
			return nil, err
		}
		for len(numbers) > 0 && numbers[0] <= n {
			numbers = numbers[1:]
		}
		if p.file == nil && len(numbers) == 0 {
			break
		}
		h.sealed = append(h.sealed, p)
		if p.file == nil {
			p.bad, n = errNoPart, numbers[0]-1
			continue
		}
		if err := p.readLabel(); err != nil {
			return nil, err
		}
	}
	if err := h.dropUnforced(maxLine); err != nil {
		return nil, err
	}
	for _, p := range h.sealed {
		p.says, p.Offset = p.Offset, h.base // the same, if none before it is bad
		h.base += p.Bytes
	}
	return h, nil
}

// readLabel reads the part's label, or sets bad.
func (p *sealedPart) readLabel() error {
	if p.label, _, p.bad = readLabel(p.file); errors.Is(p.bad, ErrNewerFormat) {
		return fmt.Errorf("%s: %w", p.path, p.bad)
	} else if p.bad != nil && !errors.Is(p.bad, errSealed) {
		return p.bad
	}
	if p.bad != nil {
		p.label = label{} // what could be read of it is worth nothing
	}
	return nil
}

// archive makes the log that of an archive. Whatever parts are there still, those with numbers among them, are not in force.
func (h *history) archive(fs vfs.FS, p *sealedPart, numbers []int) error {
	h.archived, h.sealed = true, []*sealedPart{p}
	p.says, p.Offset = p.Offset, 0
	h.base = p.Bytes
	for n := 1; ; n++ {
		f, _, err := openLog(fs, sealedPath(h.path, n))
		if err != nil {
			return err
		}
		for len(numbers) > 0 && numbers[0] <= n {
			numbers = numbers[1:]
		}
		if f != nil {
			h.unforced = append(h.unforced, sealedPath(h.path, n))
			if err := f.Close(); err != nil {
				return err
			}
		} else if len(numbers) == 0 {
			return nil
		}
	}
}

// dropUnforced closes the parts whose lines the stream's file has: the last one, when it was not cut after that was
// sealed, and all of them, when repair has written the whole log into it, those included whose label cannot be read.
func (h *history) dropUnforced(maxLine int) (err error) {
	if len(h.sealed) == 0 || h.live == nil {
		return nil
	}
	b, err := beginning(h.live, h.size, maxLine)
	if err != nil {
		return err
	}
	keep := 0
	for !b.whole && keep < len(h.sealed) {
		if p := h.sealed[keep]; p.bad != nil && b.one || p.bad == nil && b.first > 0 && b.first < p.Next {
			break
		}
		keep++
	}
	for _, p := range h.sealed[keep:] {
		if p.file != nil {
			h.unforced = append(h.unforced, p.path)
			err = errors.Join(err, p.file.Close())
		}
	}
	h.sealed = h.sealed[:keep]
	return err
}

// start is how a stream's file begins.
type start struct {
	whole bool   // it is the whole log for sure: one that was cut begins with a sound line that has a position, see seal
	one   bool   // with version 1: if a part cannot say what follows it, that tells that the file was not cut
	first uint64 // position of the first sound line that has one; 0 if none has
}

// beginning tells how a stream's file begins.
func beginning(f io.ReaderAt, size int64, maxLine int) (b start, err error) {
	var (
		dec decoder
		ev  eventlog.Event
	)
	for r := newLineReader(f, size, maxLine); ; {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if !line.whole || line.text == nil {
			continue
		}
		err = dec.decode(line.text, &ev)
		if _, marker := parseMarker(line.text); line.start == 0 && (marker || err == nil && ev.Position == 0) {
			b.whole = true
			return b, nil
		}
		if err == nil && ev.Position > 0 {
			b.one, b.first = line.start == 0 && ev.Branch == "" && ev.Version == 1, ev.Position
			return b, nil
		}
	}
}

// follows reports whether the file goes on where the last part in force ends, or begins the log if there is none.
func (h *history) follows(maxLine int) (bool, error) {
	b, err := beginning(h.live, h.size, maxLine)
	if err != nil || len(h.sealed) == 0 {
		return b.whole || b.one, err
	}
	return b.first == h.sealed[len(h.sealed)-1].Next, nil
}

// endless reports whether sealed parts are in force and the file behind them has nothing: one that was cut has a line. So
// has an archive, whatever can be read of it.
func (h *history) endless() bool { return h.endlessAt(h.size) }

// endlessAt is endless if the file had so many bytes.
func (h *history) endlessAt(size int64) bool {
	return len(h.sealed) > 0 && size == 0 && (!h.archived || h.sealed[0].bad != nil)
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

// recognises reports whether the log has a line at offset end that ends there and is the one that last tells. Within a
// sealed part, which as a rule ends where a snapshot does, it decompresses all in front of the line.
func (h *history) recognises(end int64, last line32) (bool, error) {
	from := h.base
	for _, p := range h.sealed {
		switch border := p.Offset + p.Bytes; {
		case border == end && p.bad == nil:
			return p.Last == last, nil
		case p.Offset < end && end < border:
			from = p.Offset
		}
	}
	at := end - int64(last.Bytes) - 1
	if last.Bytes < 0 || at < from || end > h.end() {
		return false, nil
	}
	sum, r := crc32.New(castagnoli), h.reader(at, end, nil)
	if _, err := io.CopyN(sum, r, int64(last.Bytes)); err != nil {
		return false, err
	}
	var newline [1]byte
	if _, err := io.ReadFull(r, newline[:]); err != nil {
		return false, err
	}
	return newline[0] == '\n' && sum.Sum32() == last.CRC, nil
}

// Close closes the files.
func (h *history) Close() error {
	var errs []error
	if h.live != nil {
		errs = append(errs, h.live.Close())
	}
	for _, p := range h.sealed {
		if p.file != nil {
			errs = append(errs, p.file.Close())
		}
	}
	return errors.Join(errs...)
}
