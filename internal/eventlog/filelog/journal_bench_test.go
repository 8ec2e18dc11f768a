package filelog

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cartd/internal/eventlog/logtest"
)

// BenchmarkRecovery is a start after a crash with about 64 MB of journal that is not checkpointed, whose streams'
// files are gone.
func BenchmarkRecovery(b *testing.B) {
	const streams, commits = 2000, 120
	running := b.TempDir()
	l := mustOpen(b, running, Options{Durability: SyncNever, SegmentBytes: 128 << 20})
	for i := range streams {
		act := logtest.Activate(b, l, logtest.Stream(b, fmt.Sprintf("c%d", i)))
		logtest.MustAppend(b, act, 0, logtest.Events(commits)...)
		act.Release()
	}
	segment := mustRead(b, filepath.Join(running, "journal", "00000000000000000001.wal"))
	checkpoint := mustRead(b, filepath.Join(running, "journal", "checkpoint"))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		dir := filepath.Join(b.TempDir(), "data")
		if err := os.MkdirAll(filepath.Join(dir, "journal"), 0o750); err != nil {
			b.Fatal(err)
		}
		for name, content := range map[string][]byte{"00000000000000000001.wal": segment[:80<<20], "checkpoint": checkpoint} {
			if err := os.WriteFile(filepath.Join(dir, "journal", name), content, 0o640); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		l := mustOpen(b, dir, Options{})
		b.StopTimer()
		mustClose(b, l)
		b.StartTimer()
	}
}
