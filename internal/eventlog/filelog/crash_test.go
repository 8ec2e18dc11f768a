package filelog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs/crashfs"
	"cartd/internal/eventlog/logtest"

	"github.com/google/uuid"
)

// crashed is a tree after a crash, and what was acknowledged before it.
type crashed struct {
	fs    *crashfs.FS
	how   string
	acked []int64 // commits of each stream
}

// crasher takes images of a file system at each of its calls.
type crasher struct {
	fs     *crashfs.FS
	acked  []atomic.Int64
	mu     sync.Mutex // guards the following
	rnd    *rand.Rand
	calls  int
	images []crashed
	quiet  bool
}

func (c *crasher) hook() {
	acked := make([]int64, len(c.acked)) // before the image: what is acknowledged later may be in it, or not
	for i := range acked {
		acked[i] = c.acked[i].Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quiet {
		return
	}
	c.calls++
	at := func(how string) string { return fmt.Sprintf("call %d, %s", c.calls, how) }
	c.images = append(c.images,
		crashed{c.fs.Keep(nil), at("nothing lost"), acked},
		crashed{c.fs.Forget(nil), at("all lost that was not synced"), acked},
		crashed{c.fs.Any(nil, c.rnd), at("some lost"), acked})
}

const (
	crashStreams = 4
	crashCommits = 24
)

// sentIDs are the ids of the events that are sent to each stream, two in a commit.
func sentIDs() [][]uuid.UUID {
	ids := make([][]uuid.UUID, crashStreams)
	for i := range ids {
		for range 2 * crashCommits {
			ids[i] = append(ids[i], uuid.New())
		}
	}
	return ids
}

// TestCrashAtAnyCallLosesNothingAcknowledged crashes at each call of the file system, and again at calls of the
// recovery: what was acknowledged is there, what is there was sent, positions are dense.
func TestCrashAtAnyCallLosesNothingAcknowledged(t *testing.T) {
	ids := sentIDs()
	c := &crasher{acked: make([]atomic.Int64, crashStreams), rnd: rand.New(rand.NewPCG(1, 2))}
	c.fs = crashfs.New(c.hook)
	l, err := Open("data", Options{FS: c.fs, SegmentBytes: 4 << 10, CheckpointSegments: 1, OpenFiles: 2, FeedRetention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range crashStreams {
		wg.Go(func() {
			act := logtest.Activate(t, l, logtest.Stream(t, fmt.Sprintf("c%d", i)))
			defer act.Release()
			for n := range crashCommits {
				evs := logtest.Events(2)
				evs[0].ID, evs[1].ID = ids[i][2*n], ids[i][2*n+1]
				if _, err := logtest.Append(act, uint64(2*n), evs...); err != nil {
					t.Error(err)
					return
				}
				c.acked[i].Add(1)
			}
		})
	}
	wg.Wait()
	mustClose(t, l)
	c.hook()
	c.quiet = true
	if len(c.images) < 600 {
		t.Errorf("got %d images of crashes, want more", len(c.images))
	}
	for n, image := range c.images {
		if n%25 == 0 { // and once more, at each call of the recovery
			again := &crasher{rnd: c.rnd}
			again.fs = image.fs.Crash(again.hook, func() bool { return false }, func(n int) int { return n })
			l, err := Open("data", Options{FS: again.fs, SegmentBytes: 4 << 10, CheckpointSegments: 1, FeedRetention: time.Hour})
			if err != nil {
				t.Fatalf("%s: open: %v", image.how, err)
			}
			mustClose(t, l)
			again.quiet = true
			for _, second := range again.images {
				checkCrash(t, crashed{second.fs, image.how + ", then in recovery " + second.how, image.acked}, ids)
			}
		}
		checkCrash(t, image, ids)
		if t.Failed() {
			return
		}
	}
}

func checkCrash(t *testing.T, image crashed, ids [][]uuid.UUID) {
	t.Helper()
	l, err := Open("data", Options{FS: image.fs, SegmentBytes: 4 << 10, CheckpointSegments: 1, FeedRetention: time.Hour})
	if err != nil {
		t.Errorf("%s: open: %v", image.how, err)
		return
	}
	defer mustClose(t, l)
	feed, next := make(map[uuid.UUID]uint64), uint64(1)
	for ev, err := range l.ReadAll(t.Context(), 0) {
		if err != nil || ev.Position != next {
			t.Errorf("%s: feed: got position %d, %v; want %d", image.how, ev.Position, err, next)
			return
		}
		feed[ev.ID] = ev.Position
		next++
	}
	positions := make(map[uint64]bool)
	read := func(i int) (evs []eventlog.Event) {
		evs = logtest.ReadAll(t, l, logtest.Stream(t, fmt.Sprintf("c%d", i)))
		for _, ev := range evs {
			if feed[ev.ID] != ev.Position {
				t.Errorf("%s: stream %d: position %d is %d in the feed", image.how, i, ev.Position, feed[ev.ID])
			}
			if positions[ev.Position] || ev.Position == 0 {
				t.Errorf("%s: stream %d: position %d is there twice", image.how, i, ev.Position)
			}
			positions[ev.Position] = true
		}
		return evs
	}
	for i := range ids {
		evs := read(i)
		if len(evs)%2 != 0 || int64(len(evs)) < 2*image.acked[i] || len(evs) > len(ids[i]) {
			t.Errorf("%s: stream %d has %d events, want an even number from %d to %d", image.how, i, len(evs), 2*image.acked[i], len(ids[i]))
			return
		}
		for n, ev := range evs {
			if ev.Damaged || ev.ID != ids[i][n] || ev.Version != uint64(n+1) {
				t.Errorf("%s: stream %d event %d is %+v, want id %s", image.how, i, n, ev, ids[i][n])
				return
			}
		}
	}
	if len(feed) != len(positions) {
		t.Errorf("%s: feed has %d events, the streams have %d", image.how, len(feed), len(positions))
	}
	act := logtest.Activate(t, l, logtest.Stream(t, "new"))
	r := logtest.MustAppend(t, act, 0, logtest.Event(1))
	act.Release()
	if r.Position != uint64(len(positions)+1) {
		t.Errorf("%s: next event is at position %d, want %d", image.how, r.Position, len(positions)+1)
	}
	if strings.Contains(image.how, "nothing lost") && l.Cause() != nil {
		t.Errorf("%s: log has failed: %v", image.how, l.Cause())
	}
}
