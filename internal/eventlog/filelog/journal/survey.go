package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"cartd/internal/eventlog/filelog/vfs"
)

// Survey is all that can be read of a journal, however damaged. Unlike [Recover], [Look] goes on behind damage.
type Survey struct {
	// State is the checkpoint's; only the ID is set when there is none that checks out.
	State        State
	Checkpointed bool
	// Frames are the sound ones, by number, those that are checkpointed included; but of the segments that are
	// checkpointed as a whole only those of the newest, 256 MiB of them: the others are there for readers, and are checked
	// and not kept.
	Frames   []Frame
	Segments []string // their files, by position
	Bytes    int64
	Faults   []Fault
	// Lost are the frames that faults have taken and that no checkpoint covers, by position.
	Lost []Lost
	// Torn is the end of the last segment when it was never acknowledged; its File is "" otherwise.
	Torn Torn
	// Unexpected are files that do not belong to a journal.
	Unexpected []string

	headers uint64 // frames that the headers say were written
	first   uint64 // positions that the headers say were given
}

// FaultKind says what is wrong in a journal.
type FaultKind string

// What a Survey can find.
const (
	BadCheckpoint FaultKind = "checkpoint"
	BadHeader     FaultKind = "segment"
	BadFrame      FaultKind = "frame"
	MissingFrames FaultKind = "frames_missing"
)

// Fault is a place that does not check out.
type Fault struct {
	Kind   FaultKind
	File   string // relative to the tree's root
	Offset int64  // bytes
	Why    error
}

// Lost is a range of positions that were in damaged or missing frames.
type Lost struct {
	From uint64
	To   uint64 // inclusive; 0 when it is not known
}

// End returns where a journal goes on that has all of the survey behind it: its frames, positions and runs are not
// given again.
func (s *Survey) End() State {
	st := s.State
	st.Frame, st.Position = max(st.Frame, s.headers), max(st.Position, s.first)
	for i := range s.Frames {
		f := &s.Frames[i]
		st.Frame, st.Position, st.Run = max(st.Frame, f.Number), max(st.Position, f.Last()), max(st.Run, f.Run)
	}
	return st
}

// Look reads the journal in dir and changes nothing. A writer may be at work: what it seems to have broken is sound on
// a second look. A missing directory is an empty journal. The memory it takes is that of the segments. The error is
// about reading, or wraps ErrNewerFormat.
func Look(tree vfs.FS, dir string) (*Survey, error) {
	names, err := tree.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &Survey{}, nil
	}
	if err != nil {
		return nil, err
	}
	l := look{Survey: &Survey{}, tree: tree}
	var starts []uint64
	for _, name := range names {
		if first, ok := parseName(name); ok {
			starts = append(starts, first)
		} else if name != checkpointName && !strings.HasSuffix(name, tmpSuffix) {
			l.Unexpected = append(l.Unexpected, dir+"/"+name)
		}
	}
	slices.Sort(starts)
	slices.Sort(l.Unexpected)
	state, ok, err := readState(tree, dir)
	if c, bad := errors.AsType[*CorruptError](err); bad && !errors.Is(err, ErrNewerFormat) {
		l.fault(BadCheckpoint, c.File, 0, c.Why)
	} else if err != nil {
		return nil, err
	}
	l.State, l.Checkpointed, l.known = state, ok, ok
	if err := l.headersOf(dir, starts); err != nil {
		return nil, err
	}
	// A log begins with a checkpoint, which is replaced and never removed.
	if i := slices.IndexFunc(l.parts, func(p part) bool { return p.sound }); err == nil && !ok && i >= 0 && l.parts[i].frame > 1 {
		l.fault(BadCheckpoint, dir+"/"+checkpointName, 0, fmt.Errorf("it is missing, and the journal begins with frame %d", l.parts[i].frame))
	}
	l.keepNewest(surveyBytes)
	for i := range l.parts {
		if err := l.segment(i); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(l.Frames, func(a, b Frame) int {
		switch {
		case a.Number != b.Number && a.Number < b.Number, a.Number == b.Number && a.Run > b.Run:
			return -1
		case a.Number == b.Number && a.Run == b.Run:
			return 0
		}
		return 1
	})
	l.Frames = slices.CompactFunc(l.Frames, func(a, b Frame) bool { return a.Number == b.Number })
	return l.Survey, nil
}

