package filelog

import (
	"context"
	"errors"
	"fmt"
	"math"

	"cartd/internal/eventlog"
)

// streamCheck looks at one stream: its log, over sealed parts and file, beside what the journal has of it; and its
// snapshots.
type streamCheck struct {
	c       *checker
	path    string
	h       *history
	faults  []Finding
	broken  map[string]error // by path: sealed parts that cannot be read in whole
	damaged int              // lines since the last sound one

	part  int    // that the line at hand is in; the file comes behind all of them
	lines int    // of the part so far
	last  line32 // the part's last line
	hole  bool   // between the last sound line and the one at hand a part is broken
}

func newStreamCheck(c *checker, path string) *streamCheck {
	return &streamCheck{c: c, path: path, broken: make(map[string]error)}
}

// checkStream checks what there is of a stream, and adds it to the report.
func (c *checker) checkStream(ctx context.Context, path string) error {
	k := newStreamCheck(c, path)
	err := k.check(ctx)
	for i, f := range k.faults {
		if i == maxFileFindings {
			break
		}
		c.fault(f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (k *streamCheck) check(ctx context.Context) error {
	c := k.c
	snaps, err := k.readSnapshots() // before the log, which has all that they stand for
	if err != nil {
		return err
	}
	h, err := c.openStream(k.path)
	switch {
	case errors.Is(err, errNoFile):
		if !c.beside[k.path].odd { // or it is told already
			k.fault(k.path, 0, 0, NoFile, 0, err.Error())
		}
		return nil
	case errors.Is(err, ErrNewerFormat):
		k.fault(k.path, 0, 0, NewerLine, 0, err.Error())
		return nil
	case err != nil:
		return err
	}
	defer h.Close() // only read
	k.h = h
	k.wholeFiles()
	in := newInspector(h.lines(0, h.end(), c.opts.MaxLineBytes, k.cannotRead), c.records[k.path])
	events := 0
	if err := in.run(ctx, func(p *piece) error {
		k.piece(p, &events)
		return nil
	}); err != nil {
		return err
	}
	k.end(in)
	k.brokenParts()
	checked, err := k.compare(ctx, in, snaps)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Events += events
	c.report.Bytes += h.size
	for _, p := range h.sealed {
		c.report.Bytes += p.bytes
	}
	if h.archived {
		c.report.Archived++
	} else {
		c.report.Sealed += len(h.sealed)
	}
	c.report.Snapshots += checked
	return err
}

// openStream opens all of a stream's log. The error wraps errNoFile if a part of it is no regular file.
func (c *checker) openStream(path string) (*history, error) {
	if err := c.regular(path); err != nil {
		return nil, err
	}
	h, err := openParts(c.tree, path, c.beside[path].sealed, c.opts.MaxLineBytes)
	if err == nil && h.live != nil && c.beside[path].archived {
		h.unforced = append(h.unforced, archivePath(path))
	}
	return h, err
}

// regular returns errNoFile if a part of the stream's log is there and no regular file: opening a pipe would wait for who
// writes to it.
func (c *checker) regular(path string) error {
	mode, err := c.tree.Mode(path)
	if isNotExist(err) {
		mode, err = 0, nil
	}
	if err == nil && (c.beside[path].odd || !mode.IsRegular()) {
		err = errNoFile
	}
	return err
}

// fault notes a fault at byte at of the log.
func (k *streamCheck) fault(file string, offset int64, line int, kind Kind, at int64, detail string) {
	if len(k.faults) < maxFindings {
		k.faults = append(k.faults, Finding{File: file, Offset: offset, Line: line, Kind: kind, Detail: detail, stream: k.path, at: at})
	}
}

// lineFault is fault for the line that begins at byte at, which is the one at hand or follows it.
func (k *streamCheck) lineFault(at int64, line int, kind Kind, detail string) {
	file, start := k.place()
	k.fault(file, at-start, line, kind, at, detail)
}

// place returns the file of the line at hand, and where it begins in the log.
func (k *streamCheck) place() (file string, start int64) {
	if k.part < len(k.h.sealed) {
		p := k.h.sealed[k.part]
		return p.path, p.Offset
	}
	return k.path, k.h.base
}

// wholeFiles looks for files that should be there, and for parts that are there twice.
func (k *streamCheck) wholeFiles() {
	for _, path := range k.h.unforced {
		k.c.note(Finding{File: path, Kind: Unforced, Detail: "the lines of this sealed part are in the stream's file or archive too, where they are read", stream: k.path})
	}
	if k.h.live == nil && len(k.h.sealed) > 0 && !k.h.archived {
		k.fault(k.path, 0, 0, SealedAlone, k.h.base, fmt.Sprintf("%d sealed parts are there, and the file that goes on behind them is missing", len(k.h.sealed)))
	}
}

// cannotRead is told of a sealed part when its lines are behind, and before the next part's are read.
func (k *streamCheck) cannotRead(path string, _ int64, err error) { k.broken[path] = err }

// brokenParts makes one fault of all that is wrong within a part that cannot be read in whole.
func (k *streamCheck) brokenParts() {
	if len(k.broken) == 0 {
		return
	}
	found := k.faults
	k.faults = nil
	for _, p := range k.h.sealed {
		if err, ok := k.broken[p.path]; ok {
			kind := BadSealed
			if p.file == nil {
				kind = SealedMissing
			}
			k.fault(p.path, 0, 0, kind, p.Offset, err.Error())
		}
	}
	for _, f := range found {
		if _, ok := k.broken[f.File]; !ok {
			k.faults = append(k.faults, f)
		}
	}
}

// move goes to the part that byte at of the log is in.
func (k *streamCheck) move(at int64) {
	for k.part < len(k.h.sealed) && at >= k.h.sealed[k.part].Offset+k.h.sealed[k.part].Bytes {
		k.leave(k.h.sealed[k.part])
		k.part++
		k.lines, k.last = 0, line32{}
	}
}

// leave compares a part that was read with its label.
func (k *streamCheck) leave(p *sealedPart) {
	var why string
	switch {
	case k.broken[p.path] != nil:
		k.hole = true
		return
	case p.Lines != uint64(k.lines):
		why = fmt.Sprintf("its label says %d lines, it has %d", p.Lines, k.lines)
	case p.Last != k.last:
		why = "its label tells of another last line"
	case p.says != p.Offset && len(k.broken) == 0:
		why = fmt.Sprintf("its label says that it begins at byte %d of the log, it is byte %d", p.says, p.Offset)
	default:
		return
	}
	k.cannotRead(p.path, p.Offset, fmt.Errorf("%w: %s", errSealed, why))
	k.hole = true
}

// piece looks at the next line.
func (k *streamCheck) piece(p *piece, events *int) {
	k.move(p.start)
	k.lines++
	if k.part < len(k.h.sealed) {
		if s := k.h.sealed[k.part]; p.end == s.Offset+s.Bytes {
			k.last = line32Of(p.text)
		}
	}
	if p.marker {
		if k.damaged++; !k.c.second {
			file, start := k.place()
			k.c.note(Finding{File: file, Offset: p.start - start, Line: k.lines, Kind: KnownDamage, Detail: fmt.Sprintf("stands for what could not be restored: %.200s", p.text), stream: k.path})
		}
		return
	}
	if p.kind != "" {
		k.lineFault(p.start, k.lines, p.kind, p.why.Error())
	}
	if !p.usable() {
		k.damaged++
		return
	}
	*events++
	k.between(p)
	if pos := p.ev.Position; pos > 0 && p.kind != PositionOrder && !k.c.second {
		k.c.seen.add(pos)
	}
	k.damaged, k.hole = 0, false
}

// between looks at what is missing in front of a sound line. What a broken part explains is told with that part.
func (k *streamCheck) between(p *piece) {
	if k.hole {
		return
	}
	switch {
	case len(p.before) > k.damaged:
		k.lineFault(p.start, k.lines, MissingLine, fmt.Sprintf("the journal has %d lines that belong before it, from position %d on", len(p.before), p.before[0].pos))
	case p.gap > 0:
		k.lineFault(p.start, k.lines, VersionGap, fmt.Sprintf("version %d: %d before it are missing", p.ev.Version, p.gap))
	case k.lines == 1 && k.part > 0 && p.ev.Position != k.h.sealed[k.part-1].Next:
		s := k.h.sealed[k.part-1]
		k.cannotRead(s.path, s.Offset, fmt.Errorf("%w: its label says that position %d follows, it is %d", errSealed, s.Next, p.ev.Position))
	}
	if p.half {
		k.lineFault(p.start, k.lines, HalfCommit, "the line before it belongs to a commit whose end is missing")
	}
}

// end looks at how the log ends.
func (k *streamCheck) end(in *inspector) {
	k.move(math.MaxInt64)
	behind := k.lines + 1
	if end := k.h.end(); in.end < end {
		k.lineFault(in.end, behind, Torn, fmt.Sprintf("%d bytes that are no whole commit", end-in.end))
	}
	if k.hole || k.h.live == nil && len(k.h.sealed) > 0 && !k.h.archived {
		return
	}
	if lacks := doneRecords(in.rest); lacks > k.damaged {
		k.lineFault(in.end, behind, MissingLine, fmt.Sprintf("the journal has %d lines that the file lacks, from position %d on", lacks, in.rest[0].pos))
	}
}

// sound returns up to where the log can be trusted.
func (k *streamCheck) sound() int64 {
	at := int64(math.MaxInt64)
	for _, f := range k.faults {
		if f.Kind != Torn {
			at = min(at, f.at)
		}
	}
	return at
}

// id returns the stream.
func (k *streamCheck) id() eventlog.StreamID { return streamAt(k.path) }
