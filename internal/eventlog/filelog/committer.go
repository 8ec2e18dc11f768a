package filelog

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
)

// frameBytes is how large a frame grows before the rest waits for the next one. A larger batch has a frame alone.
const frameBytes = 4 << 20

// share is what one stream has in a frame.
type share struct {
	s        *stream
	b        *batch
	from, to int    // of its lines in the frame
	first    uint64 // position of its first event
	full     bool   // the stream has enough behind for a write of its own
}

// schedule puts the stream on the ready list unless it is there, or being written. It returns ErrClosed or
// ErrFailed when that is too late. s.mu is held: the committer, which takes the stream, waits until the queue is
// filled.
func (l *Log) schedule(s *stream) error {
	if s.scheduled {
		return nil
	}
	l.qmu.Lock()
	defer l.qmu.Unlock()
	if err := l.unusableLocked(); err != nil {
		return err
	}
	s.reference()
	s.scheduled = true
	l.ready = append(l.ready, s)
	if len(l.ready) >= l.wanted {
		l.work.Signal()
	}
	return nil
}

// take returns all streams that have something queued; none when the log is closed and all is decided.
func (l *Log) take(into []*stream) []*stream {
	l.qmu.Lock()
	defer l.qmu.Unlock()
	for len(l.ready) == 0 && !l.closed {
		l.work.Wait()
	}
	into = append(into[:0], l.ready...)
	clear(l.ready)
	l.ready = l.ready[:0]
	return into
}

// round is one frame and those who wait for it.
type round struct {
	frame   journal.Builder
	shares  []share
	err     error           // why nothing is appended, or nobody knows
	unknown bool            // what is there
	took    []time.Duration // by each append that is answered
}

// committer writes what is queued, frame by frame, until Close. It alone writes to the journal.
func (l *Log) committer() {
	var (
		streams []*stream
		r       round
	)
	for {
		if streams = l.take(streams); len(streams) == 0 {
			return
		}
		for rest := streams; len(rest) > 0; {
			l.waitBehind()
			r.frame.Reset(2 * frameBytes)
			r.shares, rest = l.fill(&r.frame, r.shares[:0], rest)
			l.commit(&r)
			clear(r.shares) // lets go of the batches
		}
		clear(streams)
		l.linger(len(streams))
	}
}

// linger lets those who were answered come back, so that one frame takes them all: without it they are on their way
// while the next frame is written, and two halves take turns for ever, with a sync each. Few are given the processor as
// long as that brings appends. Where there are many the processors have enough to do without this goroutine: it sleeps
// until as many as were answered have come, or others in their place, for patience at most.
func (l *Log) linger(answered int) {
	if answered >= many && l.synced > 0 {
		l.await(answered, patience(l.synced))
		runtime.Gosched() // who waits for this processor goes first: the runtime need not take it away during the sync
		return
	}
	last, start := 0, time.Now()
	for {
		runtime.Gosched()
		l.qmu.Lock()
		now := len(l.ready)
		l.qmu.Unlock()
		if now == last || time.Since(start) > l.synced/2 {
			return
		}
		last = now
	}
}

// many is from how many streams on the committer sleeps: fewer are back before it would wake up.
const many = 16

// patience is how long the committer sleeps at most, behind a sync that took so long. Three times as long leaves syncs a
// quarter of the time; of a slow disk it is a millisecond, or a half, for meanwhile most have come. One that has hung is
// not waited for again.
func patience(synced time.Duration) time.Duration {
	return min(max(synced/2, min(3*synced, time.Millisecond)), 10*time.Millisecond)
}

// await returns when streams are ready, so many or those that there are after d. It sleeps until then.
func (l *Log) await(streams int, d time.Duration) {
	l.qmu.Lock()
	defer l.qmu.Unlock()
	l.wanted = streams
	timer := time.AfterFunc(d, func() {
		l.qmu.Lock()
		defer l.qmu.Unlock()
		l.wanted = 0 // if it is another's by now, that one has fewer
		l.work.Signal()
	})
	defer timer.Stop()
	for len(l.ready) < l.wanted && !l.closed {
		l.work.Wait()
	}
	l.wanted = 0
}

// fill takes the queues of streams into the frame, and returns the streams that wait for the next one. What a queue
// holds is completed with its position and its checksum.
func (l *Log) fill(frame *journal.Builder, shares []share, streams []*stream) ([]share, []*stream) {
	next := l.journal.State().Position + 1
	for i, s := range streams {
		s.mu.Lock()
		b := s.queue
		if i > 0 && frame.Len()+len(b.buf) > frameBytes {
			s.mu.Unlock()
			return shares, streams[i:]
		}
		s.queue = nil
		s.mu.Unlock()
		sh := share{s: s, b: b, first: next}
		if len(b.ends) > 0 {
			frame.Begin(string(s.id.Kind()), s.id.Name())
			sh.from = len(frame.Buf)
			from, n := 0, 0
			for j := range b.items {
				it := &b.items[j]
				for range it.events {
					frame.Buf = appendLine(frame.Buf, next, b.buf[from:b.ends[n]])
					from = b.ends[n]
					n++
					next++
				}
				if it.snap != nil {
					it.snap.place(frame.Buf[sh.from:])
				}
			}
			sh.to = len(frame.Buf)
			frame.End(len(b.ends))
		}
		shares = append(shares, sh)
	}
	return shares, nil
}

