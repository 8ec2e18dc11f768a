package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"cartd/internal/eventlog/filelog/vfs"
)

// fileSum is what a file adds to the report.
type fileSum struct {
	events int
	bytes  int64
}

var errNoFile = errors.New("is no regular file")

// openFile opens a stream's file. One that is gone is nil.
func (c *checker) openFile(path string) (vfs.File, int64, error) {
	mode, err := c.tree.Mode(path)
	if isNotExist(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if !mode.IsRegular() { // opening a pipe would wait for who writes to it
		return nil, 0, errNoFile
	}
	return openLog(c.tree, path)
}

// checkFile reads a stream's file beside what the journal has of it.
func (c *checker) checkFile(ctx context.Context, path string) (sum fileSum, err error) {
	f, size, err := c.openFile(path)
	if errors.Is(err, errNoFile) {
		c.fault(Finding{File: path, Kind: NoFile, Detail: err.Error()})
		return sum, nil
	}
	if f == nil || err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	found, err := c.checkLines(ctx, path, f, size)
	for _, f := range found.faults {
		c.fault(f)
	}
	if err != nil {
		return found.fileSum, fmt.Errorf("%s: %w", path, err)
	}
	return found.fileSum, nil
}

// checked is what was found in a stream's file.
type checked struct {
	fileSum
	faults []Finding // at most maxFileFindings
}

// checkLines goes through a stream's file beside what the journal has of it.
func (c *checker) checkLines(ctx context.Context, path string, f io.ReaderAt, size int64) (sum checked, err error) {
	sum.bytes = size
	in := newInspector(f, size, c.opts.MaxLineBytes, c.records[path])
	fault := func(offset int64, line int, kind Kind, detail string) {
		if len(sum.faults) < maxFileFindings {
			sum.faults = append(sum.faults, Finding{File: path, Offset: offset, Line: line, Kind: kind, Detail: detail})
		}
	}
	damaged := 0 // lines since the last sound one
	err = in.run(ctx, func(p *piece) error {
		if p.marker {
			if damaged++; !c.second {
				c.note(Finding{File: path, Offset: p.start, Line: p.number, Kind: KnownDamage, Detail: fmt.Sprintf("stands for what could not be restored: %.200s", p.text)})
			}
			return nil
		}
		if p.kind != "" {
			fault(p.start, p.number, p.kind, p.why.Error())
		}
		if !p.usable() {
			damaged++
			return nil
		}
		sum.events++
		if len(p.before) > damaged {
			fault(p.start, p.number, MissingLine, fmt.Sprintf("the journal has %d lines that belong before it, from position %d on", len(p.before), p.before[0].pos))
		}
		if p.gap > 0 && len(p.before) <= damaged {
			fault(p.start, p.number, VersionGap, fmt.Sprintf("version %d: %d before it are missing", p.ev.Version, p.gap))
		}
		if p.half {
			fault(p.start, p.number, HalfCommit, "the line before it belongs to a commit whose end is missing")
		}
		if pos := p.ev.Position; pos > 0 && p.kind != PositionOrder && !c.second {
			c.seen.add(pos)
		}
		damaged = 0
		return nil
	})
	if err != nil {
		return sum, err
	}
	if in.end < size {
		fault(in.end, in.number+1, Torn, fmt.Sprintf("%d bytes that are no whole commit", size-in.end))
	}
	if lacks := doneRecords(in.rest); lacks > damaged {
		fault(in.end, in.number+1, MissingLine, fmt.Sprintf("the journal has %d lines that the file lacks, from position %d on", lacks, in.rest[0].pos))
	}
	return sum, nil
}

func doneRecords(rs []record) (n int) {
	for _, r := range rs {
		if r.done {
			n++
		}
	}
	return n
}

// confirm looks a second time at what seemed to be wrong, and keeps what still is.
func (c *checker) confirm(ctx context.Context) error {
	first := c.report
	highest := c.seen.max // before the journal is read again: it has them all
	twice, err := c.places(ctx)
	if err != nil {
		return err
	}
	suspects := map[string]bool{}
	for path := range c.records { // files that are missing altogether
		if _, there := slices.BinarySearch(c.paths, path); !there && doneRecords(c.records[path]) > 0 {
			c.fault(Finding{File: path, Kind: MissingLine, Detail: "the journal has lines of it, and the file is missing"})
		}
	}
	for _, f := range first.Faults {
		suspects[f.File] = true
	}
	if len(suspects) == 0 && highest <= c.survey.End().Position {
		c.holes()
		c.report.Faults = append(c.report.Faults, twice...)
		return nil
	}
	c.second = true
	c.report = &Report{Carts: first.Carts, Events: first.Events, Bytes: first.Bytes, Faults: []Finding{}, Notes: first.Notes}
	if err := c.readJournal(); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(suspects)) {
		if _, ok := slices.BinarySearch(c.paths, path); ok {
			if _, err := c.checkFile(ctx, path); err != nil {
				return err
			}
		}
	}
	now := make(map[Finding]bool)
	key := func(f Finding) Finding { return Finding{File: f.File, Offset: f.Offset, Kind: f.Kind} }
	for _, f := range c.report.Faults {
		now[key(f)] = true
	}
	confirmed := slices.DeleteFunc(first.Faults, func(f Finding) bool {
		if f.Kind == WrongPlace || f.Kind == BadName || f.Kind == MissingLine && f.Offset == 0 && f.Line == 0 {
			_, err := c.tree.Mode(f.File)
			return errors.Is(err, fs.ErrNotExist) != (f.Kind == MissingLine)
		}
		return !now[key(f)]
	})
	c.report.Faults = append(confirmed, twice...)
	if end := c.survey.End().Position; highest > end && len(c.report.Faults) == 0 {
		c.fault(Finding{File: journalDir, Kind: JournalBehind, Detail: fmt.Sprintf("it ends at position %d, and a file has position %d", end, highest)})
	}
	c.holes()
	return c.excuseTorn()
}

