package filelog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// mend writes a stream's log anew, as one file: first what the journal restores, then markers for what it cannot. The
// file is replaced at once, after a copy of it is on stable storage. Snapshots, which may tell of the old one, are gone
// before. Sealed parts go after it, the last one first: a file that holds the whole log keeps them out of force, and
// those that stay when the process ends in between do no harm.
func (r *repairer) mend(ctx context.Context, path string) error {
	kept, err := r.keepCopy(path)
	if err != nil {
		return err
	}
	if err := r.mkdir(parentDir(path)); err != nil {
		return err
	}
	from, whole, restored, mended := path, r.out.Kept+"/unsealed.tmp", r.out.Kept+"/restored.tmp", r.out.Kept+"/mended.tmp"
	parts, err := r.unseal(path, whole)
	if err != nil {
		return err
	}
	if len(parts) > 0 {
		from = whole
	}
	m := mender{r: r, path: path, kept: kept, heads: make(map[string]uint64)}
	if err := m.pass(ctx, from, restored, r.look.records[path], m.restore, m.restoreEnd); err != nil {
		return err
	}
	if err := m.pass(ctx, restored, mended, nil, m.mark, m.markEnd); err != nil {
		return err
	}
	for _, snap := range []string{snapshotPath(path), oldSnapshotPath(path)} {
		if err := r.setAsideIfThere(snap); err != nil {
			return err
		}
	}
	if err := errors.Join(r.move(mended, path), r.tree.Remove(restored)); err != nil {
		return err
	}
	if len(parts) > 0 {
		for _, part := range slices.Backward(parts) {
			if err := r.setAsideIfThere(part); err != nil {
				return err
			}
		}
		if err := r.tree.Remove(whole); err != nil {
			return err
		}
		r.did("%s: written out with its %d sealed parts, which are set aside", path, len(parts))
	}
	switch {
	case m.marks > 0:
		r.out.Lost = append(r.out.Lost, fmt.Sprintf("%s: lines at %d places; the cart is marked as damaged there", path, m.marks))
	case m.changes == 0 && m.lines == 0:
		return nil
	}
	r.did("%s: %d lines restored from the journal, %d places marked, %d lines without their position", path, m.lines, m.marks, m.changes)
	return nil
}

func (r *repairer) setAsideIfThere(path string) error {
	if _, err := r.tree.Mode(path); isNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	return r.setAside(path)
}

// mender writes one file anew.
type mender struct {
	r       *repairer
	path    string
	kept    string // where its copy is; "" when it was not there
	in      *inspector
	from    vfs.File
	out     *bufio.Writer
	written int64

	run   []rawLine         // damaged ones behind the last usable one
	heads map[string]uint64 // versions of the branches before them
	end   int64             // of what was written, behind the last whole commit

	lines, marks, changes int // restored, not restored, and without their position
}

// pass reads from and writes to. A file that is missing is empty.
func (m *mender) pass(ctx context.Context, from, to string, records []record, visit func(*piece) error, end func() error) (err error) {
	f, size, err := openLog(m.r.tree, from)
	if err != nil {
		return err
	}
	var source io.ReaderAt = byteFile(nil)
	if f != nil {
		source = f
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	out, err := m.r.tree.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	maxLine := m.r.look.opts.MaxLineBytes
	m.in, m.from, m.written, m.end = newInspector(newLineReader(source, size, maxLine), records), f, 0, 0
	m.out = bufio.NewWriterSize(io.NewOffsetWriter(out, 0), blockBytes)
	if err := m.in.run(ctx, visit); err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	if err := m.out.Flush(); err != nil {
		return err
	}
	if err := out.Truncate(m.end); err != nil {
		return err
	}
	return out.Sync()
}

func (m *mender) write(b []byte) error {
	n, err := m.out.Write(b)
	m.written += int64(n)
	return err
}

// copyLine writes a line as it is, however long.
func (m *mender) copyLine(line rawLine) error {
	n, err := io.Copy(m.out, io.NewSectionReader(m.from, line.start, line.end-line.start))
	m.written += n
	return err
}

// restore is the first pass: what the journal has takes the place of what is damaged, and of what differs.
func (m *mender) restore(p *piece) error {
	if p.kind == NewerLine {
		return fmt.Errorf("line %d: %w", p.number, p.why)
	}
	if !p.usable() {
		p.text = nil // the buffer is used again
		m.run = append(m.run, p.rawLine)
		return nil
	}
	if err := m.fill(p.before); err != nil {
		return err
	}
	m.heads[p.ev.Branch] = p.ev.Version
	if p.kind == JournalDiffer {
		m.lines++
		return errors.Join(m.write(m.in.records[m.in.at-1].line), m.write([]byte{'\n'}))
	}
	return m.copyLine(p.rawLine)
}

func (m *mender) restoreEnd() error {
	if err := m.fill(m.in.rest); err != nil {
		return err
	}
	m.end = m.written
	return nil
}

// fill writes the journal's lines in place of the damaged ones that they are. What the journal has is newer than what
// it has not, so that it is the last damaged lines which it replaces; all of them, if its first one is the next version.
func (m *mender) fill(records []record) error {
	stay := max(0, len(m.run)-len(records))
	if len(records) > 0 && stay > 0 {
		var ev eventlog.Event
		if err := m.in.dec.decode(records[0].line, &ev); err == nil && ev.Version == m.heads[ev.Branch]+1 {
			stay = 0
		}
	}
	for _, line := range m.run[:stay] {
		if err := m.copyLine(line); err != nil {
			return err
		}
	}
	m.run = m.run[:0]
	for _, rec := range records {
		if err := errors.Join(m.write(rec.line), m.write([]byte{'\n'})); err != nil {
			return err
		}
		m.lines++
	}
	return nil
}

// mark is the second pass: markers take the place of what is still damaged or missing.
func (m *mender) mark(p *piece) error {
	var err error
	switch {
	case p.marker:
		err = m.copyLine(p.rawLine)
	case p.kind == BadVersion: // its version is there already: nothing is missing
		err = m.marker(0)
	case !p.usable():
		err = m.marker(1)
	default:
		if p.gap > 0 {
			err = m.marker(p.gap)
		} else if p.half {
			err = m.marker(0)
		}
		if pos := p.ev.Position; p.kind == PositionOrder || pos > 0 && m.r.drops[m.path][pos] {
			m.changes++
			err = errors.Join(err, m.write(appendLine(nil, 0, appendFields(nil, &p.ev))))
		} else {
			err = errors.Join(err, m.copyLine(p.rawLine))
		}
	}
	if m.in.end == p.end {
		m.end = m.written
	}
	return err
}

func (m *mender) markEnd() error { return nil }

func (m *mender) marker(versions uint64) error {
	m.marks++
	return m.write(appendMarker(nil, versions, m.kept))
}

// appendMarker appends a marker with its newline.
func appendMarker(dst []byte, versions uint64, kept string) []byte {
	start := len(dst)
	dst = append(dst, markerStart...)
	dst = strconv.AppendUint(dst, versions, 10)
	dst = append(dst, markerKept...)
	dst = appendString(dst, kept)
	return appendSum(dst, start)
}
