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
	// Segments are the files of the segments. They are not written to again: [Found.Remove] removes them.
	Segments []string
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
	for i, first := range starts {
		name := dir + "/" + segmentName(first)
		found.Segments = append(found.Segments, name)
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

// Remove removes the segments, durably if sync is set. It comes after a checkpoint that covers them.
func (f *Found) Remove(tree vfs.FS, dir string, sync bool) error {
	for _, name := range f.Segments {
		if err := tree.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if !sync || len(f.Segments) == 0 {
		return nil
	}
	return tree.SyncDir(dir)
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
		if limit = h.frame; limit <= r.done+1 {
			return nil // checkpointed as a whole: its removal has begun, and others may be gone already
		}
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
	return r.frames(name, b, h, limit)
}

// frames reads the frames of a segment whose header is h, up to number limit if that is not 0.
func (r *reader) frames(name string, b []byte, h header, limit uint64) error {
	st := &r.found.State
	seed := st.ID.seed()
	position := h.first
	off := segmentHeader
	for limit == 0 || r.next < limit {
		f, size, err := decodeFrame(seed, b[off:])
		if err == nil && size > 0 && f.Number < r.next {
			err, size = fmt.Errorf("%w: frame %d of an earlier use", errDamaged, f.Number), 0
		}
		if err != nil || size == 0 {
			more, end, err := r.gap(name, b, off, seed, limit, err)
			if err != nil || end {
				return err
			}
			off, position = more, 0
			continue
		}
		if f.Number != r.next || position != 0 && f.First != position || f.Run < st.Run && f.Number > r.done {
			return &CorruptError{name, int64(off), fmt.Errorf("frame %d of run %d begins at position %d, want frame %d at %d",
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
	return nil
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
		r.next = f.Number // what is missing is in the streams' files
		return off + i, false, nil
	}
	switch {
	case limit > r.done+1:
		return 0, false, &CorruptError{name, int64(off), fmt.Errorf("%w; frames %d to %d are missing", why, r.next, limit-1)}
	case limit > 0:
		r.next = limit
		return 0, true, nil
	case r.next <= r.done: // all that is missing is in the streams' files
		r.next = r.done + 1
		return 0, true, nil
	}
	rest := bytes.TrimRight(b[off:], "\x00")
	if len(b)-off >= terminator && !bytes.Equal(b[off:off+terminator], make([]byte, terminator)) {
		r.found.Torn = Torn{File: name, Offset: int64(off), Bytes: rest, Why: why}
	}
	return 0, true, nil
}
