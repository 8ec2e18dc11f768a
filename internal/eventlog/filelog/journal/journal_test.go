package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"cartd/internal/eventlog/filelog/vfs"
)

// goldenState is that of testdata/v1.wal before its first frame.
var goldenState = State{ID: ID{0xca, 0x27, 0xd0, 15: 1}, Run: 3, Frame: 6, Position: 41}

func lineAt(position uint64) string { return fmt.Sprintf("{\"pos\":%d}\n", position) }

// write makes a journal of four frames in a new directory, and returns its segment and where each frame ends.
func write(t testing.TB) (dir string, content []byte, ends []int) {
	t.Helper()
	dir = t.TempDir()
	tree := openTree(t, dir)
	w, err := Open(tree, "j", goldenState, Options{SegmentBytes: 1 << 10, Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	var b Builder
	end := segmentHeader
	for i := range 4 {
		b.Reset(1 << 20)
		for j := range i%2 + 1 {
			b.Begin("cart", fmt.Sprintf("c%d", j))
			b.Buf = append(b.Buf, lineAt(w.State().Position+uint64(j)+1)...)
			b.End(1)
		}
		if _, err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
		end += len(b.Buf)
		ends = append(ends, end)
	}
	if err := errors.Join(w.Checkpoint(goldenState), w.Close()); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(filepath.Join(dir, "j", segmentName(42)))
	if err != nil {
		t.Fatal(err)
	}
	return dir, content, ends
}

func openTree(t testing.TB, dir string) *vfs.Dir {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "j"), 0o750); err != nil {
		t.Fatal(err)
	}
	tree, err := vfs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// writeFile writes a file of the journal.
func writeFile(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "j", name), content, 0o640); err != nil {
		t.Fatal(err)
	}
}

// recoverContent recovers a journal whose only segment is content.
func recoverContent(t testing.TB, dir string, content []byte) (*Found, error) {
	t.Helper()
	writeFile(t, dir, segmentName(42), content)
	tree, err := vfs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	return Recover(tree, "j")
}

func checkFrames(t *testing.T, what string, found *Found, want int) {
	t.Helper()
	if len(found.Frames) != want {
		t.Fatalf("%s: got %d frames, want %d", what, len(found.Frames), want)
	}
	position := goldenState.Position
	for i, f := range found.Frames {
		if f.Number != goldenState.Frame+uint64(i)+1 || f.First != position+1 || f.Run != goldenState.Run {
			t.Fatalf("%s: frame %d is %+v", what, i, f)
		}
		n := 0
		err := f.Records(func(r Record) bool {
			position++
			if r.Kind != "cart" || r.Name != fmt.Sprintf("c%d", n) || string(r.Lines) != lineAt(position) {
				t.Fatalf("%s: frame %d has record %+v", what, i, r)
			}
			n++
			return true
		})
		if err != nil || n != int(f.Count) {
			t.Fatalf("%s: frame %d has %d records, %v; want %d", what, i, n, err, f.Count)
		}
	}
}

func TestGoldenSegmentOfFormat1(t *testing.T) {
	_, content, ends := write(t)
	const path = "testdata/v1.wal"
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden, content[:ends[3]]) {
		t.Errorf("segment written differs from the golden one: got %x, want %x", content[:ends[3]], golden)
	}
	dir := t.TempDir()
	tree := openTree(t, dir)
	if err := WriteCheckpoint(tree, "j", goldenState, true); err != nil {
		t.Fatal(err)
	}
	found, err := recoverContent(t, dir, golden)
	if err != nil {
		t.Fatal(err)
	}
	checkFrames(t, "golden", found, 4)
}

func TestGoldenCheckpointOfFormat1(t *testing.T) {
	const path = "testdata/v1.checkpoint"
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := goldenState.encode(); !bytes.Equal(golden, got) {
		t.Errorf("checkpoint written differs from the golden one: got %x, want %x", got, golden)
	}
	if got, err := decodeState(golden); err != nil || got != goldenState {
		t.Errorf("golden checkpoint: got %+v, %v; want %+v", got, err, goldenState)
	}
}

func TestJournalOfANewerFormatIsRefusedAndNotTakenForDamage(t *testing.T) {
	newer := func(b []byte, n int, more string) []byte {
		b[8]++
		binary.LittleEndian.PutUint32(b[n-4:], crc32.Checksum(b[:n-4], castagnoli))
		return append(b, more...)
	}
	for name, change := range map[string]func(t *testing.T, dir string){
		"segment": func(t *testing.T, dir string) {
			_, content, _ := write(t)
			writeFile(t, dir, segmentName(42), newer(content, segmentHeader, ""))
		},
		"checkpoint": func(t *testing.T, dir string) {
			writeFile(t, dir, checkpointName, newer(goldenState.encode(), checkpointBytes, ""))
		},
		"longer checkpoint": func(t *testing.T, dir string) {
			writeFile(t, dir, checkpointName, newer(goldenState.encode(), checkpointBytes, "more"))
		},
	} {
		dir, _, _ := write(t)
		change(t, dir)
		tree := openTree(t, dir)
		if _, err := Recover(tree, "j"); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("%s: Recover: got %v, want ErrNewerFormat", name, err)
		}
		if _, err := Look(tree, "j"); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("%s: Look: got %v, want ErrNewerFormat", name, err)
		}
	}
}

