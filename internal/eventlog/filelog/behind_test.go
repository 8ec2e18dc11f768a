package filelog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"

	"pgregory.net/rapid"
)

// TestLinesReachTheirFilesSoonWithoutAReader: several carts in one frame are answered first, and are in their files
// after the delay, though nobody reads, appends or closes.
func TestLinesReachTheirFilesSoonWithoutAReader(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const streams = 2 * fewStreams
		first, hold := make(chan struct{}), make(chan struct{})
		fs := errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Name, ".wal") { // before the first frame
				close(first)
				<-hold
			}
			return nil
		})
		m := newMetrics()
		l := mustOpen(t, dir, Options{FS: fs, Metrics: m, SegmentBytes: 64 << 10})
		alone := logtest.Activate(t, l, logtest.Stream(t, "alone"))
		defer alone.Release()
		var acts []eventlog.Activation
		for i := range streams {
			acts = append(acts, logtest.Activate(t, l, logtest.Stream(t, fmt.Sprintf("c%d", i))))
			defer acts[i].Release()
		}
		decisions := []<-chan logtest.Decision{logtest.Queue(alone, eventlog.Commit{Events: logtest.Events(1)})}
		<-first
		for _, act := range acts { // while the committer waits, so that one frame has them all
			decisions = append(decisions, logtest.Queue(act, eventlog.Commit{Events: logtest.Events(3)}))
		}
		close(hold)
		for i, d := range decisions {
			if got := <-d; got.Err != nil {
				t.Fatalf("append %d: %v", i, got.Err)
			}
		}
		if v := value(t, m.BehindBytes); v == 0 {
			t.Error("nothing is behind when the frame of many carts is answered: they were not written together")
		}
		time.Sleep(behindDelay)
		synctest.Wait()
		if v := value(t, m.BehindBytes); v != 0 {
			t.Errorf("%v bytes are behind after the delay, want 0", v)
		}
		for i := range streams {
			content, err := os.ReadFile(logPath(dir, logtest.Stream(t, fmt.Sprintf("c%d", i))))
			if n := bytes.Count(content, []byte("\n")); err != nil || n != 3 {
				t.Errorf("file %d: got %d lines, %v; want 3", i, n, err)
			}
		}
		mustClose(t, l)
	})
}

// TestBusyStreamIsWrittenWhenItHasEnough goes through the order in which streams are taken.
func TestBusyStreamIsWrittenWhenItHasEnough(t *testing.T) {
	var (
		b                = new(behind)
		start            = time.Now()
		early, busy, end = new(stream), new(stream), new(stream)
	)
	want := func(when string, now time.Duration, s *stream, wait time.Duration) {
		t.Helper()
		got, gotWait := b.take(start.Add(now))
		if got != s || gotWait != wait {
			t.Errorf("%s: got %p, %v; want %p, %v (early %p, busy %p, end %p)", when, got, gotWait, s, wait, early, busy, end)
		}
	}
	want("empty", 0, nil, 0)
	for _, s := range []*stream{early, busy, end} {
		s.waits = true
	}
	b.queue = []waiting{{early, start}, {busy, start.Add(behindDelay / 4)}, {end, start.Add(behindDelay / 2)}}
	want("nobody is due", behindDelay/4, nil, behindDelay*3/4)
	busy.full, b.full = true, []*stream{busy}
	want("one is full", behindDelay/2, busy, 0)
	want("the first is due", behindDelay, early, 0)
	want("the full one was written meanwhile: it waits again", behindDelay*3/2, end, 0)
	want("since it was written", behindDelay*3/2-1, nil, 1)
	want("and is due", behindDelay*3/2, busy, 0)
	want("all are taken", behindDelay*2, nil, 0)
	if early.waits || busy.waits || end.waits || busy.full {
		t.Error("a stream that was taken counts as queued")
	}

	b.queue = []waiting{{early, start}, {end, start}}
	b.bytes = someBehindBytes + 1
	want("there is much of all", 0, early, 0)
	b.bytes, b.closed = 0, true
	want("the log is being closed", 0, end, 0)
}

