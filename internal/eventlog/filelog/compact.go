package filelog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"
)

// CompactOptions configure [Compact].
type CompactOptions struct {
	// MinBytes is how large a stream's file must be to be sealed, and a sixteenth of what is sealed of it already, so that
	// the parts stay few. 0: all is sealed that can be.
	MinBytes int64
	// Progress is told how many of the streams have been looked at, from several goroutines. nil: nobody is.
	Progress func(done, total int)
}

// Compacted tells what [Compact] has done.
type Compacted struct {
	Carts   int       `json:"carts"`   // streams
	Sealed  int       `json:"sealed"`  // of them, that have a new sealed part
	Removed int       `json:"removed"` // files that were of no use
	Before  int64     `json:"before"`  // bytes of the streams' files and sealed parts, and of the files removed
	After   int64     `json:"after"`
	Faults  []Finding `json:"faults"` // in streams that were left as they are
	Seconds float64   `json:"seconds"`
}

// Compact seals what can be of each stream of the log in dir but its last commit, and removes the files that a process
// left which ended too early: those that were not put in their place, and sealed parts that are not in force. It holds
// the log's lock, and completes the streams' files from the journal first, as Open does. The log stays the same, byte
// for byte. A stream with a fault in its file is left as it is.
//
// It can be ended at any point, and run again. The error wraps vfs.ErrLocked when a process is using the log, and
// ErrNoLog when there is none; then nothing is returned beside it.
func Compact(ctx context.Context, dir string, opts CompactOptions) (*Compacted, error) {
	start := time.Now()
	tree, err := vfs.OpenExisting(dir)
	if err != nil {
		return nil, fmt.Errorf("compact %s: %w", dir, err)
	}
	defer tree.Close() // only read
	c := newChecker(tree, CheckOptions{})
	if err := c.something(); err != nil {
		return nil, fmt.Errorf("compact %s: %w", dir, err)
	}
	l, err := Open(dir, Options{FeedRetention: math.MaxInt64}) // how long the feed goes back is for servers to say
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	done := &Compacted{Faults: []Finding{}}
	err = l.compact(ctx, c, opts, done)
	if err = errors.Join(err, l.Close()); err != nil {
		return done, fmt.Errorf("compact %s: %w", dir, err)
	}
	done.Seconds = time.Since(start).Seconds()
	return done, nil
}

func (l *Log) compact(ctx context.Context, c *checker, opts CompactOptions, done *Compacted) error {
	c.survey = &journal.Survey{} // Open has looked at it
	if err := c.walk(); err != nil {
		return err
	}
	for _, path := range c.leftovers {
		if mode, err := c.tree.Mode(path); err != nil || !mode.IsRegular() {
			continue // whatever it is, no process has left it
		}
		size, err := l.discard(path)
		if err != nil {
			return err
		}
		done.Removed++
		done.Before += size
	}
	var (
		mu   sync.Mutex // guards done and looked
		seen int
	)
	done.Carts = len(c.paths)
	return each(verifyWorkers, c.paths, func(path string) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		var s compacted
		err := c.regular(path)
		if errors.Is(err, errNoFile) {
			s.fault, err = &Finding{File: path, Kind: NoFile, Detail: err.Error()}, nil
		} else if err == nil {
			s, err = l.compactStream(ctx, streamAt(path), opts.MinBytes, c.beside[path].sealed)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if s.sealed {
			done.Sealed++
		}
		done.Removed += s.removed
		done.Before += s.before
		done.After += s.after
		if s.fault != nil && len(done.Faults) < maxFindings {
			done.Faults = append(done.Faults, *s.fault)
		}
		if seen++; opts.Progress != nil {
			opts.Progress(seen, len(c.paths))
		}
		return nil
	})
}

// discard removes a file, and returns how large it was.
func (l *Log) discard(path string) (int64, error) {
	f, size, err := openLog(l.fs, path)
	if f == nil || err != nil {
		return 0, err
	}
	return size, errors.Join(f.Close(), l.fs.Remove(path), l.syncDir(parentDir(path)))
}

