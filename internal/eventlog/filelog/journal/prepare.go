package journal

import (
	"errors"
	"strconv"
	"syscall"
	"time"

	"cartd/internal/eventlog/filelog/vfs"
)

// prepared is a segment file that is full of zeros, or of the frames of an earlier use, and has no header yet.
type prepared struct {
	file vfs.File
	name string
	size int
}

// How often a full disk is asked again.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// zeroBytes is what is written at once while a segment is prepared.
const zeroBytes = 1 << 20

// noSpace reports whether err may go away by itself. Nothing is lost by it: the file has no name of its own yet.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, ErrNoRoom)
}

// prepareAll keeps a segment prepared until Close, beside those that are ready from the start; err says why there are
// no more of them.
func (w *Writer) prepareAll(ready []prepared, err error) {
	defer close(w.prepared)
	for {
		for retry := firstRetry; len(ready) == 0; {
			var p prepared
			if err == nil {
				p, err = w.prepare()
			}
			switch {
			case err == nil:
				ready = append(ready, p)
				w.starved(false)
			case noSpace(err):
				w.starved(true)
				select {
				case <-w.quit:
					return
				case <-time.After(retry):
				}
				retry, err = min(2*retry, lastRetry), nil
			default:
				if w.opts.Failed != nil {
					w.opts.Failed(err)
				}
				return
			}
		}
		select {
		case w.prepared <- ready[0]:
			ready = ready[1:]
		case <-w.stop:
			w.unused = ready
			return
		}
	}
}

func (w *Writer) starved(is bool) {
	if w.opts.Starved != nil {
		w.opts.Starved(is)
	}
}

// next returns a file for a segment that begins with a frame of n bytes.
func (w *Writer) next(n int) (prepared, error) {
	if need := segmentHeader + n; need > w.opts.SegmentBytes {
		return w.large(need)
	}
	p, ok := <-w.prepared
	if !ok {
		return prepared{}, ErrNoRoom
	}
	return p, nil
}

// large makes a segment for one large frame. It is not prepared: it is written once and synced with its size.
func (w *Writer) large(size int) (prepared, error) {
	w.mu.Lock()
	name := w.tmpName()
	w.mu.Unlock()
	return w.fill(name, size)
}

// prepare makes the next segment, out of a spare one if there is one.
func (w *Writer) prepare() (prepared, error) {
	w.mu.Lock()
	var name string
	last := len(w.spares) - 1
	fresh := last < 0
	if fresh {
		name = w.tmpName()
	} else {
		name = w.spares[last]
		w.spares = w.spares[:last]
	}
	w.mu.Unlock()
	if fresh {
		return w.fill(name, w.opts.SegmentBytes)
	}
	f, err := w.tree.OpenWrite(name)
	return prepared{f, name, w.opts.SegmentBytes}, err
}

// tmpName is called with mu held.
func (w *Writer) tmpName() string {
	w.number++
	return w.dir + "/" + strconv.Itoa(w.number) + tmpSuffix
}

// fill makes a file of zeros. fallocate would not do: the first write to blocks that are only allocated changes
// metadata, and fdatasync has to bring that to the disk as well.
func (w *Writer) fill(name string, size int) (prepared, error) {
	if w.opts.Reserve != nil && !w.opts.Reserve(size) {
		return prepared{}, ErrNoRoom
	}
	f, err := w.tree.CreateNew(name)
	if err == nil {
		err = w.writeZeros(f, size)
		if err != nil {
			err = errors.Join(err, f.Close(), w.tree.Remove(name))
		}
	}
	if w.opts.Settle != nil {
		w.opts.Settle(size)
	}
	return prepared{f, name, size}, err
}

func (w *Writer) writeZeros(f vfs.File, size int) error {
	zeros := make([]byte, min(size, zeroBytes))
	for off := 0; off < size; off += len(zeros) {
		if _, err := f.WriteAt(zeros[:min(len(zeros), size-off)], int64(off)); err != nil {
			return err
		}
	}
	if !w.opts.Sync {
		return nil
	}
	return f.Sync()
}
