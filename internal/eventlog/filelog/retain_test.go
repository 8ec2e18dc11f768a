package filelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/logtest"
)

// fill appends n events to a stream of its own, one by one.
func fill(t testing.TB, l *Log, name string, n int) {
	t.Helper()
	act := logtest.Activate(t, l, logtest.Stream(t, name))
	defer act.Release()
	for i := range n {
		logtest.MustAppend(t, act, uint64(i), logtest.Event(i))
	}
}

// feed reads the feed behind after, wants it dense, and returns how many events it has, and how it ended.
func feed(t testing.TB, l *Log, after uint64) (n int, err error) {
	t.Helper()
	for ev, err := range l.ReadAll(t.Context(), after) {
		if err != nil {
			return n, err
		}
		if n++; ev.Position != after+uint64(n) {
			t.Fatalf("event %d behind %d has position %d", n, after, ev.Position)
		}
	}
	return n, nil
}

func wantFeed(t testing.TB, l *Log, after uint64, want int) {
	t.Helper()
	if n, err := feed(t, l, after); err != nil || n != want {
		t.Errorf("feed behind %d: got %d events, %v; want %d", after, n, err, want)
	}
}

func wantCompacted(t testing.TB, l *Log, after uint64) (earliest uint64) {
	t.Helper()
	n, err := feed(t, l, after)
	c, ok := errors.AsType[*eventlog.CompactedError](err)
	if !ok || n > 0 || c.After != after || c.Earliest <= after+1 {
		t.Fatalf("feed behind %d: got %d events, %v; want a *CompactedError", after, n, err)
	}
	return c.Earliest
}

func TestFeedOutlivesRestarts(t *testing.T) {
	dir := t.TempDir()
	total := 0
	for round := range 4 {
		l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
		wantFeed(t, l, 0, total)
		fill(t, l, fmt.Sprintf("c%d", round), 100)
		total += 100
		wantFeed(t, l, 0, total)
		wantFeed(t, l, uint64(max(0, total-150)), min(total, 150)) // across the border
		mustClose(t, l)
		wantClean(t, dir)
	}
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour}) // nothing is written
	mustClose(t, l)
	l = mustOpen(t, dir, Options{FeedRetention: time.Hour})
	wantFeed(t, l, 0, total)
	var bytes int64
	for _, name := range segments(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > int64(total)*400+2*8<<10 {
		t.Errorf("%d events take %d bytes of the journal: what was only prepared stays", total, bytes)
	}
}

// What was in a process that was killed is in the feed of the next one too.
func TestFeedOutlivesAKill(t *testing.T) {
	dir := t.TempDir()
	all := abandoned(t, dir)
	total := 0
	for _, evs := range all {
		total += len(evs)
	}
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
	wantFeed(t, l, 0, total)
	fill(t, l, "another", 3)
	wantFeed(t, l, uint64(total), 3)
	mustClose(t, l)
	wantClean(t, dir)
}

func TestFeedIsKeptForItsTimeAndForPins(t *testing.T) {
	var later atomic.Int64
	opts := Options{FeedRetention: time.Hour, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}
	dir := t.TempDir()
	l := mustOpen(t, dir, opts)
	fill(t, l, "c1", 200)
	mustClose(t, l)
	l = mustOpen(t, dir, opts)
	fill(t, l, "c2", 200)
	if err := l.checkpoint(); err != nil {
		t.Fatal(err)
	}
	later.Store(int64(59 * time.Minute))
	if err := l.retire(); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, l, 0, 400)

	later.Store(int64(61 * time.Minute))
	pin := l.Pin(250)
	if err := l.retire(); err != nil {
		t.Fatal(err)
	}
	if earliest := wantCompacted(t, l, 0); earliest > 251 {
		t.Errorf("earliest is %d, and 251 is pinned", earliest)
	}
	wantFeed(t, l, 250, 150)
	pin.Move(300)
	if err := l.retire(); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, l, 300, 100)
	wantCompacted(t, l, 250)
	pin.Release()
	if err := l.retire(); err != nil {
		t.Fatal(err)
	}
	earliest := wantCompacted(t, l, 300)
	wantFeed(t, l, earliest-1, 400-int(earliest)+1)
	wantFeed(t, l, 400, 0)
	mustClose(t, l)
	wantClean(t, dir)
	if l = mustOpen(t, dir, opts); wantCompacted(t, l, 300) != earliest {
		t.Errorf("earliest position has changed from %d", earliest)
	}
}

