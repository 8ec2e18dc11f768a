package live_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/live"
)

// BenchmarkAppendBesideStreams is one event for each append of 64 writers, each synced with the others', while nobody watches,
// a thousand watch other carts, somebody watches and takes nothing, or 20 follow each of 10 carts.
func BenchmarkAppendBesideStreams(b *testing.B) {
	for _, streams := range []string{"none", "idle", "silent", "follow"} {
		b.Run("streams="+streams, func(b *testing.B) {
			l, err := filelog.Open(b.TempDir(), filelog.Options{SegmentBytes: 16 << 20, FeedRetention: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close() //nolint:errcheck // of a benchmark
			const writers = 64
			acts, at := make([]eventlog.Activation, writers), make([]uint64, writers)
			for i := range acts {
				acts[i] = logtest.Activate(b, l, logtest.Stream(b, fmt.Sprint("c", i)))
				at[i] = logtest.MustAppend(b, acts[i], 0, logtest.Event(1)).Version
				defer acts[i].Release()
			}
			h := live.New(l, live.Options{})
			defer h.Close()
			ctx, cancel := context.WithCancel(b.Context())
			var reading, writing sync.WaitGroup
			watch := func(name string, takes bool) {
				w, err := h.Watch(logtest.Stream(b, name))
				if err != nil {
					b.Fatal(err)
				}
				reading.Go(func() {
					defer w.Close()
					for {
						select {
						case <-w.News():
							if takes {
								w.Take()
							}
						case <-ctx.Done():
							return
						}
					}
				})
			}
			switch streams {
			case "idle":
				for i := range 1000 {
					watch(fmt.Sprint("other", i), true)
				}
			case "silent":
				watch("c0", false)
			case "follow":
				for i := range 200 {
					watch(fmt.Sprint("c", i%10), true)
				}
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
		})
	}
}
