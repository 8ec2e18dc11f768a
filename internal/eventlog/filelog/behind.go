package filelog

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cartd/internal/eventlog"
)

const (
	// maxBehindBytes bounds the lines that are in the journal and not yet in their streams' files. The committer
	// waits while there are more.
	maxBehindBytes = 64 << 20
	// someBehindBytes is from when on nothing is kept back: what has waited longest is written first.
	someBehindBytes = 16 << 20
	// fullBytes is how much a stream has behind when that is worth a write of its own.
	fullBytes = 16 << 10
	// behindDelay is how long less than that is kept back, twice as long at most: a cart that is busy gets several
	// lines with one write. A write of one line takes as long as a commit takes of the processor otherwise.
	behindDelay = 500 * time.Millisecond
)

// maxSegments bounds the journal, and with it the time that a start takes. The committer waits for the checkpoint
// while there are more segments.
const maxSegments = 8

// behindWriters write lines to the streams' files. More of them do not help: nothing is synced here.
const behindWriters = 2

// behind is what waits to be written to the streams' files.
type behind struct {
	mu     sync.Mutex      // guards the following
	work   sync.Cond       // on mu, for those who write: there is work, or closed has changed
	room   sync.Cond       // on mu, for the committer: bytes or the journal have become less, or the log has failed
	timer  *time.Timer     // of work: the first in queue is due
	full   []*stream       // each once, with a reference: they have fullBytes
	queue  []waiting       // each stream once, with a reference, oldest first
	inHand map[*stream]int // taken and being written, by how many
	bytes  int
	closed bool
}

// waiting is a stream that is behind since some time.
type waiting struct {
	s     *stream
	since time.Time
}

func (b *behind) init() {
	b.work.L, b.room.L = &b.mu, &b.mu
	b.inHand = make(map[*stream]int)
	b.timer = time.AfterFunc(behindDelay, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.work.Signal()
	})
	b.timer.Stop()
}

func (b *behind) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.timer.Stop()
	b.work.Broadcast()
}

func (l *Log) addBehind(n int) {
	l.behind.mu.Lock()
	defer l.behind.mu.Unlock()
	l.behind.bytes += n
	l.metrics.BehindBytes.Set(float64(l.behind.bytes))
	l.behind.room.Signal()
}

// waitBehind waits until there is room for more that is behind, in memory and in the journal. A log that has failed writes no more frames.
func (l *Log) waitBehind() {
	l.behind.mu.Lock()
	defer l.behind.mu.Unlock()
	for (l.behind.bytes > maxBehindBytes || l.journal.Segments() > maxSegments) && l.Cause() == nil {
		l.behind.room.Wait()
	}
}

// scheduleBehind queues the streams of a frame, whose lines are behind now.
func (l *Log) scheduleBehind(shares []share) {
	b := &l.behind
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	wake := len(b.queue) == 0 || b.bytes > someBehindBytes
	for i := range shares {
		s := shares[i].s
		if len(shares[i].b.ends) == 0 {
			continue
		}
		if shares[i].full && !s.full {
			s.reference()
			s.full = true
			b.full = append(b.full, s)
			wake = true
		}
		if !s.waits {
			s.reference()
			s.waits = true
			b.queue = append(b.queue, waiting{s, now})
		}
	}
	if wake {
		b.work.Signal()
	}
}

// idle reports whether nothing waits to be written.
func (b *behind) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) == 0
}

// next waits for a stream that is to be written, and takes it; nil when Close has ended that and none are left.
func (b *behind) next() *stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		now := time.Now()
		s, wait := b.take(now)
		switch {
		case s != nil:
			b.inHand[s]++
			if b.closed || len(b.full) > 0 || b.bytes > someBehindBytes {
				b.work.Signal() // enough for another one
			}
			return s
		case wait > 0:
			b.timer.Reset(wait)
		case b.closed:
			return nil
		}
		b.work.Wait()
	}
}

// written says that what next has returned was written.
func (b *behind) written(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inHand[s]--; b.inHand[s] == 0 {
		delete(b.inHand, s)
	}
}

// take takes a stream that is to be written now. Without one it returns how long the first in queue has to wait; 0
// when there is none. mu is held.
func (b *behind) take(now time.Time) (s *stream, wait time.Duration) {
	if last := len(b.full) - 1; last >= 0 {
		s, b.full[last] = b.full[last], nil
		b.full = b.full[:last]
		s.full, s.written = false, now
		return s, 0
	}
	for len(b.queue) > 0 {
		first := b.queue[0]
		hurry := b.closed || b.bytes > someBehindBytes
		if wait := behindDelay - now.Sub(first.since); wait > 0 && !hurry {
			return nil, wait
		}
		b.queue[0] = waiting{}
		b.queue = b.queue[1:]
		if first.s.written.After(first.since) && !hurry { // it was full meanwhile: what it has now is younger
			b.queue = append(b.queue, waiting{first.s, first.s.written})
			continue
		}
		first.s.waits = false
		return first.s, 0
	}
	return nil, 0
}

// writeBehind writes lines to the streams' files until Close has ended it and none are left.
func (l *Log) writeBehind() {
	for {
		s := l.behind.next()
		if s == nil {
			return
		}
		_ = l.flush(s) // who needs the file asks again; the log has failed
		l.behind.written(s)
		l.release(s)
	}
}

// flushBehind returns when the streams' files have all events up to the Head that the log had before the call.
// Appends go on meanwhile, and wait for nothing but the file that is being written, if it is theirs.
func (l *Log) flushBehind() error {
	b := &l.behind
	b.mu.Lock()
	streams := slices.AppendSeq(slices.Clone(b.full), maps.Keys(b.inHand))
	for _, w := range b.queue {
		streams = append(streams, w.s)
	}
	for _, s := range streams {
		s.reference()
	}
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
	dropLines(buf)
	if err != nil {
		s.broken = err
		s.reference() // for good: a new entry would take the file for whole
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
