package filelog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"
)

func TestSecondProcessIsRefusedAndToldThePID(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("second Open: got %v, want ErrLocked and pid %d", err, os.Getpid())
	}
	mustClose(t, l)
	mustOpen(t, dir, Options{})
}

func TestOpenMakesMissingDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "data")
	mustOpen(t, dir, Options{})
	if info, err := os.Stat(filepath.Join(dir, "carts")); err != nil || !info.IsDir() {
		t.Errorf("carts: got %v, %v; want a directory", info, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("open of a file: got nil, want an error")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, opts := range []Options{
		{Durability: 7}, {SegmentBytes: 100}, {SegmentBytes: -1}, {OpenFiles: -1}, {CheckpointSegments: -1}, {CheckpointSegments: 8}, {MaxLineBytes: 100}, {MaxLineBytes: -1}, {MaxLineBytes: math.MaxInt},
	} {
		if l, err := Open(t.TempDir(), opts); err == nil {
			t.Errorf("%+v: got nil, want an error", opts)
			mustClose(t, l)
		}
	}
}

func TestFilesAreCountedAtOpenAndWhenMade(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	for i := range 20 {
		act := logtest.Activate(t, l, logtest.Stream(t, fmt.Sprintf("c%d", i)))
		if i < 15 {
			logtest.MustAppend(t, act, 0, logtest.Event(1))
		}
		act.Release()
	}
	mustClose(t, l)
	for _, name := range []string{"notes", "carts/notes", "carts/00"} { // no directories of ours
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil && !errors.Is(err, syscall.EISDIR) {
			t.Fatal(err)
		}
	}
	m := newMetrics()
	l = mustOpen(t, dir, Options{Metrics: m})
	if n := value(t, m.FilesExisting); n != 15 {
		t.Errorf("got %v files at Open, want 15", n)
	}
	act := logtest.Activate(t, l, logtest.Stream(t, "new"))
	defer act.Release()
	evs := logtest.Events(3)
	logtest.MustAppend(t, act, 0, evs...)
	logtest.MustAppend(t, act, 0, evs...) // a repeat
	if n := value(t, m.FilesExisting); n != 16 {
		t.Errorf("got %v files after a new one, want 16", n)
	}
	if n := value(t, m.Appends); n != 3 {
		t.Errorf("got %v events counted, want 3", n)
	}
	mustClose(t, l) // the file is written behind the answer
	size := len(mustRead(t, logPath(dir, logtest.Stream(t, "new"))))
	if n := value(t, m.BytesWritten); n != float64(size) {
		t.Errorf("got %v bytes counted, want %d", n, size)
	}
	if n := value(t, m.LastAppend); n == 0 {
		t.Error("got no time of the last append")
	}
}

func TestEntryIsThereOnlyWhileReferred(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{})
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.streams)
	}
	id := logtest.Stream(t, "c1")
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 0, logtest.Events(2)...)
	if n := count(); n != 1 {
		t.Errorf("got %d entries with an activation, want 1", n)
	}
	again, err := l.Activate(t.Context(), id) // waits until the syncer has let go
	if err != nil {
		t.Fatal(err)
	}
	act.Release()
	again.Release()
	again.Release()
	for range l.Read(t.Context(), id) {
		if n := count(); n != 1 {
			t.Errorf("got %d entries during a read, want 1", n)
		}
	}
	checkEntries(t, l)
}

// fullDisk is a tree with a settable amount of free space.
type fullDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *fullDisk) Free() (uint64, error) { return d.free.Load(), nil }