// discardAll removes those of the files that are there.
func (l *Log) discardAll(paths []string, done *compacted) error {
	for _, path := range paths {
		size, err := l.discard(path)
		if err != nil {
			return err
		}
		if size > 0 {
			done.removed++
			done.before += size
		}
	}
	return nil
}

// compacted is what compactStream has done.
type compacted struct {
	sealed        bool
	removed       int
	before, after int64    // bytes
	fault         *Finding // why it was left as it is
}

// compactStream seals what can be of one stream, which has sealed parts with these numbers. There is no activation of it,
// and nothing queued.
func (l *Log) compactStream(ctx context.Context, id eventlog.StreamID, least int64, numbers []int) (done compacted, err error) {
	s := l.acquire(id)
	defer l.release(s)
	if err := l.recover(ctx, s); err != nil {
		return done, err
	}
	cuts, err := l.planSeal(ctx, s, least, numbers, &done)
	if err != nil || done.fault != nil {
		done.after = done.before
		return done, err
	}
	for _, cut := range cuts {
		sealed, err := l.seal(s, cut)
		if err != nil {
			return done, err
		}
		done.sealed = done.sealed || sealed
	}
	h, err := l.openHistory(s)
	if err != nil {
		return done, err
	}
	done.after = h.bytes()
	return done, h.Close()
}

// planSeal returns the offsets at which the stream is to be sealed: at its newest snapshot, which is found quickly at the
// end of a part, and before its last commit. It removes parts that are not in force, if the file is sound.
func (l *Log) planSeal(ctx context.Context, s *stream, least int64, numbers []int, done *compacted) (cuts []int64, err error) {
	h, err := l.openHistory(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	done.before = h.bytes()
	if h.archived {
		var parts []string
		for _, n := range numbers {
			parts = append(parts, sealedPath(s.path, n))
		}
		return nil, l.discardAll(parts, done)
	}
	if h.live == nil {
		return nil, nil
	}
	beside := append(h.unforced, archivePath(s.path)) // if it is there, a process has ended before it was in force
	last, fault, err := l.lastCommit(ctx, s, h)
	if fault != nil || err != nil {
		done.fault = fault
		return nil, err
	}
	if err := l.discardAll(beside, done); err != nil {
		return nil, err
	}
	if h.size <= least || least > 0 && h.size < h.base/16 {
		return nil, nil
	}
	from := h.base
	if snap, err := readSnapshot(l.fs, snapshotPath(s.path), s.id); snap != nil && err == nil { // a bad one is no matter here
		if snap.Offset < last && snap.Offset-from >= max(1, least) {
			cuts = append(cuts, snap.Offset)
			from = snap.Offset
		}
	}
	if last > from && h.end()-from > least {
		cuts = append(cuts, last)
	}
	return cuts, nil
}

// lastCommit returns where in the log the last commit begins that can be first in a file, and the first fault of the
// stream's file.
func (l *Log) lastCommit(ctx context.Context, s *stream, h *history) (at int64, fault *Finding, err error) {
	more := false
	at = h.base
	in := newInspector(newLineReader(h.live, h.size, l.opts.MaxLineBytes), nil)
	err = in.run(ctx, func(p *piece) error {
		if !p.usable() && !p.marker && fault == nil {
			fault = &Finding{File: s.path, Offset: p.start, Line: p.number, Kind: p.kind, Detail: p.why.Error(), stream: s.path, at: h.base + p.start}
		}
		if !more && p.usable() && p.ev.Position > 0 {
			at = h.base + p.start
		}
		more = p.usable() && p.ev.More
		return nil
	})
	return at, fault, err
}

// bytes returns how much the log takes on the disk.
func (h *history) bytes() int64 {
	n := h.size
	for _, p := range h.sealed {
		n += p.bytes
	}
	return n
}
