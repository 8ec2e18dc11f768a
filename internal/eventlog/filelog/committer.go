package filelog

import (
	"errors"
	"fmt"
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
	l.reference(s)
	s.scheduled = true
	l.ready = append(l.ready, s)
	l.work.Signal()
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

// committer writes what is queued, frame by frame, until Close. It alone writes to the journal.
func (l *Log) committer() {
	var (
		streams []*stream
		shares  []share
		frame   journal.Builder
	)
	for {
		if streams = l.take(streams); len(streams) == 0 {
			return
		}
		for rest := streams; len(rest) > 0; {
			l.waitBehind()
			frame.Reset(2 * frameBytes)
			shares, rest = l.fill(&frame, shares[:0], rest)
			l.commit(&frame, shares)
			clear(shares) // lets go of the batches
		}
		clear(streams)
	}
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
					it.snap.at = int64(len(frame.Buf) - sh.from)
				}
			}
			sh.to = len(frame.Buf)
			frame.End(len(b.ends))
		}
		shares = append(shares, sh)
	}
	return shares, nil
}

// commit writes the frame, makes its events visible and tells the outcome.
func (l *Log) commit(frame *journal.Builder, shares []share) {
	err := l.Cause()
	written := false
	if err == nil && frame.Count > 0 {
		var rotated bool
		rotated, err = l.journal.Append(frame)
		switch {
		case errors.Is(err, journal.ErrNoRoom) && l.Cause() == nil: // Close has ended the wait for room
			err = eventlog.ErrClosed
		case err != nil:
			written = true
			l.fail(err)
			err = fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, err)
		}
		if rotated {
			l.kickCheckpoint()
		}
	} else if err != nil {
		err = fmt.Errorf("%w: %w", eventlog.ErrFailed, err)
	}
	if err == nil && frame.Count > 0 {
		l.publish(frame, shares)
		l.flushFew(shares)
	}
	for i := range shares {
		sh := &shares[i]
		if err != nil {
			l.space.give(sh.b.takes)
		}
		l.tell(sh, err)
		l.finish(sh, written)
	}
}

// publish makes the events of a frame that is on stable storage visible: they are behind, to be written to their
// streams' files.
func (l *Log) publish(frame *journal.Builder, shares []share) {
	m := l.metrics
	made := 0
	for i := range shares {
		sh := &shares[i]
		if len(sh.b.ends) == 0 {
			continue
		}
		s := sh.s
		size := sh.to - sh.from
		l.addBehind(size)
		s.mu.Lock()
		s.behind = append(s.behind, frame.Buf[sh.from:sh.to]...)
		s.behindTakes += sh.b.takes
		s.end += int64(size)
		if !s.exists {
			s.exists = true
			made++
		}
		for j := range sh.b.ends {
			sh.b.owner.positions = append(sh.b.owner.positions, sh.first+uint64(j))
		}
		s.mu.Unlock()
		m.BytesWritten.Add(float64(size))
	}
	l.markDirty(shares)
	for i := range shares {
		if len(shares[i].b.ends) > 0 {
			l.scheduleBehind(shares[i].s)
		}
	}
	l.tail.Advance(l.journal.State().Position)
	m.Appends.Add(float64(frame.Count))
	m.FilesExisting.Add(float64(made))
	m.LastAppend.Set(float64(l.opts.Now().UnixMilli()) / 1000)
	m.Frames.Inc()
	m.FrameEvents.Observe(float64(frame.Count))
	m.JournalBytes.Set(float64(l.journal.Bytes()))
}

// fewStreams is how many files are written before their appends are answered, and not behind.
const fewStreams = 4

// flushFew writes the lines of a frame of few streams to their files at once: when there is little to do, whoever was
// answered and looks into the file finds what was answered. A file that is in use is left to the write behind.
func (l *Log) flushFew(shares []share) {
	if len(shares) > fewStreams {
		return
	}
	for i := range shares {
		if s := shares[i].s; len(shares[i].b.ends) > 0 && s.wmu.TryLock() {
			_ = l.flushLocked(s) // the events are in the journal; the log has failed
			s.wmu.Unlock()
		}
	}
}

// tell answers the appends of the share in order.
func (l *Log) tell(sh *share, err error) {
	now := time.Now()
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
		l.metrics.AppendDuration.Observe(now.Sub(it.at).Seconds())
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
		l.reference(s) // for good: a new entry would take what was written for decided
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
