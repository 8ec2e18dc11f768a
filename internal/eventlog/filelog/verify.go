package filelog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"
)

// Bounds of a report: hostile files can have a fault in every byte.
const (
	maxFindings     = 10_000
	maxFileFindings = 100
)

// verifyWorkers read files at once: decoding is what takes the time.
const verifyWorkers = 4

// ErrNoLog means that a directory holds no event log.
var ErrNoLog = errors.New("directory holds no event log")

// Finding is something that a check has found.
type Finding struct {
	File   string `json:"file"`           // relative to the data directory
	Offset int64  `json:"offset"`         // bytes
	Line   int    `json:"line,omitempty"` // from 1; 0 in files without lines
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"`

	stream string // path of the file of the stream that it is about; "" when it is about none
	at     int64  // in the stream's log: stays when lines are sealed
	pos    uint64 // of PositionTwice
	place  string // of WrongPlace: where the file belongs
	beyond bool   // of SnapshotLog: it stands for more than there is
}

// Report is what [Verify] has seen. It lists at most 10,000 faults, and 100 of one stream.
type Report struct {
	Carts     int       `json:"carts"`     // streams
	Events    int       `json:"events"`    // sound lines in them
	Sealed    int       `json:"sealed"`    // parts of streams that are compressed
	Archived  int       `json:"archived"`  // streams that are archived
	Snapshots int       `json:"snapshots"` // that check out
	Bytes     int64     `json:"bytes"`     // of all that was read
	Faults    []Finding `json:"faults"`
	Notes     []Finding `json:"notes"` // what an operator may want to know, and is no fault
	Seconds   float64   `json:"seconds"`

	Backup   bool   `json:"backup,omitzero"`   // it is of a backup
	Position uint64 `json:"position,omitzero"` // of the last event in the backup
}

// Replayer makes a state of a stream's events, to compare snapshots with. For one goroutine at a time.
type Replayer interface {
	// Apply applies the next event of the stream, damaged ones included. It keeps nothing of ev.Payload.
	Apply(ev eventlog.Event)
	// Compare says what the data of a snapshot tells otherwise than the events so far; "" if nothing. The error means
	// that they cannot be compared, because another program has written one of them.
	Compare(data []byte) (difference string, err error)
}

// CheckOptions configure [Verify], [Repair] and [Export]. The zero value is ready to use.
type CheckOptions struct {
	// MaxLineBytes is that of the log's Options. 0 means 8 MiB.
	MaxLineBytes int
	// Progress is told how many of the streams' files have been read, from several goroutines; total is -1 when nobody
	// knows. nil: nobody is.
	Progress func(done, total int)
	// State returns the stream's state before its first event; nil if it has none that can be compared. It is called
	// from several goroutines. nil: snapshots are compared with the log as far as their data goes, and not beyond.
	State func(id eventlog.StreamID) Replayer
}

// Verify reads all of the event log, or of the backup, in dir and changes nothing. A process may be writing there: what seems to be
// wrong is looked at twice, and what only the journal has so far is no fault. Faults are in the report; the error says
// that it could not look, and wraps ErrNoLog when there is nothing to look at.
func Verify(ctx context.Context, dir string, opts CheckOptions) (*Report, error) {
	tree, err := vfs.OpenExisting(dir)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", dir, err)
	}
	defer tree.Close() // only read
	c := newChecker(tree, opts)
	done, err := c.special(ctx)
	if err == nil && !done {
		err = c.verify(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", dir, err)
	}
	return c.report, nil
}

// tree is a data directory as checks see it.
type tree interface {
	vfs.FS
	// Mode returns what name is, links not followed.
	Mode(name string) (fs.FileMode, error)
	// Held reports whether a process has the lock name.
	Held(name string) (bool, error)
}

// checker looks at a data directory.
type checker struct {
	tree      tree
	opts      CheckOptions
	survey    *journal.Survey
	records   map[string][]record          // by the path of the stream's file
	paths     []string                     // of the streams' files, sorted; those that are missing included
	beside    map[string]beside            // by the path of the stream's file; of those that have anything
	leftovers []string                     // files that were not put in their place
	streams   map[string]eventlog.StreamID // by path; of an export
	seen      positionSet
	second    bool // look, that is
	alone     bool // the lock is ours

	mu     sync.Mutex // guards the following
	report *Report
	done   int // files
}

