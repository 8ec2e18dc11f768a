package filelog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/logtest"

	"github.com/prometheus/client_golang/prometheus"
)

func mustOpen(t testing.TB, dir string, opts Options) *Log {
	t.Helper()
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = 8 << 10 // writing 16 MiB of zeros takes longer than most tests
		opts.CheckpointSegments = 1
	}
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// checkEntries closes the log, unless that is done, and wants no stream to be left in memory.
func checkEntries(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil && !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("close: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.streams {
		t.Errorf("entry of %s is left with %d references", id, s.refs.Load())
	}
}

// logPath returns where the stream's file is.
func logPath(dir string, id eventlog.StreamID) string {
	return filepath.Join(dir, filepath.FromSlash(newStream(id).path))
}

// plant writes content as the stream's file.
func plant(t testing.TB, dir string, id eventlog.StreamID, content []byte) {
	t.Helper()
	path := logPath(dir, id)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newMetrics() *eventlog.Metrics { return eventlog.NewMetrics(prometheus.NewRegistry()) }

// commitSizes are the commits of a log that sample writes.
var commitSizes = []int{1, 3, 1, 2, 4, 1}

// sample returns the content of a log with several commits, and its events.
func sample(t testing.TB, id eventlog.StreamID) ([]byte, []eventlog.Event) {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	act := logtest.Activate(t, l, id)
	var want uint64
	for _, n := range commitSizes {
		evs := logtest.Events(n)
		evs[0].Key, evs[0].Request = `key "1"`, want+1
		want = logtest.MustAppend(t, act, want, evs...).Version
	}
	if d := <-logtest.Queue(act, eventlog.Commit{Branch: "gift", Events: logtest.Events(2)}); d.Err != nil {
		t.Fatal(d.Err)
	}
	act.Release()
	evs := logtest.ReadAll(t, l, id)
	mustClose(t, l)
	return mustRead(t, logPath(dir, id)), evs
}

// lineOf is the line of an event, its position included.
func lineOf(dst []byte, ev *eventlog.Event) []byte {
	return appendLine(dst, ev.Position, appendFields(nil, ev))
}

// value returns what a counter or gauge stands at.
func value(t testing.TB, c prometheus.Collector) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
		t.Fatalf("gather: got %v, %v; want one metric", families, err)
	}
	m := families[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// mustTree returns the tree below dir.
func mustTree(t testing.TB, dir string) *vfs.Dir {
	t.Helper()
	tree, err := vfs.OpenExisting(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}