func TestJournalCutAtAnyByteHasTheWholeFramesBeforeIt(t *testing.T) {
	dir, content, ends := write(t)
	for n := range len(content) + 1 {
		found, err := recoverContent(t, dir, content[:n])
		if n < segmentHeader { // it had its header before it had its name
			if _, ok := errors.AsType[*CorruptError](err); !ok {
				t.Fatalf("cut at %d: got %v, want a *CorruptError", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		whole := 0
		for whole < len(ends) && ends[whole] <= n {
			whole++
		}
		checkFrames(t, fmt.Sprintf("cut at %d", n), found, whole)
	}
}

func TestFlippedByteOfTheJournalNeverAltersAFrame(t *testing.T) {
	dir, content, ends := write(t)
	for n := range ends[3] {
		for _, bit := range []byte{0x01, 0x80, 0xff, content[n]} { // the last makes it zero
			if bit == 0 {
				continue
			}
			flipped := bytes.Clone(content)
			flipped[n] ^= bit
			found, err := recoverContent(t, dir, flipped)
			if n >= ends[2] { // the last frame: it looks torn
				if err != nil {
					t.Fatalf("byte %d ^ %#x: %v", n, bit, err)
				}
				checkFrames(t, fmt.Sprintf("byte %d ^ %#x", n, bit), found, 3)
				continue
			}
			at := int64(0)
			for i, end := range ends {
				if n >= segmentHeader && n < end {
					at = segmentHeader
					if i > 0 {
						at = int64(ends[i-1])
					}
					break
				}
			}
			c, ok := errors.AsType[*CorruptError](err)
			if !ok || c.File != "j/"+segmentName(42) || c.Offset != at {
				t.Fatalf("byte %d ^ %#x: got %v, want damage at %d", n, bit, err, at)
			}
		}
	}
}

func TestSegmentsAreUsedAgainAndRecovered(t *testing.T) {
	dir := t.TempDir()
	tree := openTree(t, dir)
	state := NewState(0)
	state.Run = 1
	w, err := Open(tree, "j", state, Options{SegmentBytes: 256, Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	var b Builder
	done := uint64(0)
	for n := range 200 {
		b.Reset(1 << 20)
		b.Begin("cart", "c")
		b.Buf = append(b.Buf, lineAt(uint64(n+1))...)
		if n%37 == 36 { // larger than a segment
			b.Buf = append(append(b.Buf, bytes.Repeat([]byte("x"), 400)...), '\n')
		}
		b.End(1)
		if _, err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
		if n%20 == 10 {
			done = w.State().Frame
			if err := errors.Join(w.Checkpoint(w.State()), w.Retire(done, nil)); err != nil {
				t.Fatal(err)
			}
		}
		found, err := Recover(readOnly{tree}, "j")
		if err != nil {
			t.Fatalf("frame %d: %v", n+1, err)
		}
		if got := done + uint64(len(found.Frames)); got != uint64(n+1) || found.State.Position != uint64(n+1) || found.Torn.File != "" {
			t.Fatalf("frame %d: got %d frames, position %d, torn %+v", n+1, got, found.State.Position, found.Torn)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// readOnly leaves the files alone that are being prepared.
type readOnly struct{ vfs.FS }

func (readOnly) Remove(string) error { return nil }

func FuzzDecodeFrame(f *testing.F) {
	_, content, ends := write(f)
	f.Add(content[segmentHeader:ends[0]])
	f.Add(content[ends[2]:ends[3]])
	f.Add(make([]byte, frameHeader))
	seed := goldenState.ID.seed()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= frameHeader { // lets the fuzzer past length and checksum
			b := Builder{Buf: bytes.Clone(data), Count: int(data[28])}
			b.finish(seed, goldenState.Frame, goldenState.Run, goldenState.Position)
			data = b.Buf
		}
		frame, size, err := decodeFrame(seed, data)
		if err != nil || size == 0 {
			return
		}
		var b Builder
		if err := frame.Records(func(r Record) bool {
			b.Begin(r.Kind, r.Name)
			b.Buf = append(b.Buf, r.Lines...)
			b.End(0)
			return true
		}); err != nil {
			t.Errorf("%x decodes, its records do not: %v", data, err)
		}
		if len(frame.Payload) > 0 && !bytes.Equal(b.Buf[frameHeader:], frame.Payload) {
			t.Errorf("%x is written again as %x", frame.Payload, b.Buf[frameHeader:])
		}
	})
}
