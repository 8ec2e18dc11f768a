package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"

	"cartd/internal/eventlog"
)

// maxSavedBytes bounds the snapshots that wait to be written, one excepted. More are dropped.
const maxSavedBytes = 64 << 20

// snapshots wait to be written by the goroutine that runs [Log.saver].
type snapshots struct {
	mu     sync.Mutex // guards the following
	work   sync.Cond  // on mu: queue or closed has changed
	queue  []*snapshot
	bytes  int
	closed bool
}

// snapshot is one that an activation has handed over.
type snapshot struct {
	act  *activation
	file snapshotFile
	at   int64 // where its place is in its stream's part of a frame
}

func (s *snapshot) size() int { return len(s.file.ids) + len(s.file.data) }

// place says that the snapshot stands behind lines, which are what its stream has in a frame so far.
func (s *snapshot) place(lines []byte) {
	s.at = int64(len(lines))
	if end := len(lines) - 1; end > 0 {
		s.file.Last = line32Of(lines[bytes.LastIndexByte(lines[:end], '\n')+1 : end])
	}
}

// Snapshot implements [eventlog.Activation]. It waits in the stream's queue for the commits before it.
func (a *activation) Snapshot(version uint64, data []byte) {
	s, ids := a.s, a.ids.Bytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.log.unusable() != nil || s.owner != a || a.dead != nil || !a.replayed || a.main != version {
		return
	}
	snap := &snapshot{act: a, file: snapshotFile{ids: ids, data: data, snapshotHead: snapshotHead{
		Stream: s.id.String(), Lines: a.lines + a.queued, Main: a.main, Branches: maps.Clone(a.heads)}}}
	if !s.scheduled {
		snap.file.Offset = s.base + s.end
		a.log.saveLater(snap)
		return
	}
	if s.queued+queuedCost > maxQueuedBytes {
		return
	}
	s.queued += queuedCost
	b := s.batch()
	b.items = append(b.items, item{snap: snap})
}

// saveLater hands a snapshot of what is decided to the saver.
func (l *Log) saveLater(snap *snapshot) {
	q := &l.snapshots
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes > 0 && q.bytes+snap.size() > maxSavedBytes {
		l.metrics.SnapshotsDropped.Inc()
		return
	}
	snap.act.s.reference()
	q.queue = append(q.queue, snap)
	q.bytes += snap.size()
	q.work.Signal()
}

// saver writes snapshots until Close, those that wait then included. A failure is told and does not end the log's
// life: nothing that was acknowledged rests on a snapshot.
func (l *Log) saver() {
	q := &l.snapshots
	for {
		q.mu.Lock()
		for len(q.queue) == 0 && !q.closed {
			q.work.Wait()
		}
		if len(q.queue) == 0 {
			q.mu.Unlock()
			return
		}
		snap := q.queue[0]
		q.queue[0] = nil
		q.queue = q.queue[1:]
		q.bytes -= snap.size()
		q.mu.Unlock()
		s := snap.act.s
		err := l.save(snap)
		if err == nil {
			l.metrics.Snapshots.Inc()
			err = l.sealOld(s)
		}
		if err != nil {
			l.metrics.SnapshotFailures.Inc()
			l.opts.Logger.Warn("snapshot or sealed part could not be written", "stream", s.id.String(), "error", err)
		}
		l.release(s)
	}
}

func (q *snapshots) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Signal()
}

// save writes a snapshot's file in place of the last one, which becomes the one before.
func (l *Log) save(snap *snapshot) error {
	if cause := l.Cause(); cause != nil {
		return fmt.Errorf("%w: %w", eventlog.ErrFailed, cause)
	}
	s := snap.act.s
	if s.isArchived() {
		return nil
	}
	if err := l.flush(s); err != nil { // no snapshot stands for more than the file has
		return err
	}
	if snap.file.Last == (line32{}) {
		last, err := l.lineBefore(s, snap.file.Offset)
		if err != nil {
			return err
		}
		snap.file.Last = last
	}
	snap.file.ids = snap.act.resolved(snap.file.ids)
	content, err := snap.file.encode()
	if err != nil {
		return err
	}
	if len(content) > maxSnapshot {
		return fmt.Errorf("snapshot has %d bytes, the largest is %d", len(content), maxSnapshot)
	}
	if !l.space.take(len(content)) {
		return eventlog.ErrLowSpace
	}
	defer l.space.give(len(content))
	path := snapshotPath(s.path)
	write := func(f io.Writer) error {
		_, err := f.Write(content)
		return err
	}
	if err := l.writeNew(path+".tmp", write); err != nil {
		return err
	}
	if err := l.fs.Rename(path, oldSnapshotPath(s.path)); err != nil && !isNotExist(err) {
		return err
	}
	if err := l.fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	l.dirtyDir(s.dir) // the names reach the disk at the next checkpoint; until then the log is replayed after a crash
	return nil
}

// writeNew writes a file anew, and brings its content to stable storage. It is removed again after an error.
func (l *Log) writeNew(path string, write func(io.Writer) error) error {
	f, err := l.fs.Create(path)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		err = write(io.NewOffsetWriter(f, 0))
	}
	if err == nil {
		err = l.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, l.fs.Remove(path))
	}
	return nil
}

// lineBefore returns the line that ends at offset, read from the file. It is for snapshots without a line in front of
// them in their frame.
func (l *Log) lineBefore(s *stream, offset int64) (line line32, err error) {
	h, err := l.openHistory(s)
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	end := offset - h.base
	if h.live == nil || end <= 0 || end > h.size {
		return line, fmt.Errorf("%w: no line ends at byte %d", eventlog.ErrCorrupt, offset)
	}
	found := false
	_, err = l.scanTail(h.live, end, blockBytes, func(raw rawLine, _ *eventlog.Event, err error) bool {
		if found = err == nil && raw.end == end; found {
			line = line32Of(raw.text)
		}
		return true
	}, func() bool { return found })
	if err == nil && !found {
		err = fmt.Errorf("%w: no sound line ends at byte %d", eventlog.ErrCorrupt, offset)
	}
	return line, err
}

// openHistory opens the stream's log as it is between two writes of its file.
func (l *Log) openHistory(s *stream) (*history, error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return openHistory(l.fs, s.path, l.opts.MaxLineBytes)
}
