package filelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs/crashfs"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"

	"github.com/google/go-cmp/cmp"
)

// TestPositionsAreDenseOverAllStreams: receipts, what is read and the lines in the files agree.
func TestPositionsAreDenseOverAllStreams(t *testing.T) {
	const writers, commits = 64, 20
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{SegmentBytes: 32 << 10, CheckpointSegments: 1, OpenFiles: 8})
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards told
		told = make(map[uint64]string)
	)
	for i := range writers {
		wg.Go(func() {
			act := logtest.Activate(t, l, logtest.Stream(t, fmt.Sprintf("c%d", i)))
			defer act.Release()
			for n := range commits {
				evs := logtest.Events(n%3 + 1)
				head := uint64(n/3*6 + []int{0, 1, 3}[n%3])
				r, err := logtest.Append(act, head, evs...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for j := range evs {
					told[r.Position-uint64(len(evs)-1-j)] = evs[j].ID.String()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for p := range len(told) {
		if told[uint64(p+1)] == "" {
			t.Errorf("position %d of %d is told to nobody", p+1, len(told))
		}
	}
	for i := range writers {
		id := logtest.Stream(t, fmt.Sprintf("c%d", i))
		evs := logtest.ReadAll(t, l, id)
		var file []byte
		for j := range evs {
			if told[evs[j].Position] != evs[j].ID.String() {
				t.Errorf("%s version %d: got position %d, which was told for %s", id, evs[j].Version, evs[j].Position, told[evs[j].Position])
			}
			file = lineOf(file, &evs[j])
		}
		if !bytes.Equal(mustRead(t, logPath(dir, id)), file) {
			t.Errorf("%s: its file does not hold the lines of its events", id)
		}
	}
}

// killed returns a directory as kill -9 leaves it before the first checkpoint, and what it holds.
func killed(t *testing.T) (dir string, want map[eventlog.StreamID][]eventlog.Event) {
	t.Helper()
	running := t.TempDir()
	l := mustOpen(t, running, Options{SegmentBytes: 256 << 10})
	want = make(map[eventlog.StreamID][]eventlog.Event)
	for i := range 5 {
		id := logtest.Stream(t, fmt.Sprintf("c%d", i))
		act := logtest.Activate(t, l, id)
		for n := range 10 {
			logtest.MustAppend(t, act, uint64(2*n), logtest.Events(2)...)
		}
		act.Release()
		want[id] = logtest.ReadAll(t, l, id)
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(running)); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

func TestFilesAreCompletedFromTheJournal(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"as they are": func(string) error { return nil },
		"removed":     os.Remove,
		"emptied":     func(path string) error { return os.Truncate(path, 0) },
		"cut":         func(path string) error { return os.Truncate(path, 700) },
		"garbage at the end": func(path string) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, append(b, "{\"v\":1,\"po"...), 0o640))
		},
		"a hole": func(path string) error {
			b, err := os.ReadFile(path)
			clear(b[300:900])
			return errors.Join(err, os.WriteFile(path, b, 0o640))
		},
	} {
		dir, want := killed(t)
		for id := range want {
			if err := spoil(logPath(dir, id)); err != nil {
				t.Fatal(err)
			}
		}
		l := mustOpen(t, dir, Options{})
		for id, evs := range want {
			if diff := diffEvents(evs, logtest.ReadAll(t, l, id)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, id, diff)
			}
		}
		act := logtest.Activate(t, l, logtest.Stream(t, "c0"))
		if r := logtest.MustAppend(t, act, 20, logtest.Event(1)); r.Position != 101 {
			t.Errorf("%s: next event is at position %d, want 101", name, r.Position)
		}
		act.Release()
		checkEntries(t, l)
	}
}

func TestDamagedFrameWithASoundOneBehindItRefusesToStart(t *testing.T) {
	dir, _ := killed(t)
	path := filepath.Join(dir, "journal", "00000000000000000001.wal")
	b := mustRead(t, path)
	b[100] ^= 1
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	if !errors.Is(err, eventlog.ErrCorrupt) {
		t.Fatalf("got %v, want ErrCorrupt", err)
	}
	for _, part := range []string{"journal/00000000000000000001.wal", "byte 48", "cartd repair " + dir + " --yes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
	if diff := cmp.Diff(b, mustRead(t, path)); diff != "" {
		t.Error("the damaged segment was changed")
	}
}

func TestPositionsGoOnWithoutTheJournal(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, evs := sample(t, id)
	dir := t.TempDir()
	plant(t, dir, id, content)
	l := mustOpen(t, dir, Options{})
	act := logtest.Activate(t, l, id)
	defer act.Release()
	if r := logtest.MustAppend(t, act, 12, logtest.Event(1)); r.Position != uint64(len(evs)+1) {
		t.Errorf("got position %d, want %d", r.Position, len(evs)+1)
	}
}

// TestNoRoomForASegmentRefusesAppends: the log goes on when there is room again.
func TestNoRoomForASegmentRefusesAppends(t *testing.T) {
	dir := t.TempDir()
	var (
		mu   sync.Mutex // guards full
		full = true
	)
	fs := errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if full && c.Op == "WriteAt" && strings.HasPrefix(c.Name, "journal/1") {
			return syscall.ENOSPC
		}
		return nil
	})
	m := newMetrics()
	l := mustOpen(t, dir, Options{FS: fs, Metrics: m})
	act := logtest.Activate(t, l, logtest.Stream(t, "c1"))
	defer act.Release()
	for l.Writable() == nil { // Open has looked already; a goroutine says so soon
		runtime.Gosched()
	}
	if _, err := logtest.Append(act, 0, logtest.Event(1)); !errors.Is(err, eventlog.ErrLowSpace) {
		t.Errorf("append without room: got %v, want ErrLowSpace", err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	for l.Writable() != nil {
		runtime.Gosched()
	}
	logtest.MustAppend(t, act, 0, logtest.Event(1))
	if err := l.Cause(); err != nil {
		t.Errorf("Cause: got %v, want nil", err)
	}
}

// lastFrame returns where the last frame of a segment begins and ends.
func lastFrame(t *testing.T, segment []byte) (from, to int) {
	t.Helper()
	for to = 48; ; {
		n := int(binary.LittleEndian.Uint32(segment[to:]))
		if n == 0 {
			return from, to
		}
		from, to = to, to+n
	}
}

// TestTornFrameIsCutAndKept: nobody was told of it, as the power went while it was written.
func TestTornFrameIsCutAndKept(t *testing.T) {
	for name, tear := range map[string]func(frame []byte){
		"its end is missing":    func(frame []byte) { clear(frame[len(frame)-10:]) },
		"its start is missing":  func(frame []byte) { clear(frame[4:40]) },
		"a sector is missing":   func(frame []byte) { clear(frame[len(frame)/3 : len(frame)/2]) },
		"its last bit differs":  func(frame []byte) { frame[len(frame)-1] ^= 1 },
		"its first bit differs": func(frame []byte) { frame[0] ^= 1 },
	} {
		dir, want := killed(t)
		if err := os.RemoveAll(filepath.Join(dir, "carts")); err != nil { // nothing of them was synced
			t.Fatal(err)
		}
		path := filepath.Join(dir, segments(t, dir)[0])
		b := mustRead(t, path)
		from, to := lastFrame(t, b)
		tear(b[from:to])
		if err := os.WriteFile(path, b, 0o640); err != nil {
			t.Fatal(err)
		}
		m := newMetrics()
		l := mustOpen(t, dir, Options{Metrics: m})
		short := 0
		for id, evs := range want {
			got := logtest.ReadAll(t, l, id)
			short += len(evs) - len(got)
			if diff := diffEvents(evs[:len(got)], got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, id, diff)
			}
		}
		if short != 2 {
			t.Errorf("%s: %d events are gone, want the 2 of the torn frame", name, short)
		}
		if n := value(t, m.TornTails); n != 1 {
			t.Errorf("%s: got %v torn ends counted, want 1", name, n)
		}
		kept, err := filepath.Glob(filepath.Join(dir, quarantineDir, "journal.*.torn"))
		if err != nil || len(kept) != 1 {
			t.Fatalf("%s: got %v kept, %v; want one", name, kept, err)
		}
		if got := mustRead(t, kept[0]); !bytes.Equal(got, bytes.TrimRight(b[from:to], "\x00")) {
			t.Errorf("%s: %s has %d bytes, want the %d of the frame", name, kept[0], len(got), to-from)
		}
	}
}

// TestNoPositionIsGivenTwiceAfterADamagedEndOfTheJournal: a file has the events that the journal's end had, and no other
// frame is of its stream.
func TestNoPositionIsGivenTwiceAfterADamagedEndOfTheJournal(t *testing.T) {
	dir, _ := killed(t)
	last := logtest.Stream(t, "last")
	l := mustOpen(t, dir, Options{SegmentBytes: 256 << 10, FeedRetention: time.Hour})
	first := logtest.Activate(t, l, logtest.Stream(t, "first"))
	logtest.MustAppend(t, first, 0, logtest.Event(1))
	act := logtest.Activate(t, l, last)
	r := logtest.MustAppend(t, act, 0, logtest.Event(1))
	first.Release()
	act.Release()
	want := logtest.ReadAll(t, l, last)
	running := dir
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(running)); err != nil {
		t.Fatal(err)
	}
	names := segments(t, dir)
	path := filepath.Join(dir, names[len(names)-1])
	b := mustRead(t, path)
	_, end := lastFrame(t, b)
	b[end-1] ^= 1
	write(t, path, b)

	l = mustOpen(t, dir, Options{SegmentBytes: 256 << 10, FeedRetention: time.Hour})
	if diff := diffEvents(want, logtest.ReadAll(t, l, last)); diff != "" {
		t.Errorf("what the file has (-want +got):\n%s", diff)
	}
	act = logtest.Activate(t, l, logtest.Stream(t, "next"))
	defer act.Release()
	if next := logtest.MustAppend(t, act, 0, logtest.Event(1)); next.Position != r.Position+1 {
		t.Errorf("next event is at position %d, want %d", next.Position, r.Position+1)
	}
	wantCompacted(t, l, r.Position-1)
}

