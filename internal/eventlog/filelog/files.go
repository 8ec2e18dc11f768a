package filelog

import (
	"container/list"
	"errors"
	"sync"

	"cartd/internal/eventlog/filelog/vfs"
)

// writable returns the stream's file, open for writing, and made if fresh is set. It stays open until it is one of
// those that were not used for longest. s.wmu is held.
func (l *Log) writable(s *stream, fresh bool) (vfs.File, error) {
	if s.file != nil {
		l.files.touch(s)
		return s.file, nil
	}
	var err error
	if fresh {
		if err = l.makeDir(s.dir); err != nil {
			return nil, err
		}
		s.fresh = true
		s.file, err = l.fs.Create(s.path)
	} else {
		s.file, err = l.fs.OpenWrite(s.path)
	}
	if err != nil {
		s.file = nil
		return nil, err
	}
	s.reference() // of the open file
	return s.file, l.trim(l.files.add(s))
}

// trim closes files until as many are open as may be. Those in use are passed over.
func (l *Log) trim(over bool) error {
	for over {
		var victim *stream
		victim, over = l.files.evict()
		if victim == nil {
			return nil
		}
		f := victim.file
		victim.file = nil
		victim.wmu.Unlock()
		l.release(victim)
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// openFiles are the streams whose files are open for writing, the one used last in front.
type openFiles struct {
	most int

	mu   sync.Mutex // guards the following
	list list.List
	at   map[*stream]*list.Element
}

func (o *openFiles) touch(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list.MoveToFront(o.at[s])
}

// add reports whether there are too many now.
func (o *openFiles) add(s *stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at[s] = o.list.PushFront(s)
	return o.list.Len() > o.most
}

// evict takes a stream out, with its wmu held; nil when all of them are in use.
func (o *openFiles) evict() (s *stream, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.list.Back(); e != nil; e = e.Prev() {
		s := e.Value.(*stream)
		if s.wmu.TryLock() {
			o.list.Remove(e)
			delete(o.at, s)
			return s, o.list.Len() > o.most
		}
	}
	return nil, false
}

func (o *openFiles) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.list.Len()
}

// closeFiles closes all files when nobody uses them any more.
func (l *Log) closeFiles() error {
	var errs []error
	for {
		s, _ := l.files.evict()
		if s == nil {
			return errors.Join(errs...)
		}
		errs = append(errs, s.file.Close())
		s.file = nil
		s.wmu.Unlock()
		l.release(s)
	}
}
