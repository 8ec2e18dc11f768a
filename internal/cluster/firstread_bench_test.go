package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cartd/internal/eventlog/filelog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// BenchmarkFirstRead is the time of the first request to a cart of 100,000 events (1,000 with -short), each of a
// command with an idempotency key of its own, in 25 lines: from a snapshot and its tail; from the snapshot before it,
// whose tail is longer than any without a snapshot, a sixteenth of all; and from all events. The log is in files, in the
// page cache.
//
//	events     replayed by the first read
//	file-MB    of the cart's file, and of its sealed parts
func BenchmarkFirstRead(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n = 1000
	}
	dir := b.TempDir()
	open := func() *filelog.Log {
		store, err := filelog.Open(dir, filelog.Options{Durability: filelog.SyncNever})
		if err != nil {
			b.Fatal(err)
		}
		return store
	}
	ctx := within(b, 20*time.Minute)
	store := open()
	c := newCarts(b, store, time.Hour)
	spread(64, n, func(i int) {
		c.ask(b, ctx, "long", &actor.Command{Key: fmt.Sprint("click-", i), Request: uint64(i), Minimal: true, Steps: []actor.Step{{
			Mutation: &messages.AddItem{Sku: fmt.Sprint("SKU", i%25), Quantity: 1, Price: 255, Tax: 2500, Name: "White hanging heart"}}}})
	})
	c.shutdown(b)
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	first := func(b *testing.B) {
		store := open()
		b.ReportAllocs()
		var events int64
		for b.Loop() {
			b.StopTimer()
			c := newCarts(b, store, time.Hour)
			b.StartTimer()
			reply := c.ask(b, ctx, "long", &actor.Query{})
			b.StopTimer()
			if version, pieces := pieces(b, reply.View); version != uint64(n) || pieces != int64(n) {
				b.Fatalf("got version %d with %d pieces, want %d of each", version, pieces, n)
			}
			events = c.replayed.Load()
			c.shutdown(b)
			b.StartTimer()
		}
		b.ReportMetric(float64(events), "events")
		b.ReportMetric(size(b, dir, ".log"), "file-MB")
		b.ReportMetric(size(b, dir, ".zst"), "sealed-MB")
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("snapshot=yes", first)
	remove(b, dir, "*.snapshot")
	b.Run("snapshot=before", first)
	remove(b, dir, "*.snapshot*")
	b.Run("snapshot=no", first)
}

// size returns the megabytes of the carts' files whose names end so.
func size(b *testing.B, dir, end string) (mb float64) {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "carts", "*", "*"+end))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		mb += float64(info.Size()) / 1e6
	}
	return mb
}

// remove removes the carts' files with such names.
func remove(b *testing.B, dir, pattern string) {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "carts", "*", pattern))
	if err != nil || len(paths) == 0 {
		b.Fatalf("got files %q, %v; want some", paths, err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
	}
}
