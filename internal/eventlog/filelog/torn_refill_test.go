package filelog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

// stopped returns a directory as Close leaves it: everything is checkpointed, and in the journal still.
func stopped(t *testing.T, ids ...eventlog.StreamID) (dir string) {
	t.Helper()
	dir = t.TempDir()
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour, Durability: SyncNever})
	for range 3 {
		for _, id := range ids {
			head := uint64(len(logtest.ReadAll(t, l, id)))
			act := logtest.Activate(t, l, id)
			logtest.MustAppend(t, act, head, logtest.Events(3)...)
			logtest.MustAppend(t, act, head+3, logtest.Event(1))
			act.Release()
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTornEndThatACheckpointCoversIsRefilledFromTheJournal(t *testing.T) {
	id, other := logtest.Stream(t, "c1"), logtest.Stream(t, "c2")
	dir := stopped(t, id, other)
	content := mustRead(t, logPath(dir, id))
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour, Durability: SyncNever})
	want := logtest.ReadAll(t, l, id)
	for n := 0; n < len(content); n++ {
		if n > 600 && n < len(content)-600 {
			n = min(n+40, len(content)-600)
		}
		spoiled := content[:n]
		if n > 0 && content[n-1] == '\n' {
			if _, end := commitsBefore(content, want, n); end == n {
				continue // lines are missing, and nothing is torn
			}
		}
		if n == len(content)-1 {
			spoiled = append(bytes.Clone(spoiled), '\n'^1) // the newline that ends the log
		}
		for _, activate := range []bool{false, true} {
			plant(t, dir, id, spoiled)
			if activate {
				logtest.Activate(t, l, id).Release()
			}
			if diff := diffEvents(want, logtest.ReadAll(t, l, id)); diff != "" {
				t.Fatalf("cut at %d (-want +got):\n%s", n, diff)
			}
			if got := mustRead(t, logPath(dir, id)); !bytes.Equal(got, content) {
				t.Fatalf("cut at %d: file has %d bytes, want %d", n, len(got), len(content))
			}
		}
	}
	act := logtest.Activate(t, l, id)
	if r := logtest.MustAppend(t, act, uint64(len(want)), logtest.Event(1)); r.Version != uint64(len(want))+1 {
		t.Errorf("next version is %d, want %d", r.Version, len(want)+1)
	}
	act.Release()
	checkEntries(t, l)
}

// TestTornEndIsRefilledBehindSealedParts: of the journal's lines only those are taken that the parts do not have.
func TestTornEndIsRefilledBehindSealedParts(t *testing.T) {
	id := logtest.Stream(t, "c1")
	dir := stopped(t, id, logtest.Stream(t, "c2"))
	want := mustRead(t, logPath(dir, id))
	if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	live := mustRead(t, logPath(dir, id))
	if len(live) == len(want) {
		t.Fatal("nothing was sealed")
	}
	for n := range live {
		if n > 40 && n < len(live)-5 {
			continue
		}
		plant(t, dir, id, live[:n])
		l := mustOpen(t, dir, Options{FeedRetention: time.Hour, Durability: SyncNever})
		logtest.Activate(t, l, id).Release()
		if got := mustRead(t, logPath(dir, id)); !bytes.Equal(got, live) {
			t.Fatalf("cut at %d: file has %d bytes, want %d", n, len(got), len(live))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTornEndIsCutIfTheJournalCannotTell: what the journal does not have cannot be refilled, and a damaged journal keeps nobody
// from the rest.
func TestTornEndIsCutIfTheJournalCannotTell(t *testing.T) {
	id := logtest.Stream(t, "c1")
	dir := stopped(t, id)
	segments, err := filepath.Glob(filepath.Join(dir, journalDir, "*.wal"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	for _, name := range segments {
		b := mustRead(t, name)
		b[200] ^= 1
		write(t, name, b)
	}
	content := mustRead(t, logPath(dir, id))
	if err := os.Truncate(logPath(dir, id), int64(len(content)-5)); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour, Durability: SyncNever})
	act := logtest.Activate(t, l, id)
	defer act.Release()
	if got := logtest.ReadAll(t, l, id); len(got) != 11 {
		t.Errorf("got %d events, want 11 of 12", len(got))
	}
}

func TestSpoiledNewlineAtTheEndLosesNothing(t *testing.T) {
	id := logtest.Stream(t, "c1")
	dir := stopped(t, id)
	if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil { // it would restore it
		t.Fatal(err)
	}
	content := mustRead(t, logPath(dir, id))
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines = lines[:len(lines)-1]
	for _, n := range []int{len(lines), len(lines) - 1} { // a commit of one line, and one of three
		sound := bytes.Join(lines[:n], nil)
		for bit := range 8 {
			spoiled := bytes.Clone(sound)
			spoiled[len(spoiled)-1] ^= 1 << bit
			plant(t, dir, id, spoiled)
			l := mustOpen(t, dir, Options{Durability: SyncNever})
			if got := logtest.ReadAll(t, l, id); len(got) != n || got[n-1].Damaged {
				t.Errorf("%d lines, bit %d: got %d events", n, bit, len(got))
			}
			if got := mustRead(t, logPath(dir, id)); !bytes.Equal(got, sound) {
				t.Errorf("%d lines, bit %d: file has %d bytes, want %d", n, bit, len(got), len(sound))
			}
			mustClose(t, l)
		}
	}
}
