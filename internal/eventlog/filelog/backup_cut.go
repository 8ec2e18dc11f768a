package filelog

import (
	"context"
	"errors"
	"io"
)

// logPart is what of a stream's log belongs in a backup.
type logPart struct {
	end     int64  // of the file
	behind  []byte // what the journal has beyond
	events  int
	damaged int    // places that do not check out
	last    uint64 // highest position
}

var errCut = errors.New("the rest is behind the backup's position")

// cut finds out where the log ends at the backup's position.
func (b *backup) cut(ctx context.Context, path string, src io.ReaderAt, size int64) (part logPart, err error) {
	h, err := openHistory(b.tree, path, b.maxLine) // for what is sealed in front of the file
	if err != nil {
		return part, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	both := io.MultiReader(h.reader(0, h.base, nil), io.NewSectionReader(src, 0, size))
	in := newInspector(newLineReaderAt(both, 0, h.base+size, b.maxLine), b.records[path])
	damaged := 0          // lines since the last usable one
	endAt, events := 0, 0 // events also of a commit that is not whole yet
	err = in.run(ctx, func(p *piece) error {
		if p.usable() && p.ev.Position > b.upTo {
			return errCut
		}
		part.end, endAt = max(0, in.end-h.base), in.endAt
		if p.usable() {
			events++
		}
		if in.end == p.end {
			part.events, part.last = events, in.last
		}
		if p.marker {
			damaged++
			return nil
		}
		if p.kind != "" {
			part.damaged++
		}
		if !p.usable() {
			damaged++
			return nil
		}
		if len(p.before) > damaged || p.gap > 0 || p.half {
			part.damaged++
		}
		damaged = 0
		return nil
	})
	if err != nil && !errors.Is(err, errCut) {
		return part, err
	}
	for _, r := range b.records[path][endAt:] {
		part.behind = append(append(part.behind, r.line...), '\n')
		part.events++
		part.last = max(part.last, r.pos)
	}
	return part, nil
}

// joined is the first end bytes of a file, and what follows them.
type joined struct {
	file io.ReaderAt
	end  int64
	more byteFile
}

// ReadAt implements [io.ReaderAt].
func (j *joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < j.end {
		n = int(min(int64(len(p)), j.end-off))
		if got, err := j.file.ReadAt(p[:n], off); got < n {
			return got, err
		}
		if n == len(p) {
			return n, nil
		}
	}
	got, err := j.more.ReadAt(p[n:], off+int64(n)-j.end)
	return n + got, err
}