// Segments that are let go of and used again while they are read: a reader gets what was written, or is told that it is
// gone.
func TestReaderOfSegmentsThatGoGetsEventsOrTheEarliest(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{Durability: SyncNever, SegmentBytes: 4 << 10})
	const writers, events = 4, 1500
	var writing, reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	var read, gone atomic.Int64
	for range 3 {
		reading.Go(func() {
			for ctx.Err() == nil {
				head := l.Head()
				after := head - min(head, uint64(rand.IntN(200)))
				next := after
				for ev, err := range l.ReadAll(ctx, after) {
					if c, ok := errors.AsType[*eventlog.CompactedError](err); ok && c.Earliest > next+1 {
						gone.Add(1)
						break
					}
					if errors.Is(err, context.Canceled) {
						return
					}
					if next++; err != nil || ev.Position != next {
						t.Errorf("behind %d: got position %d, %v; want %d", after, ev.Position, err, next)
						return
					}
					read.Add(1)
				}
			}
		})
	}
	for i := range writers {
		writing.Go(func() { fill(t, l, fmt.Sprintf("c%d", i), events) })
	}
	writing.Wait()
	cancel()
	reading.Wait()
	t.Logf("%d events read, %d times told that they are gone", read.Load(), gone.Load())
	if read.Load() == 0 || gone.Load() == 0 {
		t.Errorf("%d events were read, and %d times some were gone: want both", read.Load(), gone.Load())
	}
}

// Damage in what is kept for readers is theirs alone: the log opens, and tells them where.
func TestDamagedFeedIsToldAndTheLogOpens(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
	fill(t, l, "c1", 200)
	mustClose(t, l)
	edit(t, dir, segments(t, dir)[1], func(b []byte) []byte { b[500] ^= 1; return b })
	l = mustOpen(t, dir, Options{FeedRetention: time.Hour})
	n, err := feed(t, l, 0)
	if !errors.Is(err, eventlog.ErrCorrupt) || n == 0 || n >= 200 {
		t.Errorf("got %d events, %v; want some, and ErrCorrupt", n, err)
	}
	wantFeed(t, l, 150, 50)
	fill(t, l, "c2", 3)
}

// scarce is a disk with so much room as a test says.
type scarce struct {
	vfs.FS
	free atomic.Uint64
}

func (s *scarce) Free() (uint64, error) { return s.free.Load(), nil }

// On a disk that gets full the feed goes before appends are refused.
func TestFeedMakesRoomForAppends(t *testing.T) {
	dir := t.TempDir()
	disk := &scarce{FS: openDir(t, dir)}
	disk.free.Store(1 << 30)
	l := mustOpen(t, dir, Options{FS: disk, FeedRetention: time.Hour, LowSpaceBytes: 1 << 20})
	pin := l.Pin(0) // which does not help it
	defer pin.Release()
	fill(t, l, "c1", 200)
	if err := l.checkpoint(); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, l, 0, 200)
	disk.free.Store(1<<20 + headroomSegments*8<<10 - 100)
	if err := l.space.clear(); err != nil {
		t.Fatal(err)
	}
	first := wantCompacted(t, l, 0)
	wantFeed(t, l, first-1, 200-int(first)+1) // no more than what was needed
	disk.free.Store(1<<20 + 4<<10)
	if err := l.space.clear(); err != nil {
		t.Fatal(err)
	}
	if more := wantCompacted(t, l, first-1); more <= first {
		t.Errorf("earliest is %d still", more)
	}
	if err := l.Writable(); err != nil {
		t.Errorf("appends are refused: %v", err)
	}
}

func TestListOfCartsBesideTheLogIsExpected(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	fill(t, l, "c1", 3)
	mustClose(t, l)
	if err := os.WriteFile(filepath.Join(dir, listName), []byte("rows"), 0o640); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), dir, CheckOptions{})
	if err != nil || len(r.Faults)+len(r.Notes) > 0 {
		t.Errorf("got %+v, %v; want neither faults nor notes", r, err)
	}
}