func newChecker(tree tree, opts CheckOptions) *checker {
	if opts.MaxLineBytes == 0 {
		opts.MaxLineBytes = 8 << 20
	}
	if opts.Progress == nil {
		opts.Progress = func(int, int) {}
	}
	return &checker{tree: tree, opts: opts, report: &Report{Faults: []Finding{}, Notes: []Finding{}}}
}

// verify fills the report.
func (c *checker) verify(ctx context.Context) error {
	start := time.Now()
	if err := c.look(ctx); err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	for _, f := range [][]Finding{c.report.Faults, c.report.Notes} {
		slices.SortStableFunc(f, compareFindings)
	}
	c.report.Seconds = time.Since(start).Seconds()
	return nil
}

func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Kind, b.Kind))
}

func (c *checker) fault(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.report.Faults) < maxFindings {
		c.report.Faults = append(c.report.Faults, f)
	}
}

func (c *checker) note(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.report.Notes) < maxFindings {
		c.report.Notes = append(c.report.Notes, f)
	}
}

// look reads everything once. The journal comes first: what is in a stream's file later may be newer, never older.
func (c *checker) look(ctx context.Context) error {
	if err := c.readJournal(); err != nil {
		return err
	}
	if err := c.walk(); err != nil {
		return err
	}
	c.report.Carts = len(c.paths)
	c.report.Bytes = c.survey.Bytes
	return each(verifyWorkers, c.paths, func(path string) error {
		err := c.checkStream(ctx, path)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.done++
		c.opts.Progress(c.done, len(c.paths))
		return err
	})
}

// readJournal surveys the journal and sorts its lines by stream.
func (c *checker) readJournal() error {
	survey, err := journal.Look(c.tree, journalDir)
	if err != nil {
		return err
	}
	c.survey, c.records = survey, make(map[string][]record)
	for _, f := range survey.Faults {
		c.fault(Finding{File: f.File, Offset: f.Offset, Kind: Kind(f.Kind), Detail: f.Why.Error()})
	}
	if t := &survey.Torn; t.File != "" {
		c.fault(Finding{File: t.File, Offset: t.Offset, Kind: Torn, Detail: fmt.Sprintf("%d bytes that were never acknowledged: %v", len(t.Bytes), t.Why)})
	}
	for i := range survey.Frames {
		if err := c.frame(&survey.Frames[i]); err != nil {
			return err
		}
	}
	return nil
}

// frame adds a frame's lines to the streams' records. One that does not check out was written like that: the frame's
// own checksum is right.
func (c *checker) frame(f *journal.Frame) error {
	var (
		dec decoder
		ev  eventlog.Event
	)
	next := f.First
	bad := func(r journal.Record, why error) {
		kind := JournalLine
		if errors.Is(why, ErrNewerFormat) {
			kind = NewerLine
		}
		c.fault(Finding{File: journalDir, Offset: int64(f.Number), Kind: kind, Detail: fmt.Sprintf("frame %d, stream %.80q/%.80q: %v", f.Number, r.Kind, r.Name, why)})
	}
	return f.Records(func(r journal.Record) bool {
		id, err := eventlog.ParseStreamID(eventlog.Kind(r.Kind), r.Name)
		if err != nil || !eventlog.ValidName(r.Kind) {
			bad(r, errors.New("its name is none"))
			return true
		}
		path := newStream(id).path
		for rest := r.Lines; len(rest) > 0; {
			i := slices.Index(rest, '\n')
			line := rest[:i]
			rest = rest[i+1:]
			if err := dec.decode(line, &ev); err != nil {
				bad(r, err)
			} else if ev.Position != next {
				bad(r, fmt.Errorf("position %d, want %d", ev.Position, next))
			} else {
				c.records[path] = append(c.records[path], record{next, line, c.survey.Checkpointed && f.Number <= c.survey.State.Frame})
			}
			next++
		}
		return true
	})
}