// TestWhatAFailedSyncLeftInThePageCacheIsWrittenAgain: the sync of a cart's file fails, and the kernel takes its pages
// for clean. The next process reads them as if nothing were wrong, and its own syncs succeed.
func TestWhatAFailedSyncLeftInThePageCacheIsWrittenAgain(t *testing.T) {
	disk := crashfs.New(nil)
	id := logtest.Stream(t, "c1")
	l, err := Open("data", Options{FS: errfs.Wrap(disk, func(c errfs.Call) error {
		if c.Op == "Sync" && c.Name == newStream(id).path {
			disk.FailSync(c.Name)
			return syscall.EIO
		}
		return nil
	}), SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	act := logtest.Activate(t, l, id)
	for n := range 3 {
		logtest.MustAppend(t, act, uint64(2*n), logtest.Events(2)...)
	}
	act.Release()
	want := logtest.ReadAll(t, l, id)
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("close, which syncs: got %v, want EIO", err)
	}

	l = mustOpen(t, "data", Options{FS: disk})
	if diff := diffEvents(want, logtest.ReadAll(t, l, id)); diff != "" {
		t.Errorf("the next process reads (-want +got):\n%s", diff)
	}
	onDisk := disk.Forget(nil)
	f, size, err := openLog(onDisk, newStream(id).path)
	if f == nil || err != nil {
		t.Fatal(err)
	}
	if tail, err := findTail(f, size, 1<<20); err != nil || tail.end == 0 || tail.end != size { // before the journal mends it
		t.Errorf("the file on the disk has %d bytes, %d sound, %v", size, tail.end, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	l = mustOpen(t, "data", Options{FS: onDisk})
	if diff := diffEvents(want, logtest.ReadAll(t, l, id)); diff != "" {
		t.Errorf("after a crash behind that (-want +got):\n%s", diff)
	}
}
