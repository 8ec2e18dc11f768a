package journal

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"cartd/internal/eventlog/filelog/vfs"
)

// ErrNoRoom means that there is no room for another segment, and that nobody waits for it any more. Nothing was
// written.
var ErrNoRoom = errors.New("no room for a journal segment")

// Options configure a Writer.
type Options struct {
	SegmentBytes int  // size of a segment
	Sync         bool // each frame is on stable storage when Append returns
	// Synced is told how long each sync took. nil: nobody is.
	Synced func(time.Duration)
	// Reserve is asked before a segment takes so many more bytes of the disk, and told afterwards that it has. nil:
	// there is always room.
	Reserve func(bytes int) bool
	Settle  func(bytes int)
	// Starved is told when there is no room for the next segment, and when there is again.
	Starved func(bool)
	// Failed is told of an error in the background after which nothing more can be written.
	Failed func(error)
	// Kept are the segments of former processes that stay for readers; see [Found.Settle].
	Kept []Segment
}

// Segment is a file of the journal.
type Segment struct {
	Name  string // relative to the tree's root
	First uint64 // position of its first event
	Last  uint64 // position of its last event; 0 while it is not known
	Bytes int64  // of the file
}

// Writer appends frames. Make it with [Open].
type Writer struct {
	tree vfs.FS
	dir  string
	opts Options
	seed uint32
	id   ID
	base uint64 // position of the first event that this process has written, or will

	// Of the goroutine that appends.
	state State
	file  vfs.File // nil before the first frame
	size  int
	off   int

	prepared chan prepared // without capacity: who prepares waits until it is taken; closed when there will be none
	unused   []prepared    // of the goroutine that prepares, until it has ended
	quit     chan struct{} // closed by GiveUp
	stop     chan struct{} // closed by Close
	giveUp   sync.Once
	wg       sync.WaitGroup

	retiring sync.Mutex // held while segments are let go of; comes before mu

	mu     sync.Mutex // guards the following
	live   []*segment // oldest first; the last one is being written
	done   uint64     // number of the last frame that is checkpointed
	spares []string   // segments to be used again, at most maxSpares
	number int        // of the last file being prepared
}

// segment is a file that is there.
type segment struct {
	name  string
	bytes int
	first uint64 // position of its first event
	last  uint64 // number of its last frame, or a higher one that is checkpointed
	marks []mark // ascending
}

// mark says where in a segment a frame begins: a reader that looks for a position need not read all before it.
type mark struct {
	position uint64 // of the frame's first event
	offset   int64
}

// markBytes is how far marks are apart, at least: with 16 bytes each, what they take is nothing beside the segment.
const markBytes = 64 << 10

// mark notes where a frame begins, unless it is near to the last mark, or one before it. The Writer's mu is held.
func (s *segment) mark(position uint64, offset int64) {
	last := int64(segmentHeader)
	if n := len(s.marks); n > 0 {
		last = s.marks[n-1].offset
	}
	if offset >= last+markBytes {
		s.marks = append(s.marks, mark{position, offset})
	}
}

// maxSpares is how many segments that are let go of are kept, so that no zeros have to be written for the next ones.
const maxSpares = 4

// leastSegment is how small a segment gets where no larger file may be made.
const leastSegment = 4 << 10

