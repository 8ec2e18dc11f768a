package filelog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
)

// An archive is all of a stream's log in one sealed part, out of the directory of the streams that are in use:
// archive/carts/ab/<id>.events.log.zst for carts/ab/<id>.events.log. It is in force when the stream's file is not
// there, and that alone decides: the file is removed, durably, when the archive is on stable storage, and before the
// sealed parts and snapshots that stood beside it. So a crash leaves the one, or the other, and what is of no use
// beside it.
const (
	archiveDir    = "archive"
	archiveSuffix = logSuffix + ".zst"
)

// archivePath returns the path of the archive of the stream whose file is at path.
func archivePath(path string) string { return archiveDir + "/" + path + ".zst" }

// archivedPath returns the path of the file of the stream whose archive is at path; ok is false if path is no archive's.
func archivedPath(path string) (log string, ok bool) {
	log, in := strings.CutPrefix(path, archiveDir+"/")
	log, ok = strings.CutSuffix(log, ".zst")
	return log, in && ok && strings.HasSuffix(log, logSuffix)
}

// openArchive opens the archive of the stream whose file is at path; nil if there is none.
func openArchive(fs vfs.FS, path string) (p *sealedPart, err error) {
	p = &sealedPart{path: archivePath(path)}
	if p.file, p.bytes, err = openLog(fs, p.path); p.file == nil || err != nil {
		return nil, err
	}
	if err := p.readLabel(); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

// Archive makes archives of the logs of streams that have come to their end, and returns those that are archived when it
// returns. From then on they take no more events; all that reads them goes on as before. A log whose last event is not a
// sound one of type last is left as it is, and so is each for which there is no time now: while a backup reads the
// files, while appends wait. Asking again does what is left to be done, after a crash too. A log that cannot be read keeps
// the others from nothing: the error is that of the first one.
//
// It waits for a checkpoint, since the journal must not know more of a stream than its archive. It takes at most as much
// room as a log has while it writes its archive, and returns ErrLowSpace when that is not there.
func (l *Log) Archive(ctx context.Context, ids []eventlog.StreamID, last string) (archived []eventlog.StreamID, err error) {
	l.archiving.Lock()
	defer l.archiving.Unlock()
	if err := l.Writable(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if err := l.checkpointAll(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	for _, id := range ids {
		if end := errors.Join(context.Cause(ctx), l.unusable()); end != nil {
			return archived, errors.Join(err, end)
		}
		done, failed := l.archive(ctx, id, last)
		if failed != nil {
			failed = fmt.Errorf("archive %s: %w", id, failed)
			if errors.Is(failed, eventlog.ErrLowSpace) {
				return archived, failed
			}
			err = cmp.Or(err, failed)
		}
		if done {
			archived = append(archived, id)
		}
	}
	return archived, err
}

// checkpointAll makes a checkpoint if the streams' files may lack something of the journal.
func (l *Log) checkpointAll() error {
	if l.checkpointed() >= l.Head() {
		return nil
	}
	err := l.checkpoint()
	if err != nil {
		l.fail(err)
	}
	return err
}

func (l *Log) archive(ctx context.Context, id eventlog.StreamID, last string) (done bool, err error) {
	if !l.sealing.TryRLock() { // a backup reads the files
		return false, nil
	}
	defer l.sealing.RUnlock()
	l.parts.Lock()
	defer l.parts.Unlock()
	s := l.acquire(id)
	defer l.release(s)
	if err := l.recover(ctx, s); err != nil {
		return false, err
	}
	h, err := l.openHistory(s)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if h.archived {
		return true, l.clearBeside(s, h)
	}
	head, ok, err := l.labelOfAll(ctx, h, last)
	if err != nil || !ok {
		return false, err
	}
	if !l.space.take(int(head.Bytes) + newFileBytes) { // an upper bound
		return false, eventlog.ErrLowSpace
	}
	defer l.space.give(int(head.Bytes) + newFileBytes)
	path := archivePath(s.path)
	if err := l.ensureDir(parentDir(path)); err != nil {
		l.fail(err)
		return false, err
	}
	sum := crc32.New(castagnoli)
	var broken error // a sealed part that could be read a moment ago: what stands in for its lines is not to be kept
	write := func(w io.Writer) error {
		lines := h.reader(0, head.Bytes, func(_ string, _ int64, err error) { broken = err })
		err := writeSealed(w, &head, io.TeeReader(lines, sum))
		return errors.Join(err, broken)
	}
	if err := l.writeNew(path+".tmp", write); err != nil {
		return false, err
	}
	if err := l.readBack(path+".tmp", sum.Sum32()); err != nil {
		return false, errors.Join(err, l.fs.Remove(path+".tmp"))
	}
	if done, err = l.putArchive(s, &head); err != nil || !done {
		return false, err
	}
	l.metrics.Archives.Inc()
	l.metrics.FilesExisting.Dec()
	return true, l.clearBeside(s, h)
}

// labelOfAll describes the whole log. ok is false unless each line of it is sound, the last event is of type last, and the
// journal has nothing that is not on stable storage.
func (l *Log) labelOfAll(ctx context.Context, h *history, last string) (head label, ok bool, err error) {
	if h.live == nil || h.end() > maxSealed {
		return head, false, nil
	}
	if len(h.sealed) > 0 {
		if follows, err := h.follows(l.opts.MaxLineBytes); err != nil || !follows {
			return head, false, err
		}
	}
	head = label{Version: sealedVersion, Bytes: h.end()}
	bad := false
	in := newInspector(h.lines(0, h.end(), l.opts.MaxLineBytes, func(string, int64, error) { bad = true }), nil)
	var end string
	err = in.run(ctx, func(p *piece) error {
		if p.kind != "" || p.gap > 0 || p.half { // markers of repairs stay what they are
			bad = true
			return nil
		}
		head.Lines++
		head.Last = line32Of(p.text)
		end = ""
		if p.usable() && !p.ev.More {
			end = p.ev.Type
		}
		return nil
	})
	head.End = in.last
	ok = err == nil && !bad && in.end == h.end() && end == last && in.last > 0 && in.last <= l.checkpointed()
	return head, ok, err
}

// putArchive puts the archive that was written in force, unless something has been appended since it was read.
func (l *Log) putArchive(s *stream, head *label) (done bool, err error) {
	path := archivePath(s.path)
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if err := l.flushLocked(s); err != nil {
		return false, err
	}
	s.mu.Lock()
	same := !s.scheduled && s.base+s.end == head.Bytes
	s.archived = same // nothing is appended from here on
	s.mu.Unlock()
	if !same {
		return false, l.fs.Remove(path + ".tmp")
	}
	err = l.closeFile(s)
	if err == nil {
		err = l.fs.Rename(path+".tmp", path)
	}
	if err == nil {
		err = l.syncDir(parentDir(path))
	}
	if err == nil {
		err = l.fs.Remove(s.path)
	}
	if err == nil {
		err = l.syncDir(s.dir)
	}
	if err != nil { // nobody knows which of the two is there, on the disk
		s.broken = err
		s.reference()
		l.fail(err)
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base, s.end, s.exists, s.endless = head.Bytes, 0, false, false
	return true, nil
}

// clearBeside removes what stood beside the file of a stream that is archived: its snapshots, and its sealed parts from the
// last one on, so that those which the end of the process leaves are found by their numbers. If a power failure leaves others,
// they do no harm, and Compact removes them.
func (l *Log) clearBeside(s *stream, h *history) error {
	paths := []string{snapshotPath(s.path), oldSnapshotPath(s.path)}
	if h.archived {
		paths = append(paths, h.unforced...)
	} else {
		for _, p := range h.sealed {
			paths = append(paths, p.path)
		}
		paths = append(paths, h.unforced...)
	}
	for i := len(paths) - 1; i >= 0; i-- {
		if err := l.fs.Remove(paths[i]); err != nil && !isNotExist(err) {
			return err
		}
	}
	return nil
}

// isArchived reports whether the archive of the stream whose file is at path is in force.
func isArchived(fs vfs.FS, path string) (bool, error) {
	f, _, err := openLog(fs, path)
	if f != nil {
		return false, f.Close()
	}
	if err != nil {
		return false, err
	}
	if f, _, err = openLog(fs, archivePath(path)); f == nil || err != nil {
		return false, err
	}
	return true, f.Close()
}

// walkArchives visits the paths of all archives.
func (l *Log) walkArchives(visit func(path string) error) error {
	return walkArchives(l.fs, func(dir, name string) error {
		if path := dir + "/" + name; strings.HasSuffix(name, archiveSuffix) {
			return visit(path)
		}
		return nil
	})
}

// walkArchives visits all names in the directories that archives are in.
func walkArchives(tree vfs.FS, visit func(dir, name string) error) error {
	dirs := []string{archiveDir}
	for range 2 { // kinds, and the beginnings of sums
		var below []string
		for _, dir := range dirs {
			subs, err := readDir(tree, dir)
			if err != nil && !isNotExist(err) {
				return err
			}
			for _, sub := range subs {
				below = append(below, dir+"/"+sub)
			}
		}
		dirs = below
	}
	for _, dir := range dirs {
		names, err := readDir(tree, dir)
		if err != nil && !isNotExist(err) {
			return err
		}
		for _, name := range names {
			if err := visit(dir, name); err != nil {
				return err
			}
		}
	}
	return nil
}
