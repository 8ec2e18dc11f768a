package cluster_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/memlog"
	"cartd/pkg/actor"
)

// BenchmarkAsk is the cost of one request to a cart that is active, and of its answer without a view: the mailbox,
// the switches between goroutines and the way back; no log, no JSON and no context for each request.
func BenchmarkAsk(b *testing.B) {
	for _, ids := range []int{1, 1000} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("carts=%d/callers=%d", ids, callers), func(b *testing.B) {
				c := newCarts(b, memlog.New(), time.Hour)
				ctx := within(b, time.Hour)
				names := make([]string, ids)
				for i := range names {
					names[i] = fmt.Sprint("c", i)
					c.ask(b, ctx, names[i], add(1))
				}
				query := &actor.Query{Minimal: true}
				b.ReportAllocs()
				b.ResetTimer()
				spread(callers, b.N, func(i int) { c.ask(b, ctx, names[i%ids], query) })
				b.StopTimer()
				c.shutdown(b)
			})
		}
	}
}

// BenchmarkActivate is the cost of the first request to a cart whose log has one event, in files or in memory.
func BenchmarkActivate(b *testing.B) {
	b.Run("log=memory", func(b *testing.B) {
		c := newCarts(b, memlog.New(), time.Hour)
		ctx := within(b, time.Hour)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.ask(b, ctx, fmt.Sprint("c", i), add(1))
		}
		c.shutdown(b)
	})
	b.Run("log=files/sync=off", func(b *testing.B) {
		store := openFiles(b, filelog.SyncNever)
		const files = 2000
		before := newCarts(b, store, time.Hour)
		ctx := within(b, time.Hour)
		spread(64, files, func(i int) { before.ask(b, ctx, fmt.Sprint("c", i), add(1)) })
		before.shutdown(b)
		c := newCarts(b, store, time.Hour)
		query := &actor.Query{}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%files == 0 {
				b.StopTimer()
				c.shutdown(b)
				c = newCarts(b, store, time.Hour)
				b.StartTimer()
			}
			c.ask(b, ctx, fmt.Sprint("c", i%files), query)
		}
		c.shutdown(b)
	})
}

// BenchmarkIdlePassivation activates 100,000 carts of one event each and leaves them all idle at about the same time
// (the idle time is short, and so its jitter, to make it harder than in service). While they passivate, new carts are
// made one after another; that these do not wait for the others is what is measured. The log is in memory, or in
// files without sync, and then a new cart's time includes that its file is made. With -short there are 5,000 carts.
//
//	max-ms, p99-ms     time from a new cart's first request to its answer, while the others passivate
//	log-max-ms         longest that the log took of that for a claim or a commit: what the disk is to blame for
//	new/s              how many were made in that time
//	passivated/s       and how many passivated
//	shutdown-ms        time that Shutdown takes when all are active
//	B/activation       heap that an idle activation takes
//	goroutines-left, activations-left, B-left   when all have passivated, the new ones too; the heap that is left is
//	                   room in maps (placement, proto.actor's registry, the log's streams) that the next carts take,
//	                   and with a log in memory the new carts' events
func BenchmarkIdlePassivation(b *testing.B) {
	b.Run("log=memory", func(b *testing.B) { idlePassivation(b, memlog.New()) })
	b.Run("log=files/sync=off", func(b *testing.B) { idlePassivation(b, openFiles(b, filelog.SyncNever)) })
}

func idlePassivation(b *testing.B, store eventlog.Store) {
	n := 100_000
	if testing.Short() {
		n = 5000
	}
	ctx := within(b, 20*time.Minute)
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	begin := time.Now()
	before := newCarts(b, store, time.Hour)
	spread(64, n, func(i int) { before.ask(b, ctx, names[i], add(1)) })
	made := time.Since(begin)
	begin = time.Now()
	before.shutdown(b)
	shutdown := time.Since(begin)

	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	query := &actor.Query{Minimal: true}
	for run := 0; b.Loop(); run++ {
		// Long enough that none passivates before the last is active: reading a cart is faster than making it.
		c := newCarts(b, store, 2*made+time.Second)
		heap, goroutines := liveHeap(), runtime.NumGoroutine()
		spread(64, n, func(i int) { c.ask(b, ctx, names[i], query) })
		if got := c.Active(); got != n {
			b.Fatalf("%d carts are active, want %d", got, n)
		}
		b.ReportMetric(float64(liveHeap()-heap)/float64(n), "B/activation")

		c.await(b, ctx, func() bool { return c.Active() < n })
		c.claims.slowest.Store(0)
		var took []time.Duration
		for begin = time.Now(); c.activated.Load()-c.active.Load() < int64(n); {
			start := time.Now()
			c.ask(b, ctx, fmt.Sprintf("n%d-%d", run, len(took)), add(1))
			took = append(took, time.Since(start))
		}
		window := time.Since(begin).Seconds()
		slices.Sort(took)
		b.ReportMetric(ms(shutdown), "shutdown-ms")
		b.ReportMetric(ms(took[len(took)-1]), "max-ms")
		b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
		b.ReportMetric(ms(time.Duration(c.claims.slowest.Load())), "log-max-ms")
		b.ReportMetric(float64(len(took))/window, "new/s")
		b.ReportMetric(float64(n)/window, "passivated/s")

		c.await(b, ctx, func() bool { return c.Active() == 0 })
		for runtime.NumGoroutine() > goroutines && ctx.Err() == nil {
			runtime.Gosched() // the last ones are on their way out
		}
		b.ReportMetric(float64(liveHeap()-heap), "B-left")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines-left")
		b.ReportMetric(float64(c.Active()), "activations-left")
		c.nothingLeft(b)
		c.shutdown(b)
	}
}

// spread calls do for 0 to n-1 from a number of goroutines.
func spread(goroutines, n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// liveHeap returns how many bytes are reachable.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool holds goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
