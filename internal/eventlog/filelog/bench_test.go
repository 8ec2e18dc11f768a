package filelog

import (
	"encoding/json"
	"fmt"
	"sync"
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
	l := mustOpen(b, b.TempDir(), Options{Durability: d, SegmentBytes: 16 << 20})
	acts := make([]eventlog.Activation, writers)
	for i := range acts {
		acts[i] = logtest.Activate(b, l, logtest.Stream(b, fmt.Sprintf("c%d", i)))
		defer acts[i].Release()
	}
	ev := logtest.Event(1)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, act := range acts {
		n := b.N / writers
		if i < b.N%writers {
			n++
		}
		wg.Go(func() {
			done := make(chan error, 1)
			decided := func(_ eventlog.Receipt, err error) { done <- err }
			evs := []eventlog.Event{ev}
			for v := range n {
				evs[0].ID = logtest.Event(1).ID
				act.Append(eventlog.Commit{Want: uint64(v), Events: evs}, decided)
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReplay is activation and replay of 10,000 events from the page cache; decode=json is encoding/json on the
// same lines, to compare with.
func BenchmarkReplay(b *testing.B) {
	const events = 10_000
	id := logtest.Stream(b, "c1")
	dir := b.TempDir()
	l := mustOpen(b, dir, Options{Durability: SyncNever})
	act := logtest.Activate(b, l, id)
	logtest.MustAppend(b, act, 0, logtest.Events(events)...)
	act.Release()
	logtest.ReadAll(b, l, id) // the file is written behind the answer
	content := mustRead(b, logPath(dir, id))
	b.Run("events=10000/decode=own", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			logtest.Activate(b, l, id).Release()
		}
	})
	b.Run("events=10000/decode=json", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			for _, line := range lines(content) {
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
		}
	})
}
