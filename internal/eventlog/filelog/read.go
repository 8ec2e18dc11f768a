package filelog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// Read implements [eventlog.Store]. It changes nothing, but that it refills a torn tail: one that the journal does not
// have stays until the stream is activated.
func (l *Log) Read(ctx context.Context, id eventlog.StreamID) iter.Seq2[eventlog.Event, error] {
	return l.Recall(ctx, id, nil)
}

// Recall implements [eventlog.Store].
func (l *Log) Recall(ctx context.Context, id eventlog.StreamID, load func([]byte) error) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		if l.isClosed() {
			yield(eventlog.Event{}, eventlog.ErrClosed)
			return
		}
		s := l.acquire(id)
		defer l.release(s)
		h, end, err := l.openDecided(ctx, s)
		if err != nil {
			yield(eventlog.Event{}, fmt.Errorf("read %s: %w", id, err))
			return
		}
		if h == nil {
			return
		}
		defer h.Close() // only read
		r, from := &replayer{id: id, endless: h.endless()}, int64(0)
		if load != nil { // an activation that nobody has: of what it learns only the replayer's part is needed
			from = (&activation{log: l, s: s, end: end}).restore(h, r, load)
		}
		r.lines = h.lines(from, end, l.opts.MaxLineBytes, l.sealedDamage)
		r.run(ctx, func(ev eventlog.Event, err error) bool {
			if err != nil {
				err = fmt.Errorf("read %s: %w", id, err)
			}
			return yield(ev, err)
		})
	}
}

// openDecided opens the stream's log and returns where its decided part ends. A missing file is nil.
func (l *Log) openDecided(ctx context.Context, s *stream) (*history, int64, error) {
	if end := s.durableEnd(); end >= 0 {
		return l.openFlushed(s, end)
	}
	if err := s.lockTail(ctx); err != nil {
		return nil, 0, err
	}
	defer s.unlockTail()
	if end := s.durableEnd(); end >= 0 { // found by an activation meanwhile, which may have lines behind by now
		return l.openFlushed(s, end)
	}
	// Nobody writes while the tail is locked and the end is not known, so that what is in the file now was there before.
	h, t, err := l.openSound(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	end := h.base + t.end
	if end == 0 && !h.endless() {
		return nil, 0, h.Close()
	}
	return h, end, nil
}

// openFlushed is openDecided when it is known where the decided part ends. What is behind of it is written first.
func (l *Log) openFlushed(s *stream, end int64) (*history, int64, error) {
	if err := l.flush(s); err != nil {
		return nil, 0, err
	}
	h, err := l.openHistory(s)
	if err != nil || end > 0 || h.endless() {
		return h, end, err
	}
	return nil, 0, h.Close()
}

// soundPart finds the end of what may be shown of a file that this process has not looked at. It syncs first, the file
// and the directories that lead to it: a process that ended before it could sync leaves lines, or names, that are only
// in the page cache.
func (l *Log) soundPart(s *stream, f vfs.File, size int64) (tail, error) {
	if size > 0 && l.opts.Durability != SyncNever {
		if cause := l.Cause(); cause != nil { // a sync that succeeds after one that failed proves nothing
			return tail{}, fmt.Errorf("%w: %w", eventlog.ErrFailed, cause)
		}
		if err := errors.Join(f.Datasync(), l.syncNames(s.dir)); err != nil {
			l.fail(err)
			return tail{}, err
		}
	}
	return findTail(f, size, l.opts.MaxLineBytes)
}
