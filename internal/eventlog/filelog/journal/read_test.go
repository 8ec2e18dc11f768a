package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fill appends n frames of one event each.
func fill(t *testing.T, w *Writer, n int) {
	t.Helper()
	var b Builder
	for range n {
		b.Reset(1 << 20)
		b.Begin("cart", "c")
		b.Buf = append(b.Buf, lineAt(w.State().Position+1)...)
		b.End(1)
		if _, err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
}

// readFrom returns the positions of the events behind after, which have to be dense, and how it ended.
func readFrom(t *testing.T, w *Writer, after uint64) (n int, err error) {
	t.Helper()
	for f, err := range w.Frames(after, w.State().Position) {
		if err != nil {
			return n, err
		}
		if n++; f.First != after+uint64(n) {
			t.Fatalf("frame %d behind %d begins at position %d", n, after, f.First)
		}
	}
	return n, nil
}

func openWriter(t *testing.T, dir string, state State, kept []Segment) *Writer {
	t.Helper()
	w, err := Open(openTree(t, dir), "j", state, Options{SegmentBytes: 1 << 10, Sync: true, Kept: kept})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestFramesAreReadFromAnyPositionAndThroughRuns(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, dir, goldenState, nil)
	if n, err := readFrom(t, w, 41); n != 0 || err != nil || w.Earliest() != 42 {
		t.Errorf("empty: got %d frames, %v, earliest %d", n, err, w.Earliest())
	}
	fill(t, w, 100)
	if err := errors.Join(w.Checkpoint(w.State()), w.Close()); err != nil {
		t.Fatal(err)
	}
	for run := range 3 {
		tree := openTree(t, dir)
		found, err := Recover(tree, "j")
		if err != nil || found.Holes || len(found.Frames) != 0 {
			t.Fatalf("run %d: got %+v, %v", run, found, err)
		}
		kept, err := found.Settle(tree, "j", true)
		if err != nil {
			t.Fatal(err)
		}
		state := found.State
		state.Run++
		w = openWriter(t, dir, state, kept)
		fill(t, w, 1+run*20)
		last := w.State().Position
		for after := uint64(41); after <= last; after++ {
			if n, err := readFrom(t, w, after); err != nil || n != int(last-after) {
				t.Fatalf("run %d behind %d: got %d frames, %v; want %d", run, after, n, err, last-after)
			}
		}
		if n, err := readFrom(t, w, 40); !errors.Is(err, ErrRetired) || n > 0 {
			t.Errorf("behind 40: got %d frames, %v; want ErrRetired", n, err)
		}
		if err := errors.Join(w.Checkpoint(w.State()), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// A flipped byte anywhere in a segment that is read is told, or changes nothing: never another frame.
func TestFlippedByteNeverAltersWhatIsRead(t *testing.T) {
	dir := t.TempDir()
	w := openWriter(t, dir, goldenState, nil)
	fill(t, w, 30)
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(dir, "j", segmentName(42))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for i := range content {
		bad := append([]byte(nil), content...)
		bad[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, bad, 0o640); err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for f, err := range w.Frames(41, w.State().Position) {
			if _, ok := errors.AsType[*CorruptError](err); ok {
				told++
				break
			}
			if err != nil {
				t.Fatalf("byte %d: %v", i, err)
			}
			n++
			if err := f.Records(func(r Record) bool {
				if f.First != 41+n || string(r.Lines) != lineAt(41+n) {
					t.Fatalf("byte %d: frame %d is %q at %d", i, n, r.Lines, f.First)
				}
				return true
			}); err != nil {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	if told < len(content)/2 {
		t.Errorf("%d of %d flipped bytes were told", told, len(content))
	}
}

// What is let go of and used again is told from damage.
func TestReaderOfARetiredSegmentIsToldSo(t *testing.T) {
	w := openWriter(t, t.TempDir(), goldenState, nil)
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	fill(t, w, 60)
	read := 0
	for f, err := range w.Frames(41, w.State().Position) {
		if err != nil {
			if !errors.Is(err, ErrRetired) {
				t.Errorf("after %d frames: got %v, want ErrRetired", read, err)
			}
			break
		}
		if read++; f.First != 41+uint64(read) {
			t.Fatalf("frame %d is at %d", read, f.First)
		}
		if read == 3 {
			frame := w.State().Frame
			if err := errors.Join(w.Checkpoint(w.State()), w.Retire(frame, nil)); err != nil {
				t.Fatal(err)
			}
			fill(t, w, 100) // over what was there
		}
	}
	if read < 3 || read > 59 {
		t.Errorf("read %d frames of 60, of which all but the last segment's were let go of", read)
	}
	if first := w.Earliest(); first <= 42 {
		t.Errorf("earliest is %d", first)
	}
}

func TestLookKeepsTheFramesThatMatter(t *testing.T) {
	dir := t.TempDir()
	tree := openTree(t, dir)
	w := openWriter(t, dir, goldenState, nil)
	fill(t, w, 60)
	done := w.State()
	fill(t, w, 40)
	if err := errors.Join(w.Checkpoint(done), w.Close()); err != nil {
		t.Fatal(err)
	}
	all, err := Look(tree, "j")
	if err != nil || len(all.Faults) > 0 || len(all.Frames) != 100 {
		t.Fatalf("got %d frames, %+v, %v", len(all.Frames), all.Faults, err)
	}
	l := look{Survey: &Survey{State: done, Checkpointed: true}, tree: tree, known: true}
	var starts []uint64
	for _, name := range all.Segments {
		first, _ := parseName(filepath.Base(name))
		starts = append(starts, first)
	}
	if err := l.headersOf("j", starts); err != nil {
		t.Fatal(err)
	}
	l.keepNewest(0)
	for i := range l.parts {
		if err := l.segment(i); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.Frames); len(l.Faults) > 0 || n < 40 || n > 70 || l.Frames[n-1].Number != done.Frame+40 {
		t.Errorf("got %d frames, faults %+v; want those behind the checkpoint and few others", n, l.Faults)
	}
	if end, want := fmt.Sprint(l.End()), fmt.Sprint(all.End()); end != want {
		t.Errorf("ends at %s, want %s", end, want)
	}
}
