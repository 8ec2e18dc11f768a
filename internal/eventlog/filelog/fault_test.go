package filelog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"
)

func openDir(t testing.TB, dir string) *vfs.Dir {
	t.Helper()
	fs, err := vfs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// ledger is what an outside observer knows of one stream.
type ledger struct {
	id    eventlog.StreamID
	sent  []eventlog.Event // in order
	acked int              // sent[:acked] were answered with nil
}

// work claims the stream, sends commits of one, two and three events without waiting, and notes the answers.
func (g *ledger) work(t *testing.T, l *Log) {
	act, err := l.Activate(t.Context(), g.id)
	if err != nil {
		return
	}
	defer act.Release()
	n := uint64(0)
	for _, err := range act.Replay(t.Context(), nil) {
		if err != nil {
			return
		}
		n++
	}
	if n < uint64(g.acked) {
		t.Errorf("%s: replay gave %d events, %d are acknowledged", g.id, n, g.acked)
	}
	if l.Cause() != nil { // what is sent may be there and is not shown
		if _, err := logtest.Append(act, n, logtest.Event(1)); !errors.Is(err, eventlog.ErrFailed) {
			t.Errorf("%s: append after the log has failed: got %v, want ErrFailed", g.id, err)
		}
		return
	}
	g.sent = g.sent[:n]
	var decisions []<-chan logtest.Decision
	var ends []int
	for i := range 3 {
		evs := logtest.Events(i + 1)
		decisions = append(decisions, logtest.Queue(act, eventlog.Commit{Want: uint64(len(g.sent)), Events: evs}))
		g.sent = append(g.sent, evs...)
		ends = append(ends, len(g.sent))
	}
	lost := false
	for i, d := range decisions {
		switch got := <-d; {
		case got.Err == nil && lost:
			t.Errorf("%s: commit %d is acknowledged after one that was not", g.id, i)
		case got.Err == nil:
			g.acked = ends[i]
		case errors.Is(got.Err, eventlog.ErrOutcomeUnknown):
			lost = true
		case errors.Is(got.Err, eventlog.ErrFailed):
			lost = true
			g.sent = g.sent[:min(len(g.sent), ends[i]-(i+1))] // neither it nor those after it are stored
		case errors.Is(got.Err, eventlog.ErrLowSpace), lost && isConflict(got.Err): // behind one that was refused
			lost = true
			g.sent = g.sent[:min(len(g.sent), ends[i]-(i+1))]
		default:
			t.Errorf("%s: commit %d: got %v, want ErrOutcomeUnknown or ErrFailed", g.id, i, got.Err)
		}
	}
}

func isConflict(err error) bool {
	_, ok := errors.AsType[*eventlog.ConflictError](err)
	return ok
}

// check wants what evs shows to lie between what is acknowledged and limit.
func (g *ledger) check(t *testing.T, when string, evs []eventlog.Event, limit int) {
	t.Helper()
	if len(evs) < g.acked || len(evs) > limit {
		t.Errorf("%s %s: got %d events, want %d to %d", g.id, when, len(evs), g.acked, limit)
		return
	}
	for i, ev := range evs {
		if ev.Damaged || ev.ID != g.sent[i].ID || ev.Version != uint64(i+1) {
			t.Errorf("%s %s: event %d is %+v, want id %s", g.id, when, i, ev, g.sent[i].ID)
		}
	}
	if len(evs) > 0 && evs[len(evs)-1].More {
		t.Errorf("%s %s: the last commit is not whole", g.id, when)
	}
}

// TestFailureOfAnyCallLosesNothing lets the k-th call of the file system fail, for every k, and all others work.
func TestFailureOfAnyCallLosesNothing(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		k := 1
		for ; faultRun(t, k, errno) && !t.Failed(); k++ {
		}
		if k < 50 {
			t.Errorf("%v: only %d calls were made to fail, want more", errno, k-1)
		}
	}
}

// faultRun reports whether the k-th call was reached.
func faultRun(t *testing.T, k int, errno syscall.Errno) (reached bool) {
	t.Helper()
	dir := t.TempDir()
	var (
		mu    sync.Mutex // guards the following
		first errfs.Call
		n     int
	)
	failure := func() errfs.Call {
		mu.Lock()
		defer mu.Unlock()
		return first
	}
	hook := func(c errfs.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == k {
			first = c
			return &os.PathError{Op: c.Op, Path: c.Name, Err: errno}
		}
		return nil
	}
	ledgers := []*ledger{{id: logtest.Stream(t, "c1")}, {id: logtest.Stream(t, "c2")}}
	for range 2 {
		before := failure().N != 0
		l, err := Open(dir, Options{FS: errfs.Wrap(openDir(t, dir), hook), SegmentBytes: 4 << 10, CheckpointSegments: 1})
		if err != nil {
			if failure().N == 0 {
				t.Fatalf("open: %v", err)
			}
			continue
		}
		for _, g := range ledgers {
			for range 2 {
				g.work(t, l)
			}
		}
		for _, g := range ledgers {
			evs := []eventlog.Event{}
			var err error
			for ev, e := range l.Read(t.Context(), g.id) {
				if err = e; err == nil {
					evs = append(evs, ev)
				}
			}
			if err == nil && l.Cause() != nil {
				failed := failure()
				g.check(t, fmt.Sprintf("read after %s %s failed", failed.Op, failed.Name), evs, len(g.sent))
			}
		}
		err = l.Close()
		failed := failure()
		if err != nil && failed.N == 0 {
			t.Errorf("close: %v", err)
		}
		if failed.N != 0 && !before && changes(failed) && l.Cause() == nil {
			t.Errorf("%s %s failed, and the log goes on", failed.Op, failed.Name)
		}
		for _, g := range ledgers { // a torn tail for the next round
			tearTail(t, logPath(dir, g.id))
		}
	}
	l := mustOpen(t, dir, Options{})
	failed := failure()
	for _, g := range ledgers {
		when := fmt.Sprintf("after call %d, %s %s, failed with %v", k, failed.Op, failed.Name, errno)
		g.check(t, when, logtest.ReadAll(t, l, g.id), len(g.sent))
		g.work(t, l)
		g.check(t, when+", and new commits", logtest.ReadAll(t, l, g.id), len(g.sent))
	}
	checkEntries(t, l)
	return failed.N != 0
}