// Open begins to write behind state, with state.Run as the run. It prepares two segments before it returns, so that
// nothing is written behind the caller's back until the first is full; fewer if there is no room, and smaller ones if
// the process may not make such large files (EFBIG, see setrlimit(2)). Close releases what it holds.
func Open(tree vfs.FS, dir string, state State, opts Options) (*Writer, error) {
	w := &Writer{tree: tree, dir: dir, opts: opts, seed: state.ID.seed(), id: state.ID, base: state.Position + 1, state: state, done: state.Frame,
		prepared: make(chan prepared), quit: make(chan struct{}), stop: make(chan struct{})}
	for _, s := range opts.Kept {
		w.live = append(w.live, &segment{name: s.Name, bytes: int(s.Bytes), first: s.First, last: state.Frame})
	}
	var (
		ready []prepared
		err   error
	)
	for len(ready) < 2 && err == nil {
		var p prepared
		switch p, err = w.prepare(); {
		case err == nil:
			ready = append(ready, p)
		case errors.Is(err, syscall.EFBIG) && len(ready) == 0 && w.opts.SegmentBytes >= 2*leastSegment:
			w.opts.SegmentBytes /= 2
			err = nil
		}
	}
	if err != nil && !noSpace(err) {
		for _, p := range ready {
			err = errors.Join(err, p.file.Close())
		}
		return nil, err
	}
	w.wg.Go(func() { w.prepareAll(ready, err) })
	return w, nil
}

// Checkpoint records, durably with Options.Sync, that the streams' files have everything up to state.
func (w *Writer) Checkpoint(state State) error {
	if err := writeState(w.tree, w.dir, state, w.opts.Sync); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = state.Frame
	return nil
}

// WriteCheckpoint is [Writer.Checkpoint] before there is a Writer.
func WriteCheckpoint(tree vfs.FS, dir string, state State, sync bool) error {
	return writeState(tree, dir, state, sync)
}

// State returns where the journal stands. It belongs to the goroutine that appends.
func (w *Writer) State() State { return w.state }

// Bytes returns the size of the segments that are not retired.
func (w *Writer) Bytes() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.live {
		n += int64(s.bytes)
	}
	return n
}

// Segments returns how many segments hold something that is not checkpointed.
func (w *Writer) Segments() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range slices.Backward(w.live) {
		if s.last <= w.done {
			break
		}
		n++
	}
	return n
}

// Earliest returns the position of the first event that can be read.
func (w *Writer) Earliest() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.live) > 0 {
		return w.live[0].first
	}
	return w.base
}

// Append writes the frame, which holds at least one event, and returns when it is on stable storage. Its first event
// is the one behind State().Position. rotated is true when a segment has been filled. It waits for room on the disk
// until GiveUp; then it returns ErrNoRoom. After any other error nobody knows what is there, and Append must not be
// called again.
func (w *Writer) Append(b *Builder) (rotated bool, err error) {
	if len(b.Buf) > MaxFrameBytes {
		return false, fmt.Errorf("frame of %d bytes, the largest is %d", len(b.Buf), MaxFrameBytes)
	}
	b.finish(w.seed, w.state.Frame+1, w.state.Run, w.state.Position+1)
	out := append(b.Buf, make([]byte, terminator)...)
	b.Buf = out[:len(out)-terminator]
	if w.file == nil || w.off+len(b.Buf) > w.size {
		rotated = w.file != nil
		if err := w.rotate(len(b.Buf)); err != nil {
			return false, err
		}
	}
	out = out[:min(len(out), w.size-w.off)] // at the very end there is no room for a terminator, and no need
	if _, err := w.file.WriteAt(out, int64(w.off)); err != nil {
		return rotated, err
	}
	if w.opts.Sync {
		start := time.Now()
		if err := w.file.Datasync(); err != nil {
			return rotated, err
		}
		if w.opts.Synced != nil {
			w.opts.Synced(time.Since(start))
		}
	}
	at, first := int64(w.off), w.state.Position+1
	w.off += len(b.Buf)
	w.state.Frame++
	w.state.Position += uint64(b.Count)
	w.mu.Lock()
	s := w.live[len(w.live)-1]
	s.last = w.state.Frame
	s.mark(first, at)
	w.mu.Unlock()
	return rotated, nil
}