// look is a survey in the making.
type look struct {
	*Survey
	tree  vfs.FS
	known bool // the incarnation is known
	parts []part
	begun bool
	next  uint64 // number of the next frame; 0 when it is not known
	pos   uint64 // of its first event; 0 when it is not known
}

// part is a segment.
type part struct {
	name  string
	first uint64 // as its name says
	header
	sound bool  // the header is
	size  int64 // of the file
	keep  bool  // its frames
}

// surveyBytes bounds the segments, beside those that are needed, whose frames are kept.
const surveyBytes = 256 << 20

// keepNewest decides which segments' frames are kept.
func (l *look) keepNewest(most int64) {
	needed := true // what follows, or this one, is not checkpointed as a whole
	for i := range slices.Backward(l.parts) {
		p := &l.parts[i]
		most -= p.size
		p.keep = needed || most >= 0
		if p.sound && l.Checkpointed && p.frame <= l.State.Frame+1 {
			needed = false
		}
	}
}

func (l *look) fault(kind FaultKind, file string, offset int64, why error) {
	l.Faults = append(l.Faults, Fault{kind, file, offset, why})
}

// headersOf reads the segments' headers: each says where the one before it has to end.
func (l *look) headersOf(dir string, starts []uint64) error {
	for _, first := range starts {
		p := part{name: dir + "/" + segmentName(first), first: first}
		f, err := l.tree.Open(p.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // let go of meanwhile
		}
		if err != nil {
			return err
		}
		if p.size, err = f.Size(); err != nil {
			return errors.Join(err, f.Close())
		}
		b, err := readAll(f, p.name, segmentHeader)
		if err != nil {
			return err
		}
		h, err := decodeHeader(b)
		switch {
		case errors.Is(err, ErrNewerFormat):
			return &CorruptError{p.name, 0, err}
		case err != nil:
			l.fault(BadHeader, p.name, 0, err)
			if !l.known && len(b) == segmentHeader {
				l.State.ID = ID(b[12:28]) // a guess; the frames' checksums tell
			}
		case l.known && h.id != l.State.ID:
			l.fault(BadHeader, p.name, 0, fmt.Errorf("it belongs to the log %x, the others to %x", h.id, l.State.ID))
		case h.first != first:
			l.fault(BadHeader, p.name, 0, fmt.Errorf("its header says that it begins at position %d", h.first))
		default:
			l.State.ID, l.known = h.id, true
			p.header, p.sound = h, true
			l.headers, l.first = max(l.headers, h.frame-1), max(l.first, h.first-1)
		}
		l.parts = append(l.parts, p)
		l.Segments = append(l.Segments, p.name)
	}
	return nil
}

