package filelog

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

// BenchmarkAppend is one commit of one event by each of so many writers, each on its own stream; sync=on is with
// one fdatasync of the journal for all that wait.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		for _, d := range []Durability{SyncAlways, SyncNever} {
			b.Run(fmt.Sprintf("writers=%d/sync=%s", writers, map[Durability]string{SyncAlways: "on", SyncNever: "off"}[d]), func(b *testing.B) {
				benchmarkAppend(b, writers, d)
			})
		}
	}
}

func benchmarkAppend(b *testing.B, writers int, d Durability) {
	own := newOwnLog(b, writers, Options{Durability: d, SegmentBytes: 16 << 20})
	b.ReportAllocs()
	b.ResetTimer()
	own.append(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReplay is activation and replay of 10,000 events from the page cache, without a snapshot, beside
// encoding/json decoding the same lines into a plain struct.
func BenchmarkReplay(b *testing.B) {
	const events = 10_000
	id := logtest.Stream(b, "c1")
	dir := b.TempDir()
	l := mustOpen(b, dir, Options{Durability: SyncNever})
	act := logtest.Activate(b, l, id)
	logtest.MustAppend(b, act, 0, logtest.Events(events)...)
	act.Release()
	logtest.ReadAll(b, l, id) // the file is written behind the answer
	content := lines(mustRead(b, logPath(dir, id)))
	race(b,
		lane{"log", events, nil, func() { logtest.Activate(b, l, id).Release() }},
		lane{"json", events, nil, func() {
			for _, line := range content {
				var ev struct {
					V, Seq, Epoch uint64
					ID, Ts, Type  string
					Key, Req, CRC string
					More          int
					Branch        string
					Payload       json.RawMessage
				}
				if err := json.Unmarshal(line, &ev); err != nil {
					b.Fatal(err)
				}
			}
		}})
}

// BenchmarkIdleCarts is the memory of carts that nobody asks for: of those that are still active, and of those that
// are released and checkpointed.
func BenchmarkIdleCarts(b *testing.B) {
	const carts = 20_000
	for _, events := range []int{1, 20} {
		b.Run(fmt.Sprintf("carts=%d/events=%d", carts, events), func(b *testing.B) {
			for b.Loop() {
				l := mustOpen(b, b.TempDir(), Options{Durability: SyncNever, SegmentBytes: 16 << 20})
				acts := make([]eventlog.Activation, carts)
				ids := make([]eventlog.StreamID, carts)
				for i := range ids {
					ids[i] = cartID(b, i)
				}
				empty := heap()
				for i := range acts {
					acts[i] = logtest.Activate(b, l, ids[i])
					logtest.MustAppend(b, acts[i], 0, logtest.Events(events)...)
				}
				if err := l.checkpoint(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric((heap()-empty)/carts, "B/active")
				for _, act := range acts {
					act.Release()
				}
				clear(acts)
				b.ReportMetric((heap()-empty)/carts, "B/released")
				mustClose(b, l)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// heap returns the bytes in use, when what pools hold is collected as well.
func heap() float64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