// changes reports whether nobody knows what is in a stream's log when c has failed.
func changes(c errfs.Call) bool {
	ops := []string{"Create", "WriteAt", "Truncate", "Sync", "Datasync", "Mkdir", "SyncDir"}
	return slices.Contains(ops, c.Op) && strings.HasPrefix(c.Name, "carts")
}

func tearTail(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"v":1,"seq":`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFailedSyncPoisonsTheLog: what waits is of unknown outcome, what follows is refused, and what was decided can
// be read; what was written and not synced is not shown, although the page cache has it.
func TestFailedSyncPoisonsTheLog(t *testing.T) {
	dir := t.TempDir()
	var fail atomic.Bool
	failedAt := math.MaxInt
	fs := errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
		if c.Op == "Datasync" && fail.CompareAndSwap(true, false) { // the next sync would succeed: it must not be asked
			failedAt = c.N
			return syscall.EIO
		}
		return nil
	})
	m := newMetrics()
	l := mustOpen(t, dir, Options{FS: fs, Metrics: m})
	id := logtest.Stream(t, "c1")
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 0, logtest.Event(1))
	fail.Store(true)
	_, err := logtest.Append(act, 1, logtest.Event(2))
	if !errors.Is(err, eventlog.ErrOutcomeUnknown) || !errors.Is(err, syscall.EIO) {
		t.Errorf("append whose sync fails: got %v, want ErrOutcomeUnknown and EIO", err)
	}
	<-l.Failed()
	if err := l.Cause(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Cause: got %v, want EIO", err)
	}
	if err := l.Writable(); !errors.Is(err, eventlog.ErrFailed) {
		t.Errorf("Writable: got %v, want ErrFailed", err)
	}
	if _, err := logtest.Append(act, 2, logtest.Event(3)); !errors.Is(err, eventlog.ErrFailed) {
		t.Errorf("append afterwards: got %v, want ErrFailed", err)
	}
	act.Release()
	if got := logtest.ReadAll(t, l, id); len(got) != 1 {
		t.Errorf("read: got %d events, want the one that was decided", len(got))
	}
	act = logtest.Activate(t, l, id)
	if _, err := logtest.Append(act, 1, logtest.Event(4)); !errors.Is(err, eventlog.ErrFailed) {
		t.Errorf("append of a new activation: got %v, want ErrFailed", err)
	}
	act.Release()
	for _, c := range fs.Calls() {
		if c.N > failedAt && c.Op == "Datasync" {
			t.Errorf("call %d syncs %s, want no sync after the one that failed", c.N, c.Name)
		}
	}
}

// TestNewFileIsOnStableStorageWithItsDirectories looks at the calls: nothing else can tell.
func TestNewFileIsOnStableStorageWithItsDirectories(t *testing.T) {
	dir := t.TempDir()
	fs := errfs.Wrap(openDir(t, dir), func(errfs.Call) error { return nil })
	l := mustOpen(t, dir, Options{FS: fs})
	id := logtest.Stream(t, "c1")
	s := newStream(id)
	act := logtest.Activate(t, l, id)
	find := func(from int, op, name string) int {
		for i, c := range fs.Calls()[from:] {
			if c.Op == op && strings.HasPrefix(c.Name, name) {
				return from + i
			}
		}
		t.Fatalf("no %s of %s after call %d", op, name, from)
		return 0
	}
	from := len(fs.Calls())
	logtest.MustAppend(t, act, 0, logtest.Event(1))
	renamed := find(from, "Rename", "journal/00000000000000000001.wal")
	named := find(renamed, "SyncDir", "journal")
	find(find(named, "WriteAt", "journal/"), "Datasync", "journal/")
	act.Release()
	mustClose(t, l)
	at := find(find(find(from, "Create", s.path), "WriteAt", s.path), "Sync", s.path)
	at = max(find(at, "SyncDir", s.dir), find(at, "SyncDir", "carts"))
	find(find(at, "Rename", "journal/checkpoint"), "SyncDir", "journal")
}

func TestFileOfAFormerProcessIsSyncedBeforeItIsShown(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, _ := sample(t, id)
	dirName := newStream(id).dir
	for _, failing := range []struct{ op, path string }{{"Datasync", newStream(id).path}, {"SyncDir", dirName}, {"SyncDir", kindDir(id.Kind())}} {
		for _, claim := range []bool{false, true} {
			dir := t.TempDir()
			plant(t, dir, id, content)
			fs := errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
				if c.Op == failing.op && c.Name == failing.path {
					return syscall.EIO
				}
				return nil
			})
			l := mustOpen(t, dir, Options{FS: fs})
			read := func() error {
				if claim {
					act, err := l.Activate(t.Context(), id)
					if err == nil {
						act.Release()
					}
					return err
				}
				for _, err := range l.Read(t.Context(), id) {
					return err
				}
				return nil
			}
			if err := read(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%v fails: got %v, want EIO", failing, err)
			}
			if l.Cause() == nil {
				t.Errorf("%v fails: Cause is nil, want the failed sync", failing)
			}
			if err := read(); !errors.Is(err, eventlog.ErrFailed) {
				t.Errorf("%v failed: the next read got %v, want ErrFailed", failing, err)
			}
		}
	}
}
