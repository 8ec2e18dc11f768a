package filelog

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

const (
	journalDir     = "journal"
	recoverWorkers = 8
	progressEvery  = 2 * time.Second
)

// openJournal completes the streams' files from what a former process left in the journal, and begins a new segment.
// The old ones are not written again: what the page cache shows of them after a failed sync need not be on the disk,
// so all of it is written anew to the streams' files. They stay for readers.
func (l *Log) openJournal() error {
	if err := l.ensureDir(journalDir); err != nil {
		return err
	}
	found, err := journal.Recover(l.fs, journalDir)
	if c, ok := errors.AsType[*journal.CorruptError](err); ok && !errors.Is(err, journal.ErrNewerFormat) {
		return fmt.Errorf("%w: %w; nothing was changed; to go on without what is damaged: cartd repair %s --yes", eventlog.ErrCorrupt, c, l.dir)
	}
	if err != nil {
		return err
	}
	l.metrics.Recovered.Set(float64(len(found.Frames)))
	state := found.State
	if state.ID == (journal.ID{}) {
		position, err := l.highestPosition("event log has no journal")
		if err != nil {
			return err
		}
		state = journal.NewState(position)
	}
	if found.Torn.File != "" {
		if err := l.keepTorn(&found.Torn); err != nil {
			return err
		}
	}
	sync := l.opts.Durability != SyncNever
	kept, err := found.Settle(l.fs, journalDir, sync)
	if err != nil {
		return err
	}
	last, err := l.complete(found)
	if err != nil {
		return err
	}
	if found.Torn.File != "" {
		// Most torn frames were never told to anybody. One that was, and was damaged later, may be in the files.
		highest, err := l.highestPosition("journal had a torn end")
		if err != nil {
			return err
		}
		last = max(last, highest)
	}
	if last > state.Position { // the journal has lost events that the files have: there is no reading on across them
		kept = nil
	}
	state.Position = max(state.Position, last)
	state.Run++
	if err := journal.WriteCheckpoint(l.fs, journalDir, state, sync); err != nil {
		return err
	}
	if len(kept) == 0 {
		if err := found.Remove(l.fs, journalDir, sync); err != nil {
			return err
		}
	}
	l.checkpoints.state, l.checkpoints.done, l.checkpoints.frame = state, state.Position, state.Frame
	l.tail.Advance(state.Position)
	l.incarnation = uuid.UUID(state.ID)
	opened := make(chan struct{})
	l.journal, err = journal.Open(l.fs, journalDir, state, journal.Options{
		SegmentBytes: l.opts.SegmentBytes, Sync: sync,
		Synced: func(d time.Duration) {
			l.synced = d
			l.metrics.SyncDuration.Observe(d.Seconds())
		},
		Reserve: l.space.reserve, Settle: l.space.give, Kept: kept,
		Starved: func(is bool) {
			<-opened
			if is && l.reclaim(1) {
				return // what was let go of is tried first
			}
			l.space.starve(is)
		},
		Failed: func(err error) {
			<-opened
			l.fail(err)
		},
	})
	close(opened)
	return err
}

// keepTorn keeps a copy of the journal's torn end, which goes with its segment.
func (l *Log) keepTorn(torn *journal.Torn) error {
	kept, err := l.quarantine("journal", &sliceReader{rest: torn.Bytes})
	if err != nil {
		return err
	}
	l.metrics.TornTails.Inc()
	l.opts.Logger.Warn("journal had a torn end, which was never acknowledged: it is cut off and kept", "file", torn.File,
		"offset", torn.Offset, "bytes", len(torn.Bytes), "why", torn.Why, "kept", kept)
	return nil
}