// rotate begins a segment with room for a frame of n bytes. The file has its header on stable storage before it has
// its name, and its name before it has a frame.
func (w *Writer) rotate(n int) error {
	p, err := w.next(n)
	if err != nil {
		return err
	}
	if w.file != nil {
		old := w.file
		w.file = nil
		if err := old.Close(); err != nil {
			return errors.Join(err, p.file.Close())
		}
	}
	name := w.dir + "/" + segmentName(w.state.Position+1)
	h := header{id: w.state.ID, first: w.state.Position + 1, frame: w.state.Frame + 1}
	_, err = p.file.WriteAt(append(h.encode(), make([]byte, terminator)...), 0)
	if err == nil && w.opts.Sync {
		err = p.file.Datasync()
	}
	if err == nil {
		err = w.tree.Rename(p.name, name)
	}
	if err == nil && w.opts.Sync {
		err = w.tree.SyncDir(w.dir)
	}
	if err != nil {
		return errors.Join(err, p.file.Close())
	}
	w.file, w.size, w.off = p.file, p.size, segmentHeader
	w.mu.Lock()
	w.live = append(w.live, &segment{name: name, bytes: p.size, first: w.state.Position + 1, last: w.state.Frame + 1})
	w.mu.Unlock()
	return nil
}

// Retire lets go of segments all of whose frames are numbered up to frame and checkpointed, the oldest first, until keep
// says of one that it has to stay; nil: none has to. A few are kept to be used again. What a crash leaves is without a gap:
// each one's end is on stable storage before the next one goes.
func (w *Writer) Retire(frame uint64, keep func(Segment) bool) error {
	w.retiring.Lock()
	defer w.retiring.Unlock()
	for {
		w.mu.Lock()
		if len(w.live) < 2 || w.live[0].last > frame {
			w.mu.Unlock()
			return nil
		}
		s := w.live[0]
		last := w.live[1].first - 1
		w.mu.Unlock()
		if keep != nil && keep(Segment{Name: s.name, First: s.first, Last: last, Bytes: int64(s.bytes)}) {
			return nil
		}
		if err := w.drop(s); err != nil {
			return err
		}
	}
}

// drop lets go of the oldest segment: it is removed, or is a spare one from now on. retiring is held.
func (w *Writer) drop(s *segment) error {
	w.mu.Lock()
	w.live = w.live[1:] // first: a reader that finds something else there knows why
	spare := ""
	if len(w.spares) < maxSpares && s.bytes == w.opts.SegmentBytes {
		spare = w.tmpName()
	}
	w.mu.Unlock()
	var err error
	if spare == "" {
		err = w.tree.Remove(s.name)
	} else {
		err = w.tree.Rename(s.name, spare)
	}
	if err == nil && w.opts.Sync { // before a spare gets a new header: its old name must not come back
		err = w.tree.SyncDir(w.dir)
	}
	if err != nil || spare == "" {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spares = append(w.spares, spare)
	return nil
}

// Trim removes the segments that are kept to be used again, all but one, and returns how many bytes they had.
func (w *Writer) Trim() (bytes int64, err error) {
	w.mu.Lock()
	var gone []string
	if len(w.spares) > 1 {
		gone = slices.Clone(w.spares[1:])
		w.spares = w.spares[:1]
	}
	w.mu.Unlock()
	for _, name := range gone {
		if err := w.tree.Remove(name); err != nil {
			return bytes, err
		}
		bytes += int64(w.opts.SegmentBytes)
	}
	return bytes, nil
}

// GiveUp ends the wait for room. Append still uses a segment that can be prepared.
func (w *Writer) GiveUp() { w.giveUp.Do(func() { close(w.quit) }) }

// Close stops the preparation and closes the files. It comes after the last Append and Retire.
func (w *Writer) Close() error {
	w.GiveUp()
	close(w.stop)
	w.wg.Wait()
	var errs []error
	for _, p := range w.unused {
		errs = append(errs, p.file.Close(), w.tree.Remove(p.name))
	}
	if w.file != nil {
		errs = append(errs, w.file.Close())
	}
	return errors.Join(errs...)
}
