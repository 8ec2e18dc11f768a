package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"cartd/internal/eventlog/filelog/vfs"
)

// Found is what a former process left.
type Found struct {
	// State is where the journal goes on: behind the last sound frame. Its ID is zero when there is no journal.
	State State
	// Frames are those that the checkpoint does not cover.
	Frames []Frame
	Bytes  int64 // of the segments that were read
	// Torn is the end of the last segment when it is neither empty nor sound; its File is "" otherwise.
	Torn Torn
	// Segments are the files of the segments, by position. They are not written to again: [Found.Settle] makes them
	// ready for readers, or [Found.Remove] removes them.
	Segments []string
	// Holes is true when checkpointed frames do not check out: nothing is lost, but there is no reading on across them.
	Holes bool

	last part   // the last segment
	body []byte // of it, up to the end of its last sound frame
	size int    // of its file
}

// Torn is an end of a segment that was never acknowledged.
type Torn struct {
	File   string
	Offset int64
	Bytes  []byte
	Why    error
}

// maxSegment bounds what is read of one file.
const maxSegment = MaxFrameBytes + segmentHeader + terminator

// Recover reads the journal in dir, which exists. It changes nothing but for files that were still being prepared,
// which it removes. Damage is reported as a *CorruptError. The memory it takes is that of the segments which the
// checkpoint does not cover.
func Recover(tree vfs.FS, dir string) (*Found, error) {
	names, err := tree.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := &Found{}
	var starts []uint64
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			if err := tree.Remove(dir + "/" + name); err != nil {
				return nil, err
			}
		} else if first, ok := parseName(name); ok {
			starts = append(starts, first)
		}
	}
	slices.Sort(starts)
	state, ok, err := readState(tree, dir)
	if err != nil {
		return nil, err
	}
	found.State = state
	r := reader{tree: tree, found: found, done: state.Frame, known: ok, next: state.Frame + 1}
	begin, err := r.begin(dir, starts)
	if err != nil {
		return nil, err
	}
	for i, first := range starts {
		name := dir + "/" + segmentName(first)
		found.Segments = append(found.Segments, name)
		if i < begin {
			continue // checkpointed, and there for readers alone: they will see whether it is sound
		}
		following := ""
		if i+1 < len(starts) {
			following = dir + "/" + segmentName(starts[i+1])
		}
		if err := r.segment(name, first, following); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Settle makes the segments ready for readers, and returns them by position; none when there is something in them that
// cannot be read, or no room. The last one is written anew, up to its last sound frame: what the page cache shows of it
// after a sync that failed need not be on the disk, what is torn must not stay, and what was only prepared takes room.
// All else of them is on stable storage, or a frame behind it would not be there.
func (f *Found) Settle(tree vfs.FS, dir string, sync bool) ([]Segment, error) {
	if f.Holes || len(f.Segments) == 0 {
		return nil, nil
	}
	names := f.Segments
	switch {
	case len(f.body) <= segmentHeader: // the next one will have its name
		names = names[:len(names)-1]
		if err := removeAll(tree, dir, []string{f.last.name}, sync); err != nil {
			return nil, err
		}
	case f.size > len(f.body)+terminator || len(f.Frames) > 0:
		err := rewrite(tree, dir, f.last.name, f.body, sync)
		doubtful := len(f.Frames) > 0 || f.Torn.File != ""
		if noSpace(err) && doubtful {
			return nil, nil
		}
		if err != nil && !noSpace(err) {
			return nil, err
		}
	}
	kept := make([]Segment, 0, len(names))
	for _, name := range names {
		first, _ := parseName(name[strings.LastIndexByte(name, '/')+1:])
		size, err := sizeOf(tree, name)
		if err != nil {
			return nil, err
		}
		kept = append(kept, Segment{Name: name, First: first, Bytes: size})
	}
	return kept, nil
}

func sizeOf(tree vfs.FS, name string) (int64, error) {
	f, err := tree.Open(name)
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	return size, errors.Join(err, f.Close())
}

// rewrite replaces a segment by its body.
func rewrite(tree vfs.FS, dir, name string, body []byte, sync bool) error {
	tmp := dir + "/settled" + tmpSuffix
	f, err := tree.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(body, 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, tree.Remove(tmp))
	}
	if err := tree.Rename(tmp, name); err != nil || !sync {
		return err
	}
	return tree.SyncDir(dir)
}

// Remove removes the segments, durably if sync is set. It comes after a checkpoint that covers them.
func (f *Found) Remove(tree vfs.FS, dir string, sync bool) error {
	return removeAll(tree, dir, f.Segments, sync)
}