type sliceReader struct{ rest []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// tailLines are the lines that the journal has of a stream.
type tailLines struct {
	s     *stream
	parts [][]byte // into the journal's frames
	size  int64
	first uint64 // position of the first line
}

// complete brings the streams' files up to the journal, and to stable storage. It returns the highest position that
// a file has.
func (l *Log) complete(found *journal.Found) (last uint64, err error) {
	if len(found.Frames) == 0 {
		return 0, nil
	}
	start := time.Now()
	tails, err := l.gather(found)
	if err != nil {
		return 0, err
	}
	var (
		mu   sync.Mutex // guards the following, and last
		done int
		told = start
	)
	err = each(recoverWorkers, tails, func(t *tailLines) error {
		highest, _, err := l.refill(t)
		if err != nil {
			return fmt.Errorf("complete %s from the journal: %w", t.s.path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		last = max(last, highest)
		done++
		if time.Since(told) > progressEvery {
			told = time.Now()
			l.opts.Logger.Info("event log is completing files from the journal", "done", done, "of", len(tails))
		}
		return nil
	})
	if err == nil {
		err = l.syncDirs()
	}
	if err != nil {
		return 0, err
	}
	l.opts.Logger.Info("event log was completed from the journal", "frames", len(found.Frames), "files", len(tails),
		"journal_bytes", found.Bytes, "took", time.Since(start))
	return last, nil
}

// gather sorts the frames' lines by stream.
func (l *Log) gather(found *journal.Found) ([]*tailLines, error) {
	tails := make(map[eventlog.StreamID]*tailLines)
	var (
		all []*tailLines
		dec decoder
		ev  eventlog.Event
		bad error
	)
	for i := range found.Frames {
		f := &found.Frames[i]
		err := f.Records(func(r journal.Record) bool {
			id, err := eventlog.ParseStreamID(eventlog.Kind(r.Kind), r.Name)
			if err != nil || !eventlog.ValidName(r.Kind) {
				bad = fmt.Errorf("%w: journal's frame %d is of stream %.80q/%.80q", eventlog.ErrCorrupt, f.Number, r.Kind, r.Name)
				return false
			}
			t := tails[id]
			if t == nil {
				line, err := newLineReader(byteFile(r.Lines), int64(len(r.Lines)), l.opts.MaxLineBytes).next()
				if err == nil {
					err = dec.decode(line.text, &ev)
				}
				if err != nil {
					bad = fmt.Errorf("%w: journal's frame %d, stream %s: %w", eventlog.ErrCorrupt, f.Number, id, err)
					return false
				}
				t = &tailLines{s: newStream(id), first: ev.Position}
				tails[id] = t
				all = append(all, t)
			}
			t.parts = append(t.parts, r.Lines)
			t.size += int64(len(r.Lines))
			return true
		})
		if err = errors.Join(bad, err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// byteFile is a file in memory.
type byteFile []byte

func (b byteFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// refill writes the journal's lines of a stream to its file, behind those that the journal does not have, and syncs
// it. They are written even where they are there already: what the page cache has need not be on the disk. Whatever
// else is there is kept under quarantine/. It returns the highest position in the file when that is beyond the
// journal's, and whether anything was written. Of an archived stream the journal has nothing that its archive lacks.
func (l *Log) refill(t *tailLines) (highest uint64, changed bool, err error) {
	s := t.s
	if archived, err := isArchived(l.fs, s.path); archived || err != nil {
		return 0, false, err
	}
	if err := l.makeDir(s.dir); err != nil {
		return 0, false, err
	}
	l.dirtyDir(s.dir)
	l.dirtyDir(parentDir(s.dir))
	l.dirtyDir(".")
	f, err := l.fs.Create(s.path)
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, false, err
	}
	from, err := l.boundary(f, size, t)
	if err != nil {
		return 0, false, err
	}
	same, err := t.match(f, from, size)
	if err != nil {
		return 0, false, err
	}
	end := from + t.size
	cut := from + same // what is there from here on differs
	if same == t.size && size > end {
		// Lines that the journal has lost: it has shown them, so they were acknowledged.
		rest, err := findTail(io.NewSectionReader(f, end, size-end), size-end, l.opts.MaxLineBytes)
		if err != nil {
			return 0, false, err
		}
		end += rest.end
		cut = end
		if highest, err = l.lastPosition(f, end); err != nil {
			return 0, false, err
		}
	}
	if cut < size {
		if err := l.keepTail(s, f, cut, size); err != nil {
			return 0, false, err
		}
	}
	if size > end {
		if err := f.Truncate(end); err != nil {
			return 0, true, err
		}
	}
	at := from
	for _, part := range t.parts {
		if _, err := f.WriteAt(part, at); err != nil {
			return 0, true, err
		}
		at += int64(len(part))
	}
	return highest, true, l.sync(f)
}

func (l *Log) keepTail(s *stream, f vfs.File, from, size int64) error {
	kept, err := l.quarantine(s.id.Name(), io.NewSectionReader(f, from, size-from))
	if err != nil {
		return err
	}
	l.metrics.TornTails.Inc()
	l.opts.Logger.Warn("event log had a torn tail: it is refilled, and what was there is kept", "stream", s.id.String(),
		"file", s.path, "offset", from, "bytes", size-from, "kept", kept)
	return nil
}

// match returns how many bytes at from are those of the journal's lines.
func (t *tailLines) match(f io.ReaderAt, from, size int64) (same int64, err error) {
	var buf []byte
	for _, part := range t.parts {
		n := min(int64(len(part)), size-from-same)
		if n <= 0 {
			return same, nil
		}
		buf = append(buf[:0], make([]byte, n)...)
		if got, err := f.ReadAt(buf, from+same); int64(got) < n {
			return 0, err
		}
		for i, c := range buf {
			if c != part[i] {
				return same + int64(i), nil
			}
		}
		same += n
	}
	return same, nil
}

// boundary returns where the lines end that the journal does not have: at the journal's first line, or behind the
// last whole commit of an earlier position. As a rule that is near the end; otherwise the whole file is read.
func (l *Log) boundary(f io.ReaderAt, size int64, t *tailLines) (int64, error) {
	at := int64(0)
	_, err := l.scanTail(f, size, t.size+blockBytes, func(line rawLine, ev *eventlog.Event, err error) bool {
		switch {
		case err == nil && ev.Position == t.first:
			at = line.start
			return false
		case errors.Is(err, ErrNewerFormat), err == nil && !ev.More && ev.Position < t.first:
			at = line.end
		}
		return true
	}, func() bool { return at > 0 })
	return at, err
}

// scanTail calls visit for the whole lines within the last window bytes of f, until it returns false; for all lines
// when enough says then that they were too few.
func (l *Log) scanTail(f io.ReaderAt, size, window int64, visit func(rawLine, *eventlog.Event, error) bool, enough func() bool) (whole bool, err error) {
	var (
		dec decoder
		ev  eventlog.Event
	)
	for start := max(0, size-window); ; start = 0 {
		r := newLineReaderAt(io.NewSectionReader(f, start, size-start), start, size, l.opts.MaxLineBytes)
		for first := start > 0; ; first = false {
			line, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return false, err
			}
			if first || !line.whole || line.text == nil { // the first one may be cut
				continue
			}
			if !visit(line, &ev, dec.decode(line.text, &ev)) {
				return start == 0, nil
			}
		}
		if start == 0 || enough() {
			return start == 0, nil
		}
	}
}

// lastPosition returns the position of the last sound line that has one, within the first size bytes.
func (l *Log) lastPosition(f io.ReaderAt, size int64) (last uint64, err error) {
	_, err = l.scanTail(f, size, blockBytes, func(_ rawLine, ev *eventlog.Event, err error) bool {
		if err == nil {
			last = max(last, ev.Position)
		}
		return true
	}, func() bool { return last > 0 })
	return last, err
}

// highestPosition reads the ends of all logs: the journal cannot be asked, but lines may have positions from what is gone
// of it. why says so in the log.
func (l *Log) highestPosition(why string) (highest uint64, err error) {
	var paths []string
	if err := l.walkLogs(func(path string) { paths = append(paths, path) }); err != nil {
		return 0, err
	}
	err = l.walkArchives(func(path string) error {
		log, _ := archivedPath(path)
		p, err := openArchive(l.fs, log)
		if p == nil || err != nil {
			return err
		}
		if p.bad != nil {
			l.opts.Logger.Error(why+", and an archive does not say which positions it has", "file", path, "error", p.bad)
		}
		highest = max(highest, p.End)
		return p.file.Close()
	})
	if err != nil {
		return 0, err
	}
	if len(paths) > 0 {
		l.opts.Logger.Info(why+": looking for the highest position in the files", "files", len(paths))
	}
	var mu sync.Mutex // guards highest
	err = each(recoverWorkers, paths, func(path string) error {
		f, size, err := openLog(l.fs, path)
		if f == nil || err != nil {
			return err
		}
		last, err := l.lastPosition(f, size)
		mu.Lock()
		highest = max(highest, last)
		mu.Unlock()
		return errors.Join(err, f.Close())
	})
	return highest, err
}