// commit writes the round's frame, if anything is in it, makes its events visible and tells the outcome.
func (l *Log) commit(r *round) {
	rotated := false
	r.err, r.unknown = nil, false
	if cause := l.Cause(); cause != nil {
		r.err = fmt.Errorf("%w: %w", eventlog.ErrFailed, cause)
	} else if r.frame.Count > 0 {
		rotated, r.err = l.journal.Append(&r.frame)
		switch {
		case errors.Is(r.err, journal.ErrNoRoom) && l.Cause() == nil: // Close has ended the wait for room
			r.err = eventlog.ErrClosed
		case r.err != nil:
			r.unknown = true
			l.fail(r.err)
			r.err = fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, r.err)
		}
	}
	if r.err == nil && r.frame.Count > 0 {
		l.publish(r)
		if !l.flushFew(r.shares) {
			l.scheduleBehind(r.shares)
		}
		l.tail.Advance(l.journal.State().Position)
	}
	if rotated && l.journal.Segments() > l.opts.CheckpointSegments {
		l.kickCheckpoint() // now that the streams of all frames before are known to be dirty
	}
	l.tell(r)
}

// publish makes the events of a frame that is on stable storage visible: they are behind, to be written to their
// streams' files.
func (l *Log) publish(r *round) {
	m, frame, shares := l.metrics, &r.frame, r.shares
	made, bytes := 0, 0
	for i := range shares {
		bytes += shares[i].to - shares[i].from
	}
	l.addBehind(bytes) // before anybody can write them
	for i := range shares {
		sh := &shares[i]
		if len(sh.b.ends) == 0 {
			continue
		}
		s := sh.s
		s.mu.Lock()
		s.behind = appendLines(s.behind, frame.Buf[sh.from:sh.to])
		sh.full = len(s.behind) >= fullBytes
		s.behindTakes += sh.b.takes
		s.end += int64(sh.to - sh.from)
		if !s.exists {
			s.exists = true
			made++
		}
		for j := range sh.b.ends {
			sh.b.owner.positions = append(sh.b.owner.positions, sh.first+uint64(j))
		}
		s.mu.Unlock()
	}
	l.markDirty(shares)
	m.Appends.Add(float64(frame.Count))
	m.BytesWritten.Add(float64(bytes))
	m.FilesExisting.Add(float64(made))
	m.LastAppend.Set(float64(l.opts.Now().UnixMilli()) / 1000)
	m.Frames.Inc()
	m.FrameEvents.Observe(float64(frame.Count))
	m.JournalBytes.Set(float64(l.journal.Bytes()))
}

// fewStreams is how many files are written before their appends are answered, and not behind.
const fewStreams = 4

// flushFew writes the lines of a frame of few streams to their files at once, when nothing else is behind: whoever was
// answered and looks into the file finds what was answered. It reports whether that is done. A file that is in use is
// left to the write behind, and so are all when there is more to do.
func (l *Log) flushFew(shares []share) bool {
	if len(shares) > fewStreams || !l.behind.idle() {
		return false
	}
	done := true
	for i := range shares {
		if len(shares[i].b.ends) == 0 {
			continue
		}
		if s := shares[i].s; s.wmu.TryLock() {
			_ = l.flushLocked(s) // the events are in the journal; the log has failed
			s.wmu.Unlock()
		} else {
			done = false
		}
	}
	return done
}

// tell answers the appends of the round, those of a stream in order, and lets go of what they took.
func (l *Log) tell(r *round) {
	now := time.Since(l.opened)
	r.took = r.took[:0]
	for i := range r.shares {
		sh := &r.shares[i]
		if r.err != nil {
			l.space.give(sh.b.takes)
		}
		for j := range sh.b.items {
			if it := &sh.b.items[j]; r.err == nil && it.err == nil && it.snap == nil {
				r.took = append(r.took, now-it.at)
			}
		}
		l.tellShare(sh, r.err)
		l.finish(sh, r.unknown)
	}
	for _, d := range r.took { // nobody waits for this
		l.metrics.AppendDuration.Observe(d.Seconds())
	}
}

func (l *Log) tellShare(sh *share, err error) {
	next := sh.first
	if err != nil {
		err = fmt.Errorf("append to %s: %w", sh.s.id, err)
	}
	for i := range sh.b.items {
		it := &sh.b.items[i]
		next += uint64(it.events)
		switch {
		case it.snap != nil:
			if err == nil {
				sh.s.mu.Lock()
				it.snap.file.Offset = sh.s.base + sh.s.end - int64(sh.to-sh.from) + it.snap.at
				sh.s.mu.Unlock()
				l.saveLater(it.snap)
			}
			continue
		case it.err != nil:
			it.decided(eventlog.Receipt{}, it.err)
			continue
		case err != nil:
			it.decided(eventlog.Receipt{}, err)
			continue
		case it.events > 0:
			it.receipt.Position = next - 1
		case it.place&queuedPlace != 0:
			sh.s.mu.Lock()
			it.receipt.Position = it.act.position(it.place)
			sh.s.mu.Unlock()
		}
		it.decided(it.receipt, nil)
	}
}

// finish puts the stream on the ready list again, or lets go of it.
func (l *Log) finish(sh *share, unknown bool) {
	s, b := sh.s, sh.b
	size, items := len(b.buf), len(b.items)
	b.free()
	s.mu.Lock()
	s.queued -= size + items*queuedCost
	more := s.queue != nil
	if !more {
		s.scheduled = false
		if s.idle != nil {
			close(s.idle)
			s.idle = nil
		}
	}
	s.mu.Unlock()
	if unknown {
		s.reference() // for good: a new entry would take what was written for decided
	}
	if !more {
		l.release(s)
		return
	}
	l.qmu.Lock()
	defer l.qmu.Unlock()
	l.ready = append(l.ready, s)
	l.work.Signal()
}
