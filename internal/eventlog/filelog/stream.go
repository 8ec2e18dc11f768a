package filelog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// maxQueuedBytes bounds what waits in one stream's queue, with queuedCost for each append on top of its lines.
const (
	maxQueuedBytes = 64 << 20
	queuedCost     = 256
)

// stream is the entry of a stream in memory. It is there while refs > 0: for each activation that is not released,
// each running read, while appends are queued, and for good when the outcome of one is unknown, since then only the
// entry knows where the part that may be shown ends.
type stream struct {
	id   eventlog.StreamID
	dir  string // of path
	path string
	refs atomic.Int64 // from 0 to 1 with Log.mu held

	// tail is a semaphore of one: who holds it may find out where the file ends, and cut a torn tail. Nobody writes
	// before that is known.
	tail chan struct{}

	waits   bool      // in Log.behind's queue; guarded by its mu, as the next two
	full    bool      // in Log.behind's full
	written time.Time // when it was taken from there
	dirty   bool      // in Log.checkpoints.dirty; guarded by its mu

	// wmu is held while the file is written or synced; it comes before mu.
	wmu    sync.Mutex // guards the following
	file   vfs.File   // open for writing, or nil
	fresh  bool       // the file's name is not on stable storage yet
	broken error      // why the file could not be written; for good

	mu          sync.Mutex  // guards the following
	owner       *activation // whose appends are accepted
	base        int64       // bytes of the sealed parts, in front of the file
	end         int64       // of the file behind the last decided commit, those behind included; -1 when not known yet
	behind      []byte      // decided lines that the file lacks
	behindTakes int         // bytes they take from the space that is free
	endless     bool        // when the end was found there were sealed parts, and nothing in the file behind them
	exists      bool        // the file is there
	archived    bool        // nothing is appended any more: the log is in the archive, or about to be
	epoch       uint64      // of the last line when the end was found
	queue       *batch      // nil when empty
	queued      int         // bytes and costs of what is undecided
	scheduled   bool        // the stream is in Log.ready, or the committer works on it
	idle        chan struct{}
}

// batch is what a stream puts into one frame.
type batch struct {
	buf   []byte // for each event what its line says behind the position
	ends  []int  // where each event ends in buf
	items []item
	owner *activation // whose events they are; nil without events
	takes int         // bytes taken from the space that is free

	// Where the slices begin: one commit, as most batches are, then lies together in memory.
	bufRoom  [384]byte
	endsRoom [2]int
	itemRoom [1]item
}

// item is one append's place in a batch. One with an error or without events has no bytes there: it only waits its
// turn.
type item struct {
	decided func(eventlog.Receipt, error)
	receipt eventlog.Receipt
	err     error
	events  int           // that it appends
	act     *activation   // of a repeat
	place   uint64        // of the event that a repeat repeats
	at      time.Duration // since the log was opened
	snap    *snapshot     // to be saved when all before it is decided; nil in others, which have a decided
}

// keepBytes is up to which size a batch's buffer is used again.
const keepBytes = 1 << 20

var batches = sync.Pool{New: func() any {
	b := new(batch)
	b.buf, b.ends, b.items = b.bufRoom[:0], b.endsRoom[:0], b.itemRoom[:0]
	return b
}}

func (b *batch) free() {
	if cap(b.buf) > keepBytes {
		return
	}
	clear(b.items) // lets go of the callbacks
	b.buf, b.ends, b.items, b.owner, b.takes = b.buf[:0], b.ends[:0], b.items[:0], nil, 0
	batches.Put(b)
}

func kindDir(kind eventlog.Kind) string { return string(kind) + "s" }

func newStream(id eventlog.StreamID) *stream {
	sum := sha256.Sum256([]byte(id.Name()))
	dir := kindDir(id.Kind()) + "/" + hex.EncodeToString(sum[:1])
	return &stream{id: id, dir: dir, path: dir + "/" + id.Name() + logSuffix, end: -1, tail: make(chan struct{}, 1)}
}

// acquire returns the stream's entry, with one reference more.
func (l *Log) acquire(id eventlog.StreamID) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[id]
	if s == nil {
		s = newStream(id)
		l.streams[id] = s
	}
	s.refs.Add(1)
	return s
}

// release gives a reference back. An entry that nobody refers to goes away, unless it is acquired meanwhile.
func (l *Log) release(s *stream) {
	if s.refs.Add(-1) > 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.refs.Load() == 0 && l.streams[s.id] == s {
		delete(l.streams, s.id)
	}
}

// reference adds a reference to those that the caller knows to be there.
func (s *stream) reference() { s.refs.Add(1) }

// waitIdle waits until everything queued for a's stream is decided. It returns ErrFenced when another activation
// has claimed the stream meanwhile.
func (s *stream) waitIdle(ctx context.Context, a *activation) error {
	for {
		s.mu.Lock()
		if s.owner != a {
			s.mu.Unlock()
			return eventlog.ErrFenced
		}
		if !s.scheduled {
			s.mu.Unlock()
			return nil
		}
		if s.idle == nil {
			s.idle = make(chan struct{})
		}
		idle := s.idle
		s.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// durableEnd returns the offset in the log behind the last decided commit, or -1 when it is not known yet.
func (s *stream) durableEnd() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end < 0 {
		return -1
	}
	return s.base + s.end
}

func (s *stream) isArchived() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.archived
}

func (s *stream) lockTail(ctx context.Context) error {
	select {
	case s.tail <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *stream) unlockTail() { <-s.tail }

// recover finds out where the stream's file ends, unless that is known, and refills a torn tail or cuts it off.
func (l *Log) recover(ctx context.Context, s *stream) error {
	if err := s.lockTail(ctx); err != nil {
		return err
	}
	defer s.unlockTail()
	if s.durableEnd() >= 0 {
		return nil
	}
	h, t, err := l.openSound(ctx, s)
	if err != nil {
		return err
	}
	if err := h.Close(); err != nil {
		return err
	}
	if t.end < h.size && l.Cause() == nil {
		if err := l.cutTail(s, t.end, h.size); err != nil {
			return fmt.Errorf("cut torn tail at byte %d: %w", t.end, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base, s.end, s.epoch, s.exists, s.endless = h.base, t.end, t.epoch, h.live != nil, h.endlessAt(t.end)
	s.archived = h.archived
	return nil
}

// nextEpoch returns a number larger than last and than all that it has returned.
func (l *Log) nextEpoch(last uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = max(l.epoch, last) + 1
	return l.epoch
}
