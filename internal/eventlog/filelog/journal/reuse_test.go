package journal

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"cartd/internal/eventlog/filelog/vfs/crashfs"
)

// frameOf makes a frame of one line, all of the same size.
func frameOf(number, position uint64) []byte {
	var b Builder
	b.Begin("cart", "c")
	b.Buf = append(b.Buf, lineAt(position)...)
	b.End(1)
	b.finish(goldenState.ID.seed(), number, goldenState.Run, position)
	return b.Buf
}

// TestFrameOfAnEarlierUseIsNoDamage: a segment was used before, for frames 1 and 2, and is used again from frame 11 on.
// The power went while frame 11 was written: the zeros behind it are not there, frame 2 is.
func TestFrameOfAnEarlierUseIsNoDamage(t *testing.T) {
	const position = 50
	header := header{id: goldenState.ID, first: position, frame: 11}.encode()
	old := frameOf(2, 11)
	content := slices.Concat(header, frameOf(11, position), old, make([]byte, 100))
	if len(old) != len(frameOf(11, position)) {
		t.Fatal("frames differ in length: the old one would not stand where the next one belongs")
	}
	dir := t.TempDir()
	state := goldenState
	state.Frame, state.Position = 10, position-1
	tree := openTree(t, dir)
	if err := WriteCheckpoint(tree, "j", state, true); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, segmentName(position), content)
	found, err := Recover(tree, "j")
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Frames) != 1 || found.Frames[0].Number != 11 || found.State.Position != position {
		t.Errorf("got %d frames up to position %d, want frame 11 at %d", len(found.Frames), found.State.Position, position)
	}
	if !bytes.Equal(found.Torn.Bytes, bytes.TrimRight(old, "\x00")) {
		t.Errorf("kept aside are %x, want what stands behind the last frame: %x", found.Torn.Bytes, old)
	}
}

// TestRetiredSegmentNeverComesBack: when Retire has returned, a crash does not give a segment its name back; it may have
// the header of another by then.
func TestRetiredSegmentNeverComesBack(t *testing.T) {
	disk := crashfs.New(nil)
	if err := errors.Join(disk.Mkdir("j"), disk.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	state := NewState(0)
	state.Run = 1
	w, err := Open(disk, "j", state, Options{SegmentBytes: 256, Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	var b Builder
	for n := range 20 {
		b.Reset(1 << 20)
		b.Begin("cart", "c")
		b.Buf = append(b.Buf, lineAt(uint64(n+1))...)
		b.End(1)
		if _, err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	before := w.Segments()
	if err := errors.Join(w.Checkpoint(w.State()), w.Retire(w.State().Frame, nil)); err != nil {
		t.Fatal(err)
	}
	names, err := disk.Forget(nil).ReadDir("j")
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, name := range names {
		if _, ok := parseName(name); ok {
			left++
		}
	}
	if before < 3 || left != 1 {
		t.Errorf("%d of %d segments are there after a crash behind Retire, want the one that is written to: %q", left, before, names)
	}
}

// Segments wait to be used again, four at most; where room is short all but one of them go.
func TestTrimLeavesOneSegmentToBeUsedAgain(t *testing.T) {
	state := NewState(0)
	state.Run = 1
	disk := crashfs.New(nil)
	if err := disk.Mkdir("j"); err != nil {
		t.Fatal(err)
	}
	w, err := Open(disk, "j", state, Options{SegmentBytes: 256})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	var b Builder
	for n := range 40 {
		b.Reset(1 << 20)
		b.Begin("cart", "c")
		b.Buf = append(b.Buf, lineAt(uint64(n+1))...)
		b.End(1)
		if _, err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Checkpoint(w.State()), w.Retire(w.State().Frame, nil)); err != nil {
		t.Fatal(err)
	}
	// Who prepares segments may have taken one or two of the four.
	if bytes, err := w.Trim(); err != nil || bytes < 256 || bytes > 3*256 {
		t.Errorf("got %d bytes, %v; want those of all spare ones but one", bytes, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.spares); n > 1 {
		t.Errorf("%d are spare still, want one", n)
	}
}
