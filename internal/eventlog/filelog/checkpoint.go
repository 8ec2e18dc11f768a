package filelog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"cartd/internal/eventlog/filelog/journal"
)

// checkpointSyncs is how many files a checkpoint syncs at once: beyond, the disk gains nothing.
const checkpointSyncs = 16

// maxDirty is how many streams are written before a checkpoint is made: they are in memory until then.
const maxDirty = 1 << 16

// checkpoints know what the streams' files lack of the journal.
type checkpoints struct {
	kick    chan struct{} // capacity 1: asks for a checkpoint; when it is full one is due anyway
	running sync.Mutex    // held while one is made

	mu    sync.Mutex // guards the following
	dirty []*stream  // written since the last checkpoint, each once, with a reference
	dirs  map[string]struct{}
	state journal.State // of the journal, with all streams of its frames in dirty
	done  uint64        // position up to which the streams' files are on stable storage
	frame uint64        // number of the last frame up to there
}

// markDirty notes the streams of a frame that has been written.
func (l *Log) markDirty(shares []share) {
	c := &l.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = l.journal.State()
	for i := range shares {
		if s := shares[i].s; len(shares[i].b.ends) > 0 && !s.dirty {
			s.dirty = true
			s.reference()
			c.dirty = append(c.dirty, s)
		}
	}
	if len(c.dirty) > maxDirty {
		l.kickCheckpoint()
	}
}

// checkpointed returns the position up to which the streams' files are on stable storage and the journal is not needed.
func (l *Log) checkpointed() uint64 {
	l.checkpoints.mu.Lock()
	defer l.checkpoints.mu.Unlock()
	return l.checkpoints.done
}

func (l *Log) kickCheckpoint() {
	select {
	case l.checkpoints.kick <- struct{}{}:
	default:
	}
}

// checkpointer makes a checkpoint whenever a segment is full. In between it looks for segments that have become old.
func (l *Log) checkpointer() {
	var old <-chan time.Time
	if l.opts.FeedRetention > 0 {
		tick := time.NewTicker(max(time.Second, min(l.opts.FeedRetention/64, time.Hour)))
		defer tick.Stop()
		old = tick.C
	}
	for {
		do := l.checkpoint
		select {
		case <-l.stop:
			return
		case <-l.checkpoints.kick:
		case <-old:
			do = l.retire
		}
		if l.Cause() != nil {
			return
		}
		if err := do(); err != nil {
			l.fail(err)
			return
		}
	}
}

// checkpoint brings the streams' files to stable storage, records that, and lets go of the segments which nobody
// needs any more.
func (l *Log) checkpoint() error {
	c := &l.checkpoints
	c.running.Lock()
	defer c.running.Unlock()
	start := time.Now()
	c.mu.Lock()
	state, dirty := c.state, c.dirty
	c.dirty = nil
	for _, s := range dirty {
		s.dirty = false
	}
	c.mu.Unlock()
	err := each(checkpointSyncs, dirty, l.syncStream)
	for _, s := range dirty {
		l.release(s)
	}
	if err == nil {
		err = l.syncDirs()
	}
	if err == nil {
		err = l.journal.Checkpoint(state)
	}
	if err == nil {
		c.mu.Lock()
		c.done, c.frame = state.Position, state.Frame
		c.mu.Unlock()
		err = l.retire()
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	l.addBehind(0) // the committer may wait for it
	l.metrics.CheckpointDuration.Observe(time.Since(start).Seconds())
	l.metrics.JournalBytes.Set(float64(l.journal.Bytes()))
	l.metrics.OpenFiles.Set(float64(l.files.len()))
	return nil
}

// syncStream brings the stream's file to stable storage, its name excepted.
func (l *Log) syncStream(s *stream) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if err := l.flushLocked(s); err != nil {
		return err
	}
	if l.opts.Durability == SyncNever {
		return nil
	}
	f, err := l.writable(s, false)
	if err != nil {
		return err
	}
	if !s.fresh {
		return f.Datasync()
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.fresh = false
	l.dirtyDir(s.dir)
	return nil
}

func (l *Log) dirtyDir(dir string) {
	l.checkpoints.mu.Lock()
	defer l.checkpoints.mu.Unlock()
	l.checkpoints.dirs[dir] = struct{}{}
}

// syncDirs brings the names of new files and directories to stable storage.
func (l *Log) syncDirs() error {
	c := &l.checkpoints
	c.mu.Lock()
	var dirs []string
	for dir := range c.dirs {
		dirs = append(dirs, dir)
	}
	clear(c.dirs)
	c.mu.Unlock()
	slices.Sort(dirs)
	return each(checkpointSyncs, dirs, l.syncDir)
}

// makeDir makes dir and those above it. Their names are on stable storage after the next checkpoint.
func (l *Log) makeDir(dir string) error {
	l.mu.Lock()
	_, done := l.dirs[dir]
	l.mu.Unlock()
	if done {
		return nil
	}
	if parent := parentDir(dir); parent != "." {
		if err := l.makeDir(parent); err != nil {
			return err
		}
	}
	if err := l.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	l.dirtyDir(parentDir(dir))
	l.mu.Lock()
	l.dirs[dir] = struct{}{}
	l.mu.Unlock()
	return nil
}

// each calls do for all of xs, so many at once, and returns the first error; after one it begins no more.
func each[X any](workers int, xs []X, do func(X) error) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards the following
		next  int
		first error
	)
	for range min(workers, len(xs)) {
		wg.Go(func() {
			for {
				mu.Lock()
				if next == len(xs) || first != nil {
					mu.Unlock()
					return
				}
				x := xs[next]
				next++
				mu.Unlock()
				if err := do(x); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}
