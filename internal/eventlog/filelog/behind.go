package filelog

import (
	"container/list"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// maxBehindBytes bounds the lines that are in the journal and not yet in their streams' files. The committer waits
// while there are more.
const maxBehindBytes = 64 << 20

// maxSegments bounds the journal, and with it the time that a start takes. The committer waits for the checkpoint
// while there are more segments.
const maxSegments = 8

// behindWriters write lines to the streams' files. More of them do not help: nothing is synced here.
const behindWriters = 2

// behind is what waits to be written to the streams' files.
type behind struct {
	mu     sync.Mutex      // guards the following
	work   sync.Cond       // on mu: any of them has changed
	queue  []*stream       // each once, with a reference
	inHand map[*stream]int // taken from the queue and being written, by how many
	bytes  int
	closed bool
}

func (l *Log) addBehind(n int) {
	l.behind.mu.Lock()
	defer l.behind.mu.Unlock()
	l.behind.bytes += n
	l.metrics.BehindBytes.Set(float64(l.behind.bytes))
	l.behind.work.Broadcast()
}

// waitBehind waits until there is room for more that is behind, in memory and in the journal. A log that has failed writes no more frames.
func (l *Log) waitBehind() {
	l.behind.mu.Lock()
	defer l.behind.mu.Unlock()
	for (l.behind.bytes > maxBehindBytes || l.journal.Segments() > maxSegments) && l.Cause() == nil {
		l.behind.work.Wait()
	}
}

func (l *Log) scheduleBehind(s *stream) {
	l.behind.mu.Lock()
	defer l.behind.mu.Unlock()
	if s.waits {
		return
	}
	l.reference(s)
	s.waits = true
	l.behind.queue = append(l.behind.queue, s)
	l.behind.work.Broadcast()
}

// writeBehind writes lines to the streams' files until Close has ended it and none are left.
func (l *Log) writeBehind() {
	b := &l.behind
	for {
		b.mu.Lock()
		for len(b.queue) == 0 && !b.closed {
			b.work.Wait()
		}
		if len(b.queue) == 0 {
			b.mu.Unlock()
			return
		}
		s := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		s.waits = false
		b.inHand[s]++
		b.mu.Unlock()
		_ = l.flush(s) // who needs the file asks again; the log has failed
		b.mu.Lock()
		if b.inHand[s]--; b.inHand[s] == 0 {
			delete(b.inHand, s)
		}
		b.mu.Unlock()
		l.release(s)
	}
}

// flushBehind returns when the streams' files have all events up to the position that l.published had before the call.
// Appends go on meanwhile, and wait for nothing but the file that is being written, if it is theirs.
func (l *Log) flushBehind() error {
	b := &l.behind
	b.mu.Lock()
	streams := slices.AppendSeq(slices.Clone(b.queue), maps.Keys(b.inHand))
	l.mu.Lock()
	for _, s := range streams {
		s.refs++
	}
	l.mu.Unlock()
	b.mu.Unlock()
	var errs error
	for _, s := range streams {
		if errs == nil {
			errs = l.flush(s)
		}
		l.release(s)
	}
	return errs
}

// flush writes what is behind for s to its file. After a failure the file is never written again, and the log has
// failed; the events stay in the journal.
func (l *Log) flush(s *stream) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return l.flushLocked(s)
}

// flushLocked is flush with s.wmu held.
func (l *Log) flushLocked(s *stream) error {
	if s.broken != nil {
		return fmt.Errorf("%w: %w", eventlog.ErrFailed, s.broken)
	}
	s.mu.Lock()
	buf, takes := s.behind, s.behindTakes
	at := s.end - int64(len(buf))
	s.behind, s.behindTakes = nil, 0
	s.mu.Unlock()
	if len(buf) == 0 {
		return nil
	}
	err := l.writeLines(s, buf, at)
	l.space.give(takes)
	l.addBehind(-len(buf))
	if err != nil {
		s.broken = err
		l.reference(s) // for good: a new entry would take the file for whole
		l.fail(err)
		return fmt.Errorf("%w: %w", eventlog.ErrFailed, err)
	}
	return nil
}

func (l *Log) writeLines(s *stream, buf []byte, at int64) error {
	f, err := l.writable(s, at == 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(buf, at)
	return err
}

// writable returns the stream's file, open for writing, and made if fresh is set. It stays open until it is one of
// those that were not used for longest. s.wmu is held.
func (l *Log) writable(s *stream, fresh bool) (vfs.File, error) {
	if s.file != nil {
		l.files.touch(s)
		return s.file, nil
	}
	var err error
	if fresh {
		if err = l.makeDir(s.dir); err != nil {
			return nil, err
		}
		s.fresh = true
		s.file, err = l.fs.Create(s.path)
	} else {
		s.file, err = l.fs.OpenWrite(s.path)
	}
	if err != nil {
		s.file = nil
		return nil, err
	}
	l.reference(s) // of the open file
	return s.file, l.trim(l.files.add(s))
}

// trim closes files until as many are open as may be. Those in use are passed over.
func (l *Log) trim(over bool) error {
	for over {
		var victim *stream
		victim, over = l.files.evict()
		if victim == nil {
			return nil
		}
		f := victim.file
		victim.file = nil
		victim.wmu.Unlock()
		l.release(victim)
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// openFiles are the streams whose files are open for writing, the one used last in front.
type openFiles struct {
	most int

	mu   sync.Mutex // guards the following
	list list.List
	at   map[*stream]*list.Element
}

func (o *openFiles) touch(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list.MoveToFront(o.at[s])
}

// add reports whether there are too many now.
func (o *openFiles) add(s *stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at[s] = o.list.PushFront(s)
	return o.list.Len() > o.most
}

// evict takes a stream out, with its wmu held; nil when all of them are in use.
func (o *openFiles) evict() (s *stream, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.list.Back(); e != nil; e = e.Prev() {
		s := e.Value.(*stream)
		if s.wmu.TryLock() {
			o.list.Remove(e)
			delete(o.at, s)
			return s, o.list.Len() > o.most
		}
	}
	return nil, false
}

func (o *openFiles) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.list.Len()
}

// closeFiles closes all files when nobody uses them any more.
func (l *Log) closeFiles() error {
	var errs []error
	for {
		s, _ := l.files.evict()
		if s == nil {
			return errors.Join(errs...)
		}
		errs = append(errs, s.file.Close())
		s.file = nil
		s.wmu.Unlock()
		l.release(s)
	}
}