// excuseTorn makes notes of torn ends that somebody is still writing, or that the journal has the rest of.
func (c *checker) excuseTorn() error {
	if !slices.ContainsFunc(c.report.Faults, func(f Finding) bool { return f.Kind == Torn }) {
		return nil
	}
	held := false
	if !c.alone {
		var err error
		if held, err = c.tree.Held(lockName); err != nil {
			return err
		}
	}
	c.report.Faults = slices.DeleteFunc(c.report.Faults, func(f Finding) bool {
		if f.Kind != Torn {
			return false
		}
		rs := c.records[f.File]
		rest := len(rs) > 0 && !rs[len(rs)-1].done && !strings.HasPrefix(f.File, journalDir+"/")
		switch {
		case held:
			f.Detail += "; a process is at work"
		case rest:
			f.Detail += "; the journal has the rest, and the next start writes it"
		default:
			return false
		}
		c.note(f)
		return true
	})
	return nil
}

// holes notes how many positions are in no file: carts were removed, or lost.
func (c *checker) holes() {
	last := min(c.survey.End().Position, c.seen.max)
	have := c.seen.count(last)
	for _, rs := range c.records {
		for _, r := range rs {
			if r.pos <= last && !c.seen.has(r.pos) {
				have++
			}
		}
	}
	if have < last {
		c.note(Finding{File: ".", Kind: Holes, Detail: fmt.Sprintf("%d of %d positions are in no file: carts were removed, or lines lost", last-have, last)})
	}
}

// place is where a position was found.
type place struct {
	path  string
	start int64
	line  int
}

// places finds the lines whose position another line has too. The journal says which of them is right; if it does not
// know, the first one in the order of the names is taken for that.
func (c *checker) places(ctx context.Context) (faults []Finding, err error) {
	if len(c.seen.twice) == 0 {
		return nil, nil
	}
	at := make(map[uint64][]place)
	for _, path := range c.paths {
		if err := c.placesIn(ctx, path, at); err != nil {
			return nil, err
		}
	}
	owner := make(map[uint64]string)
	for path, rs := range c.records {
		for _, r := range rs {
			if _, ok := at[r.pos]; ok {
				owner[r.pos] = path
			}
		}
	}
	for pos, ps := range at {
		if owner[pos] == "" {
			owner[pos] = ps[0].path
		}
		for _, p := range ps {
			if len(ps) > 1 && p.path != owner[pos] && len(faults) < maxFindings {
				faults = append(faults, Finding{File: p.path, Offset: p.start, Line: p.line, Kind: PositionTwice,
					Detail: fmt.Sprintf("position %d is that of a line in %s", pos, owner[pos]), pos: pos})
			}
		}
	}
	return faults, nil
}

func (c *checker) placesIn(ctx context.Context, path string, at map[uint64][]place) (err error) {
	f, size, err := c.openFile(path)
	if f == nil || errors.Is(err, errNoFile) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return newInspector(f, size, c.opts.MaxLineBytes, nil).run(ctx, func(p *piece) error {
		if p.usable() && p.kind != PositionOrder {
			if _, ok := c.seen.twice[p.ev.Position]; ok {
				at[p.ev.Position] = append(at[p.ev.Position], place{path, p.start, p.number})
			}
		}
		return nil
	})
}
