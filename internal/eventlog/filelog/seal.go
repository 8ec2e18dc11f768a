package filelog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"cartd/internal/eventlog"
)

// sealOld seals what the older snapshot of the stream stands for, when that is most of a long file. The goroutine that
// writes snapshots alone seals, and archives
// wait for it, so that the number of parts stays as it is meanwhile.
func (l *Log) sealOld(s *stream) error {
	l.parts.Lock()
	defer l.parts.Unlock()
	s.mu.Lock()
	base, size := s.base, s.end
	s.mu.Unlock()
	if size < int64(l.opts.SealBytes) || size < base/4 { // the parts grow with the log: a hundred of them at most
		return nil
	}
	old, err := readSnapshot(l.fs, oldSnapshotPath(s.path), s.id)
	if old == nil || err != nil {
		return nil // the next one will do
	}
	if old.Offset-base < size/2 {
		return nil
	}
	_, err = l.seal(s, old.Offset)
	return err
}

// seal compresses the stream's log up to offset, and cuts the file there. It does nothing, and returns false, when
// that cannot be undone by the journal's lines alone: the lines have to be checkpointed, and the next one has to be a
// sound one with a position. Nor does it while a backup reads the files, or when a part in front of the file is missing:
// the new one would take its number.
//
// The part is on stable storage, and was read back, before the file is replaced. A crash between the two leaves a part
// that is not in force: see label.
func (l *Log) seal(s *stream, offset int64) (done bool, err error) {
	if cause := l.Cause(); cause != nil {
		return false, fmt.Errorf("%w: %w", eventlog.ErrFailed, cause)
	}
	if !l.sealing.TryRLock() {
		return false, nil
	}
	defer l.sealing.RUnlock()
	h, err := l.openHistory(s)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	cut := offset - h.base
	if h.live == nil || cut <= 0 || cut >= h.size {
		return false, nil
	}
	if follows, err := h.follows(l.opts.MaxLineBytes); err != nil || !follows {
		return false, err
	}
	head, last, err := l.labelOf(h, cut)
	if err != nil || head.Next == 0 || last == 0 || last > l.checkpointed() {
		return false, err
	}
	if head.Next > l.Head() { // a backup that begins now would have the part, and nothing of the file
		return false, nil
	}
	if !l.space.take(int(cut)) { // an upper bound
		return false, eventlog.ErrLowSpace
	}
	defer l.space.give(int(cut))
	path := sealedPath(s.path, len(h.sealed)+1)
	sum := crc32.New(castagnoli)
	write := func(w io.Writer) error {
		return writeSealed(w, &head, io.TeeReader(io.NewSectionReader(h.live, 0, cut), sum))
	}
	if err := l.writeNew(path+".tmp", write); err != nil {
		return false, err
	}
	if err := l.readBack(path+".tmp", sum.Sum32()); err != nil {
		return false, errors.Join(err, l.fs.Remove(path+".tmp"))
	}
	if err := l.fs.Rename(path+".tmp", path); err != nil {
		return false, err
	}
	if err := l.syncDir(s.dir); err != nil { // names of new streams may have been lost, and no later sync would tell
		l.fail(err)
		return false, err
	}
	if err := l.cutFile(s, cut); err != nil {
		return false, err
	}
	l.metrics.Seals.Inc()
	return true, nil
}

// labelOf describes the first cut bytes of the file, and returns the position of the last line that has one. Next is 0
// if the line behind them does not check out or has no position.
func (l *Log) labelOf(h *history, cut int64) (head label, last uint64, err error) {
	head = label{Version: sealedVersion, Offset: h.base, Bytes: cut}
	var (
		dec decoder
		ev  eventlog.Event
	)
	for r := newLineReader(h.live, h.size, l.opts.MaxLineBytes); ; {
		line, err := r.next()
		if err != nil {
			return head, 0, err // io.EOF too: there is a line behind cut
		}
		sound := line.whole && line.text != nil && dec.decode(line.text, &ev) == nil
		if line.start >= cut {
			if sound && line.start == cut {
				head.Next = ev.Position
			}
			return head, last, nil
		}
		head.Lines++
		head.Last = line32Of(line.text)
		if sound {
			last = max(last, ev.Position)
		}
	}
}

func (l *Log) readBack(path string, want uint32) (err error) {
	f, size, err := openLog(l.fs, path)
	if err != nil {
		return err
	}
	if f == nil {
		return fmt.Errorf("%w: it is gone", errSealed)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, r, err := openSealed(f, size)
	if err != nil {
		return err
	}
	defer r.dec.Close()
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	if r.bad == nil && sum.Sum32() != want {
		r.bad = fmt.Errorf("%w: it is not what was written", errSealed)
	}
	return r.bad
}

// cutFile replaces the stream's file by what stands in it from cut on. Who has the old one open goes on reading it.
func (l *Log) cutFile(s *stream, cut int64) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if err := l.flushLocked(s); err != nil {
		return err
	}
	s.mu.Lock()
	end := s.end - int64(len(s.behind)) // what was decided since flushLocked is written behind it later
	s.mu.Unlock()
	f, err := l.fs.Open(s.path)
	if err != nil {
		return err
	}
	write := func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(f, cut, end-cut))
		return err
	}
	if err := errors.Join(l.writeNew(s.path+".tmp", write), f.Close()); err != nil {
		return err
	}
	if err := l.closeFile(s); err != nil {
		l.fail(err)
		return err
	}
	// Nobody knows which file is there after an error, and the next line must go to the right one.
	if err := errors.Join(l.fs.Rename(s.path+".tmp", s.path), l.syncDir(s.dir)); err != nil {
		s.broken = err
		s.reference()
		l.fail(err)
		return err
	}
	s.fresh = false
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end -= cut
	s.base += cut
	return nil
}

// closeFile closes the stream's file if it is open. s.wmu is held.
func (l *Log) closeFile(s *stream) error {
	if s.file == nil {
		return nil
	}
	l.files.remove(s)
	f := s.file
	s.file = nil
	l.release(s)
	return f.Close()
}

func (o *openFiles) remove(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list.Remove(o.at[s])
	delete(o.at, s)
}
