package filelog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cartd/internal/eventlog/filelog/journal"
)

var errNoFile = errors.New("is no regular file")

func doneRecords(rs []record) (n int) {
	for _, r := range rs {
		if r.done {
			n++
		}
	}
	return n
}

// journalLooks is how often a journal that seems to be behind is looked at again: where segments are small and not kept, the
// newest of those that were listed may be gone before it is read.
const journalLooks = 5

// confirm looks a second time at what seemed to be wrong, and keeps what still is.
func (c *checker) confirm(ctx context.Context) error {
	first := c.report
	highest := c.seen.max // before the journal is read again: it has them all
	twice, err := c.places(ctx)
	if err != nil {
		return err
	}
	for path := range c.records { // files that are missing altogether
		if _, there := slices.BinarySearch(c.paths, path); !there && doneRecords(c.records[path]) > 0 {
			c.fault(Finding{File: path, Kind: MissingLine, Detail: "the journal has lines of it, and the file is missing"})
		}
	}
	if err := c.stillNotes(); err != nil {
		return err
	}
	c.holes() // by the journal that was read before the files
	if len(first.Faults) == 0 && highest <= c.survey.End().Position {
		c.report.Faults = append(c.report.Faults, twice...)
		return nil
	}
	suspects := make(map[string]bool)
	for _, f := range first.Faults {
		suspects[f.stream] = true
	}
	delete(suspects, "")
	again := *first
	again.Faults = []Finding{}
	c.second, c.report = true, &again
	if err := c.readJournal(); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(suspects)) {
		if err := c.checkStream(ctx, path); err != nil {
			return err
		}
	}
	again.Events, again.Sealed, again.Archived, again.Snapshots, again.Bytes = first.Events, first.Sealed, first.Archived, first.Snapshots, first.Bytes
	if c.report.Faults, err = c.foundTwice(first.Faults, c.report.Faults); err != nil {
		return err
	}
	c.report.Faults = append(c.report.Faults, twice...)
	end := c.survey.End().Position
	for looks := 0; highest > end && looks < journalLooks; looks++ {
		survey, err := journal.Look(c.tree, journalDir)
		if err != nil {
			return err
		}
		end = max(end, survey.End().Position)
	}
	if highest > end && len(c.report.Faults) == 0 {
		c.fault(Finding{File: journalDir, Kind: JournalBehind, Detail: fmt.Sprintf("it ends at position %d, and a file has position %d", end, highest)})
	}
	return c.excuseTorn()
}

// foundTwice returns what both looks have found, as the second one tells it: lines are sealed, and snapshots grow old,
// meanwhile. What a file's name says is looked at here.
func (c *checker) foundTwice(first, second []Finding) (both []Finding, err error) {
	type same struct {
		file string // or the stream
		at   int64
		kind Kind
	}
	key := func(f Finding) same {
		if f.stream != "" {
			return same{f.stream, f.at, f.Kind}
		}
		return same{f.File, f.Offset, f.Kind}
	}
	now := make(map[same][]Finding)
	for _, f := range second {
		now[key(f)] = append(now[key(f)], f)
	}
	both = []Finding{}
	for _, f := range first {
		missing := f.Kind == MissingLine && f.stream == ""
		if missing || f.Kind == WrongPlace || f.Kind == BadName || f.Kind == NoFile && f.stream == "" {
			_, err := c.tree.Mode(f.File)
			if missing && isNotExist(err) { // it may have been archived meanwhile
				_, err = c.tree.Mode(archivePath(f.File))
			}
			if err != nil && !isNotExist(err) {
				return nil, err
			} else if isNotExist(err) == missing {
				both = append(both, f)
			}
			continue
		}
		if same := now[key(f)]; len(same) > 0 {
			both, now[key(f)] = append(both, same[0]), same[1:]
		}
	}
	return both, nil
}

// stillNotes leaves out the notes of what a process that is at work puts in order by itself.
func (c *checker) stillNotes() error {
	passing := func(f Finding) bool { return f.Kind == Leftover || f.Kind == Unforced }
	if c.alone || !slices.ContainsFunc(c.report.Notes, passing) {
		return nil
	}
	held, err := c.tree.Held(lockName)
	if held {
		c.report.Notes = slices.DeleteFunc(c.report.Notes, passing)
	}
	return err
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
		rs := c.records[f.stream]
		rest := len(rs) > 0 && !rs[len(rs)-1].done
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
	path  string // of the stream's file
	file  string // of the one it is in
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
				faults = append(faults, Finding{File: p.file, Offset: p.start, Line: p.line, Kind: PositionTwice,
					Detail: fmt.Sprintf("position %d is that of a line in %s", pos, owner[pos]), stream: p.path, pos: pos})
			}
		}
	}
	return faults, nil
}

func (c *checker) placesIn(ctx context.Context, path string, at map[uint64][]place) (err error) {
	h, err := c.openStream(path)
	if errors.Is(err, errNoFile) || errors.Is(err, ErrNewerFormat) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close() // only read
	k := &streamCheck{c: c, path: path, h: h, broken: make(map[string]error)}
	return newInspector(h.lines(0, h.end(), c.opts.MaxLineBytes, nil), nil).run(ctx, func(p *piece) error {
		k.move(p.start)
		k.lines++
		if p.usable() && p.kind != PositionOrder {
			if _, ok := c.seen.twice[p.ev.Position]; ok {
				file, start := k.place()
				at[p.ev.Position] = append(at[p.ev.Position], place{path, file, p.start - start, k.lines})
			}
		}
		return nil
	})
}
