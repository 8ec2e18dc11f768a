package filelog

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/logtest"
)

// bareFile is a file full of zeros, open for writing, as the journal's segments are.
func bareFile(b *testing.B) vfs.File {
	b.Helper()
	fs := openDir(b, b.TempDir())
	f, err := fs.CreateNew("bare")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close(); fs.Close() })
	if _, err := f.WriteAt(make([]byte, 16<<20), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return f
}

const bareLine = 300 // bytes

// BenchmarkBareSync is one write and one fdatasync for each event: what BenchmarkAppend at writers=1 is compared with.
func BenchmarkBareSync(b *testing.B) {
	f := bareFile(b)
	line := make([]byte, bareLine)
	off := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(line, off); err != nil {
			b.Fatal(err)
		}
		if err := f.Datasync(); err != nil {
			b.Fatal(err)
		}
		off = (off + bareLine) % (15 << 20)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkBareJournal is 256 goroutines that wait for one which writes all that there is and syncs once: what
// BenchmarkAppend at writers=256 is compared with.
func BenchmarkBareJournal(b *testing.B) {
	const writers = 256
	f := bareFile(b)
	queue := make(chan chan struct{}, writers)
	var owner, wg sync.WaitGroup
	owner.Go(func() {
		off := int64(0)
		var waiting []chan struct{}
		buf := make([]byte, 0, writers*bareLine)
		for first := range queue {
			waiting = append(waiting[:0], first)
			for len(queue) > 0 {
				waiting = append(waiting, <-queue)
			}
			buf = buf[:len(waiting)*bareLine]
			if _, err := f.WriteAt(buf, off); err != nil {
				b.Error(err)
			}
			if err := f.Datasync(); err != nil {
				b.Error(err)
			}
			off = (off + int64(len(buf))) % (15 << 20)
			for _, done := range waiting {
				done <- struct{}{}
			}
		}
	})
	b.ResetTimer()
	for i := range writers {
		n := b.N / writers
		if i < b.N%writers {
			n++
		}
		wg.Go(func() {
			done := make(chan struct{}, 1)
			for range n {
				queue <- done
				<-done
			}
		})
	}
	wg.Wait()
	close(queue)
	owner.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

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
