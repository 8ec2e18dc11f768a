package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"cartd/internal/eventlog/filelog/vfs"
)

// cutTail copies the bytes from end to size of the stream's file to quarantine/ and cuts them off. A failing copy
// leaves the file as it is; a failing cut ends the life of the log.
func (l *Log) cutTail(s *stream, end, size int64) error {
	f, err := l.fs.OpenWrite(s.path)
	if err != nil {
		return err
	}
	kept, err := l.quarantine(s.id.Name(), io.NewSectionReader(f, end, size-end))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Truncate(end); err == nil {
		err = l.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		l.fail(err)
		return err
	}
	l.metrics.TornTails.Inc()
	l.opts.Logger.Warn("event log had a torn tail: it is cut off and kept", "stream", s.id.String(), "file", s.path,
		"offset", end, "bytes", size-end, "kept", kept)
	return nil
}

// quarantine writes what r gives to a new file, on stable storage when it returns, and returns its path.
func (l *Log) quarantine(name string, r io.Reader) (path string, err error) {
	if err := l.ensureDir(quarantineDir); err != nil {
		return "", err
	}
	f, path, err := l.createQuarantine(name)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), r)
	if err == nil {
		err = l.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, l.fs.Remove(path)) // half a copy beside the original helps nobody
	}
	return path, l.syncDir(quarantineDir)
}

// createQuarantine makes a file whose name was not there.
func (l *Log) createQuarantine(name string) (vfs.File, string, error) {
	at := l.opts.Now().UTC().Format("20060102T150405Z")
	for n := range 1000 {
		path := fmt.Sprintf("%s/%s.%s-%d.torn", quarantineDir, name, at, n)
		f, err := l.fs.CreateNew(path)
		if !errors.Is(err, fs.ErrExist) {
			return f, path, err
		}
	}
	return nil, "", fmt.Errorf("no free name for %s under %s", name, quarantineDir)
}

// sync brings the file to stable storage with all its metadata. It is never tried again: after a failure the kernel
// has marked the pages clean.
func (l *Log) sync(f vfs.File) error {
	if l.opts.Durability == SyncNever {
		return nil
	}
	return f.Sync()
}