// removeAll removes files in such a way that a crash leaves the last ones of them.
func removeAll(tree vfs.FS, dir string, names []string, sync bool) error {
	for _, name := range names {
		switch err := tree.Remove(name); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !sync:
			continue
		}
		if err := tree.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// reader goes through the segments in order.
type reader struct {
	tree  vfs.FS
	found *Found
	done  uint64 // frames up to here are checkpointed
	known bool   // the incarnation is known
	begun bool   // a segment has been read
	next  uint64 // number of the next frame
}

// begin returns which segment is the first that is not checkpointed as a whole. Headers are read from the end: of a
// journal that is kept for days only the last part matters here.
func (r *reader) begin(dir string, starts []uint64) (int, error) {
	for i := len(starts) - 1; i > 0; i-- {
		h, err := r.header(dir+"/"+segmentName(starts[i]), starts[i])
		if err != nil {
			return 0, err
		}
		if h.frame <= r.done+1 {
			return i, nil
		}
	}
	return 0, nil
}

func (r *reader) header(name string, first uint64) (h header, err error) {
	f, err := r.tree.Open(name)
	if err != nil {
		return header{}, err
	}
	b, err := readAll(f, name, segmentHeader)
	if err != nil {
		return header{}, err
	}
	return r.check(name, first, b)
}

func (r *reader) check(name string, first uint64, b []byte) (header, error) {
	h, err := decodeHeader(b)
	switch {
	case err != nil:
		return header{}, &CorruptError{name, 0, err}
	case h.first != first:
		return header{}, &CorruptError{name, 0, fmt.Errorf("its header says that it begins at position %d", h.first)}
	case r.known && h.id != r.found.State.ID:
		return header{}, &CorruptError{name, 0, fmt.Errorf("it belongs to the log %x, the others to %x", h.id, r.found.State.ID)}
	}
	return h, nil
}

// segment reads one segment. following names the one behind it, "" for the last.
func (r *reader) segment(name string, first uint64, following string) error {
	limit := uint64(0) // number of the following segment's first frame
	if following != "" {
		start, _ := parseName(following[strings.LastIndexByte(following, '/')+1:])
		h, err := r.header(following, start)
		if err != nil {
			return err
		}
		limit = h.frame
	}
	f, err := r.tree.Open(name)
	if err != nil {
		return err
	}
	b, err := readAll(f, name, maxSegment)
	if err != nil {
		return err
	}
	r.found.Bytes += int64(len(b))
	h, err := r.check(name, first, b)
	if err != nil {
		return err
	}
	st := &r.found.State
	if !r.known {
		st.ID, r.known = h.id, true
	}
	if h.frame > r.next || r.begun && (h.frame != r.next || h.first != st.Position+1) {
		return &CorruptError{name, 0, fmt.Errorf("it begins with frame %d, frames from %d on are missing", h.frame, r.next)}
	}
	if !r.begun {
		r.begun, r.next = true, h.frame
	}
	end, err := r.frames(name, b, h, limit)
	if following == "" {
		r.found.last, r.found.body, r.found.size = part{name: name, first: first}, b[:end], len(b)
	}
	return err
}

// frames reads the frames of a segment whose header is h, up to number limit if that is not 0. It returns where the last
// sound one ends.
func (r *reader) frames(name string, b []byte, h header, limit uint64) (off int, err error) {
	st := &r.found.State
	seed := st.ID.seed()
	position := h.first
	off = segmentHeader
	for limit == 0 || r.next < limit {
		f, size, err := decodeFrame(seed, b[off:])
		if err == nil && size > 0 && f.Number < r.next {
			err, size = fmt.Errorf("%w: frame %d of an earlier use", errDamaged, f.Number), 0
		}
		if err != nil || size == 0 {
			more, end, err := r.gap(name, b, off, seed, limit, err)
			if err != nil || end {
				return off, err
			}
			off, position = more, 0
			continue
		}
		if f.Number != r.next || position != 0 && f.First != position || f.Run < st.Run && f.Number > r.done {
			return off, &CorruptError{name, int64(off), fmt.Errorf("frame %d of run %d begins at position %d, want frame %d at %d",
				f.Number, f.Run, f.First, r.next, position)}
		}
		if f.Number > r.done {
			r.found.Frames = append(r.found.Frames, f)
			st.Frame, st.Position, st.Run = f.Number, f.Last(), max(st.Run, f.Run)
		}
		position = f.Last() + 1
		r.next = f.Number + 1
		off += size
	}
	return off, nil
}

// gap decides what it means that no sound frame stands at off. It returns where to go on, or end.
func (r *reader) gap(name string, b []byte, off int, seed uint32, limit uint64, why error) (more int, end bool, err error) {
	if why == nil {
		why = fmt.Errorf("%w: nothing is there", errDamaged)
	}
	if i := findFrame(seed, b[off:], r.next); i >= 0 {
		f, _, err := decodeFrame(seed, b[off+i:])
		if err != nil || f.Number > r.done+1 {
			return 0, false, &CorruptError{name, int64(off), fmt.Errorf("%w; frame %d is missing, and %d follows", why, r.next, f.Number)}
		}
		r.next, r.found.Holes = f.Number, true // what is missing is in the streams' files
		return off + i, false, nil
	}
	switch {
	case limit > r.done+1:
		return 0, false, &CorruptError{name, int64(off), fmt.Errorf("%w; frames %d to %d are missing", why, r.next, limit-1)}
	case limit > 0:
		r.next, r.found.Holes = limit, true
		return 0, true, nil
	case r.next <= r.done: // all that is missing is in the streams' files
		r.next, r.found.Holes = r.done+1, true
		return 0, true, nil
	}
	rest := bytes.TrimRight(b[off:], "\x00")
	if len(b)-off >= terminator && !bytes.Equal(b[off:off+terminator], make([]byte, terminator)) {
		r.found.Torn = Torn{File: name, Offset: int64(off), Bytes: rest, Why: why}
	}
	return 0, true, nil
}