func TestLowSpaceRefusesAppendsUntilThereIsRoom(t *testing.T) {
	const mark = 64 << 20
	dir := t.TempDir()
	id := logtest.Stream(t, "c1")
	synctest.Test(t, func(t *testing.T) {
		disk := &fullDisk{FS: openDir(t, dir)}
		disk.free.Store(mark + 1<<20)
		m := newMetrics()
		l, err := Open(dir, Options{FS: disk, LowSpaceBytes: mark, Metrics: m, SegmentBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, l)
		act := logtest.Activate(t, l, id)
		defer act.Release()
		first := logtest.Event(1)
		logtest.MustAppend(t, act, 0, first)

		// What was accepted since the last look counts, before the next look.
		big := logtest.Event(2)
		big.Payload = fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("y", 1<<20))
		if _, err := logtest.Append(act, 1, big); !errors.Is(err, eventlog.ErrLowSpace) {
			t.Errorf("append beyond the mark: got %v, want ErrLowSpace", err)
		}

		disk.free.Store(mark - 1)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if err := l.Writable(); !errors.Is(err, eventlog.ErrLowSpace) {
			t.Errorf("Writable below the mark: got %v, want ErrLowSpace", err)
		}
		if _, err := logtest.Append(act, 1, logtest.Event(2)); !errors.Is(err, eventlog.ErrLowSpace) {
			t.Errorf("append below the mark: got %v, want ErrLowSpace", err)
		}
		if v := value(t, m.LowSpace); v != 1 {
			t.Errorf("gauge below the mark: got %v, want 1", v)
		}
		if r, err := logtest.Append(act, 1, first); err != nil || !r.Duplicate {
			t.Errorf("repeat below the mark: got %+v, %v; want the first receipt", r, err)
		}
		if n := len(logtest.ReadAll(t, l, id)); n != 1 {
			t.Errorf("read below the mark: got %d events, want 1", n)
		}

		disk.free.Store(mark + 8<<20)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if err := l.Writable(); err != nil {
			t.Errorf("Writable with room again: got %v, want nil", err)
		}
		logtest.MustAppend(t, act, 1, big)
		if v := value(t, m.LowSpace); v != 0 {
			t.Errorf("gauge with room again: got %v, want 0", v)
		}
	})
}

func TestFullQueueIsBusy(t *testing.T) {
	dir := t.TempDir()
	hold := make(chan struct{})
	fs := errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
		if c.Op == "Rename" && strings.HasSuffix(c.Name, ".wal") { // before the first frame
			<-hold
		}
		return nil
	})
	l := mustOpen(t, dir, Options{FS: fs, Durability: SyncNever})
	act := logtest.Activate(t, l, logtest.Stream(t, "c1"))
	defer act.Release()
	payload := fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("y", 7<<20))
	var decisions []<-chan logtest.Decision
	want := uint64(0)
	for ; want < 20; want++ {
		ev := logtest.Event(1)
		ev.Payload = payload
		d := logtest.Queue(act, eventlog.Commit{Want: want, Events: []eventlog.Event{ev}})
		select {
		case got := <-d: // told at once
			if !errors.Is(got.Err, eventlog.ErrBusy) || want < 8 {
				t.Errorf("append %d: got %v, want ErrBusy after 8 or more", want, got.Err)
			}
		default:
			decisions = append(decisions, d)
			continue
		}
		break
	}
	if want == 20 {
		t.Errorf("%d appends of 7 MiB were queued, want a refusal", want)
	}
	close(hold)
	for i, d := range decisions {
		if got := <-d; got.Err != nil {
			t.Errorf("append %d: %v", i, got.Err)
		}
	}
	if r := logtest.MustAppend(t, act, want, logtest.Event(2)); r.Version != want+1 {
		t.Errorf("append when there is room: got version %d, want %d", r.Version, want+1)
	}
}

func TestQuarantineThatCannotBeWrittenLeavesTheLogAlone(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, evs := sample(t, id)
	dir := t.TempDir()
	plant(t, dir, id, append(content, "torn"...))
	fs := errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
		if strings.HasPrefix(c.Name, quarantineDir) && c.Op == "WriteAt" {
			return syscall.ENOSPC
		}
		return nil
	})
	l := mustOpen(t, dir, Options{FS: fs})
	if _, err := l.Activate(t.Context(), id); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Activate: got %v, want ENOSPC", err)
	}
	if err := l.Cause(); err != nil {
		t.Errorf("Cause: got %v, want nil: other streams can go on", err)
	}
	if got := mustRead(t, logPath(dir, id)); len(got) != len(content)+4 {
		t.Errorf("file has %d bytes, want it unchanged with %d", len(got), len(content)+4)
	}
	if got := logtest.ReadAll(t, l, id); len(got) != len(evs) {
		t.Errorf("read: got %d events, want %d", len(got), len(evs))
	}
	if kept, _ := os.ReadDir(filepath.Join(dir, quarantineDir)); len(kept) != 0 {
		t.Errorf("half a copy is left: %v", kept)
	}
}
