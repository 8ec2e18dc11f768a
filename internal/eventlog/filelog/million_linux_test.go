package filelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/logtest"

	"golang.org/x/sys/unix"
)

const fewCarts = 1000

// manyCarts is how many carts there are on disk to compare with: CARTD_BENCH_CARTS, 20,000 without.
func manyCarts(b *testing.B) int {
	b.Helper()
	text := os.Getenv("CARTD_BENCH_CARTS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < fewCarts {
		b.Fatalf("CARTD_BENCH_CARTS=%q: want a number from %d", text, fewCarts)
	}
	return n
}

// BenchmarkManyCarts is appends with many carts on disk beside the same with 1,000; `make bench-million` has
// 1,000,000. set=1000: 64 writers append to carts of a working set of 1,000, all of them active, as in a shop
// whose other carts are left alone. set=all: 64 writers activate any cart, append to it and release it. That
// is beside appends to 1,000 carts the price of files that nobody has looked at for long. open is one Open.
func BenchmarkManyCarts(b *testing.B) {
	many := manyCarts(b)
	few, all := newCartsDir(b, fewCarts), newCartsDir(b, many)
	b.Run(fmt.Sprintf("carts=%d/set=%d", many, fewCarts), func(b *testing.B) {
		few, all := openCarts(b, few, fewCarts), openCarts(b, all, many)
		few.activate(b)
		all.activate(b)
		const events = 20_000
		race(b, lane{"log", events, nil, func() { all.appendActive(b, events) }},
			lane{"few", events, nil, func() { few.appendActive(b, events) }})
	})
	b.Run(fmt.Sprintf("carts=%d/set=all", many), func(b *testing.B) {
		few, all := openCarts(b, few, fewCarts), openCarts(b, all, many)
		const events = 2000
		race(b, lane{"log", events, nil, func() { all.appendAny(b, events) }},
			lane{"few", events, nil, func() { few.appendAny(b, events) }})
	})
	b.Run(fmt.Sprintf("carts=%d/open", many), func(b *testing.B) {
		race(b, lane{"log", 1, nil, func() { mustClose(b, mustOpen(b, all, Options{})) }},
			lane{"few", 1, nil, func() { mustClose(b, mustOpen(b, few, Options{})) }})
	})
}

// newCartsDir makes a data directory with so many carts of one event.
func newCartsDir(b *testing.B, carts int) string {
	b.Helper()
	dir := b.TempDir()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		b.Fatal(err)
	}
	// A cart takes a block and an inode of 256 bytes; as much again stays free for others.
	if need := uint64(carts) * 2 * (uint64(s.Bsize) + 256); s.Bavail*uint64(s.Bsize) < need || s.Files > 0 && s.Ffree < 2*uint64(carts) {
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: %d carts want %d bytes and %d inodes free under %s; there are %d and %d.\n\n",
			carts, need, 2*carts, dir, s.Bavail*uint64(s.Bsize), s.Ffree)
		b.Skip("too little room on the disk")
	}
	start := time.Now()
	state := journal.NewState(uint64(carts)) // of the journal that had their lines
	tree := openDir(b, dir)
	err := errors.Join(tree.Mkdir(journalDir), journal.WriteCheckpoint(tree, journalDir, state, false), tree.Close())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(dir, "carts", fmt.Sprintf("%02x", i)), 0o750); err != nil {
			b.Fatal(err)
		}
	}
	proto := logtest.Event(1)
	proto.Version, proto.Epoch = 1, 1
	writers(4, carts, func(w, n int) {
		var line []byte
		ev := proto
		for j := range n {
			i := j*4 + w
			ev.Position = uint64(i + 1)
			binary.BigEndian.PutUint64(ev.ID[:], ev.Position)
			line = lineOf(line[:0], &ev)
			if err := os.WriteFile(logPath(dir, cartID(b, i)), line, 0o640); err != nil {
				b.Error(err)
				return
			}
		}
	})
	// What is still to be written must not be in the way of what is measured.
	f, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(unix.Syncfs(int(f.Fd())), f.Close()); err != nil {
		b.Fatal(err)
	}
	if carts > fewCarts {
		b.Logf("%d carts made in %v", carts, time.Since(start).Round(time.Millisecond))
	}
	return dir
}

// someCarts is a log with carts on disk.
type someCarts struct {
	log      *Log
	carts    int
	set      []eventlog.Activation
	versions []uint64
}

func openCarts(b *testing.B, dir string, carts int) *someCarts {
	b.Helper()
	return &someCarts{log: mustOpen(b, dir, Options{SegmentBytes: 16 << 20}), carts: carts}
}

// activate claims 1,000 carts, evenly out of all.
func (c *someCarts) activate(b *testing.B) {
	b.Helper()
	for i := range fewCarts {
		act, err := c.log.Activate(b.Context(), cartID(b, i*(c.carts/fewCarts)))
		if err != nil {
			b.Fatal(err)
		}
		n := uint64(0)
		for ev, err := range act.Replay(b.Context(), nil) {
			if err != nil {
				b.Fatal(err)
			}
			n = ev.Version
		}
		b.Cleanup(act.Release)
		c.set, c.versions = append(c.set, act), append(c.versions, n)
	}
}

const manyWriters = 64

// appendActive is a round of appends to carts of the working set, at random.
func (c *someCarts) appendActive(b *testing.B, events int) {
	proto := logtest.Event(1)
	writers(manyWriters, events, func(w, n int) {
		done := make(chan error, 1)
		decided := func(_ eventlog.Receipt, err error) { done <- err }
		evs := []eventlog.Event{proto}
		for range n {
			i := w + manyWriters*rand.IntN((len(c.set)-w+manyWriters-1)/manyWriters) // one of the writer's own
			evs[0].ID = freshID()
			c.set[i].Append(eventlog.Commit{Want: c.versions[i], Events: evs}, decided)
			if err := <-done; err != nil {
				b.Error(err)
				return
			}
			c.versions[i]++
		}
	})
	c.settle(b)
}

// appendAny is a round of appends to any of the carts, which are activated for it.
func (c *someCarts) appendAny(b *testing.B, events int) {
	proto := logtest.Event(1)
	writers(manyWriters, events, func(w, n int) {
		evs := []eventlog.Event{proto}
		for range n {
			id := cartID(b, w+manyWriters*rand.IntN((c.carts-w+manyWriters-1)/manyWriters))
			act, err := c.log.Activate(b.Context(), id)
			if err != nil {
				b.Error(err)
				return
			}
			version := uint64(0)
			for ev, err := range act.Replay(b.Context(), nil) {
				if err != nil {
					b.Error(err)
					return
				}
				version = ev.Version
			}
			evs[0].ID = freshID()
			if _, err := logtest.Append(act, version, evs...); err != nil {
				b.Error(err)
			}
			act.Release()
		}
	})
	c.settle(b)
}

// settle waits until the carts' files have everything.
func (c *someCarts) settle(b *testing.B) {
	c.log.behind.mu.Lock()
	var left []*stream
	for _, w := range c.log.behind.queue {
		w.s.reference()
		left = append(left, w.s)
	}
	c.log.behind.mu.Unlock()
	for _, s := range left {
		if err := c.log.flush(s); err != nil {
			b.Error(err)
		}
		c.log.release(s)
	}
	settleCheckpoint(c.log)
}
