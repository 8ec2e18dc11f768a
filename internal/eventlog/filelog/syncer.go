package filelog

import (
	"errors"
	"fmt"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// schedule puts the stream on the ready list unless it is there, or being written. It returns ErrClosed or
// ErrFailed when that is too late. s.mu is held: the syncer that takes the stream waits until the queue is filled.
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
	l.scheduled++
	l.ready = append(l.ready, s)
	l.work.Signal()
	return nil
}

// take returns the next stream to write; nil when the log is closed and all is decided.
func (l *Log) take() *stream {
	l.qmu.Lock()
	defer l.qmu.Unlock()
	for len(l.ready) == 0 {
		if l.closed && l.scheduled == 0 {
			return nil
		}
		l.work.Wait()
	}
	s := l.ready[0]
	l.ready[0] = nil
	l.ready = l.ready[1:]
	return s
}

// syncer writes streams until Close.
func (l *Log) syncer() {
	for s := l.take(); s != nil; s = l.take() {
		l.commit(s)
	}
}

// commit writes what is queued for s and tells the outcome. Nobody else writes to s meanwhile.
func (l *Log) commit(s *stream) {
	s.mu.Lock()
	b, end, exists := s.queue, s.end, s.exists
	s.queue = nil
	s.mu.Unlock()

	err := l.Cause()
	written := err == nil && len(b.buf) > 0
	if written {
		if err = l.write(s, b, end, exists); err != nil {
			l.fail(err)
		}
	}
	l.space.give(b.takes)
	size := len(b.buf)
	unknown := written && err != nil
	if err != nil {
		err = fmt.Errorf("append to %s: %w: %w", s.id, eventlog.ErrOutcomeUnknown, err)
	} else if size > 0 {
		s.mu.Lock()
		s.end += int64(size)
		s.exists = true
		s.mu.Unlock()
		l.count(b, exists)
	}
	b.tell(l.metrics, err)
	items := len(b.items)
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
	l.done(s, more)
}

// done puts s on the ready list again, or lets go of it.
func (l *Log) done(s *stream, more bool) {
	if !more {
		l.release(s)
	}
	l.qmu.Lock()
	defer l.qmu.Unlock()
	if more {
		l.ready = append(l.ready, s)
		l.work.Signal()
		return
	}
	if l.scheduled--; l.scheduled == 0 && l.closed {
		l.work.Broadcast()
	}
}

// tell answers the appends of the batch in order.
func (b *batch) tell(m *eventlog.Metrics, err error) {
	now := time.Now()
	for i := range b.items {
		it := &b.items[i]
		switch {
		case it.err != nil:
			it.decided(eventlog.Receipt{}, it.err)
		case err != nil:
			it.decided(eventlog.Receipt{}, err)
		default:
			m.AppendDuration.Observe(now.Sub(it.at).Seconds())
			it.decided(it.receipt, nil)
		}
	}
}

func (l *Log) count(b *batch, existed bool) {
	l.metrics.Appends.Add(float64(b.events))
	l.metrics.BytesWritten.Add(float64(len(b.buf)))
	l.metrics.LastAppend.Set(float64(l.opts.Now().UnixMilli()) / 1000)
	if !existed {
		l.metrics.FilesExisting.Inc()
	}
}

// write brings the batch to stable storage at offset end of the stream's file. After an error nobody knows what is
// there.
func (l *Log) write(s *stream, b *batch, end int64, exists bool) (err error) {
	fresh := end == 0 // the file, or its name, may not be on stable storage yet
	if fresh {
		if err := l.ensureDir(s.dir); err != nil {
			return err
		}
	}
	var f vfs.File
	if exists {
		f, err = l.fs.OpenWrite(s.path)
	} else {
		f, err = l.fs.Create(s.path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b.buf, end)
	if err == nil {
		err = l.sync(f, fresh)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if fresh {
		return l.syncDir(s.dir)
	}
	return nil
}

// sync brings the file to stable storage, with all its metadata when it is new. It is never tried again: after a
// failure the kernel has marked the pages clean.
func (l *Log) sync(f vfs.File, fresh bool) error {
	if l.opts.Durability == SyncNever {
		return nil
	}
	start := time.Now()
	var err error
	if fresh {
		err = f.Sync()
	} else {
		err = f.Datasync()
	}
	l.metrics.SyncDuration.Observe(time.Since(start).Seconds())
	return err
}
