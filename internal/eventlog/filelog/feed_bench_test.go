package filelog

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

// BenchmarkAppendBesideReaders is one event for each append of 64 writers, each synced with the others', while the journal
// keeps nothing or everything, and while nobody reads, somebody follows, or somebody stands still in the feed.
func BenchmarkAppendBesideReaders(b *testing.B) {
	for _, bench := range []struct {
		keep   time.Duration
		reader string
	}{{0, "none"}, {time.Hour, "none"}, {time.Hour, "follows"}, {time.Hour, "stands"}} {
		b.Run(fmt.Sprintf("keep=%v/reader=%s", bench.keep, bench.reader), func(b *testing.B) {
			l := mustOpen(b, b.TempDir(), Options{SegmentBytes: 16 << 20, FeedRetention: bench.keep})
			const writers = 64
			acts := make([]eventlog.Activation, writers)
			at := make([]uint64, writers)
			for i := range acts {
				acts[i] = logtest.Activate(b, l, logtest.Stream(b, fmt.Sprintf("c%d", i)))
				at[i] = logtest.MustAppend(b, acts[i], 0, logtest.Event(1)).Version
			}
			ctx, cancel := context.WithCancel(b.Context())
			var reading, writing sync.WaitGroup
			if bench.reader != "none" {
				reading.Go(func() {
					for range eventlog.Follow(ctx, l, 0) {
						if bench.reader == "stands" {
							<-ctx.Done()
						}
					}
				})
			}
			b.ResetTimer()
			for i := range writers {
				writing.Go(func() {
					for n := i; n < b.N; n += writers {
						r, err := logtest.Append(acts[i], at[i], logtest.Event(n))
						if err != nil {
							b.Error(err)
							return
						}
						at[i] = r.Version
					}
				})
			}
			writing.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			cancel()
			reading.Wait()
			for _, act := range acts {
				act.Release()
			}
		})
	}
}

// BenchmarkReadAll reads the feed of 100,000 events, and one event of it.
func BenchmarkReadAll(b *testing.B) {
	const events = 100_000
	l := mustOpen(b, b.TempDir(), Options{Durability: SyncNever, SegmentBytes: 16 << 20, FeedRetention: time.Hour})
	act := logtest.Activate(b, l, logtest.Stream(b, "c"))
	for i := range events / 100 {
		logtest.MustAppend(b, act, uint64(100*i), logtest.Events(100)...)
	}
	act.Release()
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for range l.ReadAll(b.Context(), 0) {
				n++
			}
			if n != events {
				b.Fatalf("read %d events", n)
			}
		}
		b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for after := uint64(0); b.Loop(); after = (after + 7919) % events {
			for ev, err := range l.ReadAll(b.Context(), after) {
				if err != nil || ev.Position != after+1 {
					b.Fatal(ev.Position, err)
				}
				break
			}
		}
	})
}

// BenchmarkReadAllCold reads one event near the end of a segment of 16 MiB, first thing in a new process: where its frame
// begins is not known yet.
func BenchmarkReadAllCold(b *testing.B) {
	const events = 55_000
	dir := b.TempDir()
	opts := Options{Durability: SyncNever, SegmentBytes: 16 << 20, FeedRetention: time.Hour}
	l, err := Open(dir, opts)
	if err != nil {
		b.Fatal(err)
	}
	act := logtest.Activate(b, l, logtest.Stream(b, "c"))
	for i := range events / 10 {
		logtest.MustAppend(b, act, uint64(10*i), logtest.Events(10)...)
	}
	act.Release()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	const after = events - 1000 // nearly all of the segment is in front of it
	var first time.Duration
	for b.Loop() {
		l, err := Open(dir, opts)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		for ev, err := range l.ReadAll(b.Context(), after) {
			if err != nil || ev.Position != after+1 {
				b.Fatal(ev.Position, err)
			}
			break
		}
		first += time.Since(start)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs/first")
}
