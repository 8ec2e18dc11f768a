package filelog

import (
	"encoding/json"
	"fmt"
	"testing"

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