// segment reads the frames of one segment.
func (l *look) segment(i int) error {
	p := &l.parts[i]
	f, err := l.tree.Open(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := readAll(f, p.name, maxSegment)
	if err != nil {
		return err
	}
	l.Bytes += int64(len(b))
	if p.sound {
		l.contiguous(p)
		l.next, l.pos, l.begun = p.frame, p.first, true
	}
	limit := uint64(0) // number of the first frame that is in the next segment
	if i+1 < len(l.parts) && l.parts[i+1].sound {
		limit = l.parts[i+1].frame
	}
	l.frames(p, b, limit, i == len(l.parts)-1)
	return nil
}

// contiguous compares a segment's header with what was read before it.
func (l *look) contiguous(p *part) {
	expected := l.next
	if !l.begun {
		expected = l.State.Frame + 1
	}
	// Segments that are checkpointed may be gone, in any order.
	if !l.begun && !l.Checkpointed || expected == 0 || p.frame <= expected || p.frame <= l.State.Frame+1 {
		return
	}
	from := l.State.Position + 1
	if l.begun && l.pos > 0 {
		from = l.pos
	}
	l.fault(MissingFrames, p.name, 0, fmt.Errorf("it begins with frame %d, frames from %d on are missing", p.frame, expected))
	l.Lost = append(l.Lost, Lost{from, p.first - 1})
}

// frames reads what stands behind a header.
func (l *look) frames(p *part, b []byte, limit uint64, last bool) {
	seed := l.State.ID.seed()
	off := min(segmentHeader, len(b))
	budget := 64 * (len(b) + 1<<10)
	for limit == 0 || l.next < limit {
		f, size, err := decodeFrame(seed, b[off:])
		if err == nil && size > 0 && (l.next == 0 || f.Number == l.next) && (l.pos == 0 || f.First == l.pos) {
			if p.keep {
				l.Frames = append(l.Frames, f)
			}
			l.next, l.pos, l.begun = f.Number+1, f.Last()+1, true
			off += size
			continue
		}
		why := err
		switch {
		case err == nil && size == 0:
			why = fmt.Errorf("%w: nothing is there", errDamaged)
		case err == nil:
			why = fmt.Errorf("%w: frame %d at position %d, want frame %d at %d", errDamaged, f.Number, f.First, l.next, l.pos)
		}
		if at := salvage(seed, b[off:], l.next, limit, &budget); at >= 0 {
			f, _, _ := decodeFrame(seed, b[off+at:])
			l.fault(BadFrame, p.name, int64(off), fmt.Errorf("%w; frame %d follows at byte %d", why, f.Number, off+at))
			l.lose(f.Number, f.First-1)
			l.next, l.pos = f.Number, f.First
			off += at
			continue
		}
		l.end(p, b, off, limit, last, why)
		return
	}
}

// end decides what it means that no sound frame stands at off nor behind it.
func (l *look) end(p *part, b []byte, off int, limit uint64, last bool, why error) {
	empty := bytes.Equal(b[off:min(off+terminator, len(b))], make([]byte, min(terminator, len(b)-off)))
	switch {
	case limit > 0:
		l.fault(BadFrame, p.name, int64(off), fmt.Errorf("%w; frames %d to %d are missing", why, l.next, limit-1))
		l.lose(limit, 0)
	case !last && !empty:
		l.fault(BadFrame, p.name, int64(off), why)
		l.lose(math.MaxUint64, 0)
	case last && l.begun && l.next <= l.State.Frame:
		l.fault(BadFrame, p.name, int64(off), fmt.Errorf("%w; frames %d to %d are missing", why, l.next, l.State.Frame))
	case last && !empty && p.sound:
		l.Torn = Torn{File: p.name, Offset: int64(off), Bytes: bytes.TrimRight(b[off:], "\x00"), Why: why}
	}
	if limit == 0 && !last { // the next one says where it begins, or nobody does
		l.next, l.pos = 0, 0
	}
}

// lose notes the positions from the next frame on up to to, unless a checkpoint covers the frames before number.
func (l *look) lose(number, to uint64) {
	if number > l.State.Frame+1 || !l.Checkpointed {
		l.Lost = append(l.Lost, Lost{max(l.pos, 1), to})
	}
}

// salvage returns the offset of the first sound frame in b behind its first byte, with a number from least on and below
// limit if that is not 0; -1 if there is none, or none before so many bytes have been summed.
func salvage(seed uint32, b []byte, least, limit uint64, budget *int) int {
	if i := bytes.IndexFunc(b, func(r rune) bool { return r != 0 }); i < 0 {
		return -1 // nothing but zeros, as a rule
	}
	most := uint64(math.MaxUint64)
	if least > 0 {
		most = least + uint64(len(b)/frameHeader) + 1
	}
	if limit > 0 {
		most = min(most, limit-1)
	}
	for i := 0; i+frameHeader <= len(b) && *budget > 0; i++ {
		h := b[i:]
		number, size := le64(h[4:]), int(le32(h))
		if number < max(least, 1) || number > most || size < frameHeader || size > len(h) || le64(h[12:]) == 0 || le32(h[28:]) == 0 {
			continue
		}
		*budget -= size
		if _, n, err := decodeFrame(seed, h); err == nil && n > 0 {
			return i
		}
	}
	return -1
}