// TestLineBuffersAreNeverShared appends to several buffers and gives them back in any order.
func TestLineBuffersAreNeverShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got, want [4][]byte
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(got)-1).Draw(t, "buffer")
			if rapid.IntRange(0, 5).Draw(t, "free") == 0 {
				dropLines(got[i])
				got[i], want[i] = nil, nil
				continue
			}
			lines := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(t, "byte"))}, rapid.IntRange(1, 20_000).Draw(t, "size"))
			got[i], want[i] = appendLines(got[i], lines), append(want[i], lines...)
			for j := range got {
				if !bytes.Equal(got[j], want[j]) {
					t.Fatalf("buffer %d has %d bytes that are not those appended to it (%d)", j, len(got[j]), len(want[j]))
				}
			}
		}
	})
}

// TestManyCartsLeaveNeitherFilesOpenNorEntriesInMemory: descriptors are bounded while there is work; what is released
// and checkpointed takes no memory, but for the files that stay open.
func TestManyCartsLeaveNeitherFilesOpenNorEntriesInMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("SKIPPED: nothing tells the open files here:", err)
	}
	const carts, most, at = 1500, 16, 8
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{OpenFiles: most, SegmentBytes: 64 << 10, CheckpointSegments: 1})
	writers(at, carts, func(w, n int) {
		for i := range n {
			act, err := l.Activate(t.Context(), logtest.Stream(t, fmt.Sprintf("c%d-%d", w, i)))
			if err != nil {
				t.Error(err)
				return
			}
			for _, err := range act.Replay(t.Context(), nil) {
				t.Error("event in a new stream:", err)
			}
			if _, err := logtest.Append(act, 0, logtest.Event(1)); err != nil {
				t.Error(err)
			}
			act.Release()
			// On top, each goroutine may have one that it has just opened: to write, to sync, to activate.
			if open := openLogs(t, dir); open > most+behindWriters+checkpointSyncs+1+at {
				t.Errorf("%d logs are open, want at most %d and those in use", open, most)
			}
		}
	})
	if err := l.checkpoint(); err != nil {
		t.Fatal(err)
	}
	l.behind.close() // so that no writer is still at its last one
	l.writing.Wait()
	if open := openLogs(t, dir); open > most {
		t.Errorf("%d logs stay open, want at most %d", open, most)
	}
	l.mu.Lock()
	entries := len(l.streams)
	l.mu.Unlock()
	if entries > most {
		t.Errorf("%d streams of %d are in memory, want at most the %d whose files are open", entries, carts, most)
	}
	checkEntries(t, l)
}

// openLogs counts the descriptors of this process that lead to logs under dir.
func openLogs(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		path, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err == nil && strings.HasPrefix(path, dir) && strings.HasSuffix(path, logSuffix) { // others are closed meanwhile
			n++
		}
	}
	return n
}

// TestAppendsGoOnWhileTheirLinesAreWritten: activations, reads and appends of the same carts at once, each of which
// sees what was answered before.
func TestAppendsGoOnWhileTheirLinesAreWritten(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{Durability: SyncNever, OpenFiles: 3, SegmentBytes: 64 << 10, CheckpointSegments: 2})
	var wg sync.WaitGroup
	for i := range 12 {
		id := logtest.Stream(t, fmt.Sprintf("c%d", i))
		wg.Go(func() {
			for version := uint64(0); version < 60; {
				act := logtest.Activate(t, l, id)
				for range 1 + i {
					version = logtest.MustAppend(t, act, version, logtest.Event(1)).Version
				}
				act.Release()
				if n := len(logtest.ReadAll(t, l, id)); uint64(n) != version {
					t.Errorf("%s: read %d events, %d were answered", id, n, version)
				}
			}
		})
	}
	wg.Wait()
	checkEntries(t, l)
}

// Buffers are not the garbage collector's any more: a burst must not keep its memory for ever.
func TestFreeLineBuffersAreBounded(t *testing.T) {
	var burst [][]byte
	for range 3 * maxFreeLines / lineClasses[1] {
		burst = append(burst, newLines(lineClasses[1]))
	}
	for _, buf := range burst {
		dropLines(buf)
	}
	freeLines.mu.Lock()
	defer freeLines.mu.Unlock()
	held := 0
	for _, bufs := range freeLines.of {
		for _, buf := range bufs {
			held += cap(buf)
		}
	}
	if held != freeLines.bytes || held > maxFreeLines || held < maxFreeLines/2 {
		t.Errorf("%d bytes wait to be used again, %d of them counted; want at most %d", held, freeLines.bytes, maxFreeLines)
	}
}
