package filelog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs/crashfs"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"

	"github.com/google/uuid"
)

// counted is a stream whose snapshots say how many events they stand for.
type counted struct {
	id   eventlog.StreamID
	sent []uuid.UUID
	each int // commits to a snapshot
}

// grow appends commits of two events and takes snapshots, until one fails.
func (c *counted) grow(t testing.TB, l *Log, commits int, acked *atomic.Int64) error {
	act, _, err := c.replay(t, l)
	if err != nil {
		return err
	}
	defer act.Release()
	for n := range commits {
		evs := logtest.Events(2)
		evs[0].Key, evs[0].Request = fmt.Sprint("key", n), uint64(n+1)
		want := uint64(len(c.sent))
		c.sent = append(c.sent, evs[0].ID, evs[1].ID)
		d := logtest.Queue(act, eventlog.Commit{Want: want, Events: evs})
		if n%c.each == c.each-1 {
			act.Snapshot(want+2, []byte(strconv.Itoa(len(c.sent))))
		}
		if got := <-d; got.Err != nil {
			return got.Err
		}
		acked.Add(2)
	}
	return nil
}

// replay activates the stream with a snapshot, if there is one, and wants what follows it to be what was sent. It
// returns how many events the snapshot stands for.
func (c *counted) replay(t testing.TB, l *Log) (act eventlog.Activation, from int, err error) {
	t.Helper()
	act, err = l.Activate(t.Context(), c.id)
	if err != nil {
		return nil, 0, err
	}
	n := 0
	for ev, err := range act.Replay(t.Context(), func(data []byte) (err error) {
		from, err = strconv.Atoi(string(data))
		n = from
		return err
	}) {
		if err != nil {
			act.Release()
			return nil, 0, err
		}
		if n >= len(c.sent) || ev.ID != c.sent[n] || ev.Version != uint64(n+1) || ev.Damaged {
			t.Fatalf("event %d behind the snapshot of %d: got %+v, want what was sent", n-from, from, ev)
		}
		n++
	}
	c.sent = c.sent[:n]
	return act, from, nil
}

// check wants the log to hold what was acknowledged, with a snapshot and without, and to know the ids.
func (c *counted) check(t testing.TB, l *Log, acked int) (from int) {
	t.Helper()
	all := logtest.ReadAll(t, l, c.id)
	if len(all) < acked || len(all) > len(c.sent) {
		t.Fatalf("log has %d events, want %d to %d", len(all), acked, len(c.sent))
	}
	for i, ev := range all {
		if ev.ID != c.sent[i] || ev.Version != uint64(i+1) || ev.Damaged {
			t.Fatalf("event %d: got %+v, want what was sent", i, ev)
		}
	}
	act, from, err := c.replay(t, l)
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	if len(c.sent) != len(all) {
		t.Fatalf("snapshot of %d and its tail make %d events, the log has %d", from, len(c.sent), len(all))
	}
	for i := 0; i < len(all); i += 2 {
		if l.Cause() != nil {
			break
		}
		r, err := logtest.Append(act, 0, all[i:i+2:i+2]...)
		if want := (eventlog.Receipt{Version: uint64(i + 2), Position: all[i+1].Position, Duplicate: true}); err != nil || r != want {
			t.Fatalf("repeat of events %d and %d: got %+v, %v; want %+v", i, i+1, r, err, want)
		}
	}
	return from
}

func TestSnapshotsAndSealedPartsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	c := &counted{id: logtest.Stream(t, "c1"), each: 10}
	var acked atomic.Int64
	sealed := 0.0
	for round := range 5 {
		m := newMetrics()
		l := mustOpen(t, dir, Options{SealBytes: 8 << 10, Metrics: m})
		if from := c.check(t, l, int(acked.Load())); round > 0 && from != len(c.sent) {
			t.Errorf("round %d begins behind %d events, want all %d", round, from, len(c.sent))
		}
		if err := c.grow(t, l, 100, &acked); err != nil {
			t.Fatal(err)
		}
		c.check(t, l, int(acked.Load())) // while snapshots are written
		checkEntries(t, l)
		sealed += value(t, m.Seals)
		if got := value(t, m.Snapshots); got != 10 {
			t.Errorf("%v snapshots were written, want 10", got)
		}
		if got := value(t, m.SnapshotFailures) + value(t, m.SnapshotsUnused); got != 0 {
			t.Errorf("%v snapshots failed or were of no use, want 0", got)
		}
	}
	if sealed == 0 {
		t.Error("nothing was sealed")
	}
	info, err := os.Stat(logPath(dir, c.id))
	if err != nil || info.Size() > 64<<10 {
		t.Errorf("the file has %d bytes, %v; want most of it sealed", info.Size(), err)
	}
}

// TestCrashAtAnyCallOfSnapshotsAndSealing crashes at each call of the file system.
func TestCrashAtAnyCallOfSnapshotsAndSealing(t *testing.T) {
	sent := &counted{id: logtest.Stream(t, "c1"), each: 4}
	c := &crasher{acked: make([]atomic.Int64, 1), rnd: rand.New(rand.NewPCG(3, 4))}
	c.fs = crashfs.New(c.hook)
	m := newMetrics()
	for _, commits := range []int{40, 20} { // what was written before a start is checkpointed, and is most of the file
		l, err := Open("data", Options{FS: c.fs, SegmentBytes: 4 << 10, SealBytes: 2 << 10, Metrics: m})
		if err != nil {
			t.Fatal(err)
		}
		if err := sent.grow(t, l, commits, &c.acked[0]); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
	}
	if snaps, seals := value(t, m.Snapshots), value(t, m.Seals); snaps < 15 || seals < 1 {
		t.Fatalf("%v snapshots and %v sealed parts, want 15 and some", snaps, seals)
	}
	c.quiet = true
	began := 0
	for _, image := range c.images {
		l, err := Open("data", Options{FS: image.fs, SegmentBytes: 4 << 10, SealBytes: 2 << 10})
		if err != nil {
			t.Fatalf("%s: open: %v", image.how, err)
		}
		again := &counted{id: sent.id, sent: slices.Clone(sent.sent), each: 2}
		if again.check(t, l, int(image.acked[0])) > 0 {
			began++
		}
		before := len(again.sent)
		if err := again.grow(t, l, 20, new(atomic.Int64)); err != nil { // seals what a crash had left
			t.Fatalf("%s: %v", image.how, err)
		}
		again.check(t, l, before+40)
		mustClose(t, l)
		if t.Failed() {
			t.Fatal(image.how)
		}
	}
	if began < len(c.images)/4 {
		t.Errorf("%d of %d replays began with a snapshot, want more", began, len(c.images))
	}
}

// After a crash the journal's lines are written behind those that it does not have: they must not be in a sealed part.
func TestNothingIsSealedThatTheJournalMayRestore(t *testing.T) {
	for range 5 { // how much is behind when a snapshot is written differs from time to time
		fs := crashfs.New(nil)
		c := &counted{id: logtest.Stream(t, "c1"), each: 4}
		var acked atomic.Int64
		m := newMetrics()
		l, err := Open("data", Options{FS: fs, SegmentBytes: 1 << 20, SealBytes: 2 << 10, Metrics: m})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.grow(t, l, 12, &acked), l.checkpoint(), c.grow(t, l, 48, &acked)); err != nil {
			t.Fatal(err)
		}
		l.snapshots.close()
		l.saving.Wait()
		if got := value(t, m.Snapshots); got != 15 {
			t.Fatalf("%v snapshots, want 15", got)
		}
		image := fs.Keep(nil)
		mustClose(t, l)
		if l, err = Open("data", Options{FS: image, SegmentBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		c.check(t, l, int(acked.Load()))
		mustClose(t, l)
	}
}

// A snapshot that cannot be written is no reason to stop; a file that may have been replaced by half is.
func TestFailureOfAnyCallOfSnapshotsAndSealing(t *testing.T) {
	before := crashfs.New(nil)
	first := &counted{id: logtest.Stream(t, "c1"), each: 6}
	var acked atomic.Int64
	l, err := Open("data", Options{FS: before, SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.grow(t, l, 24, &acked); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l) // with a checkpoint, so that all of it can be sealed
	failures, poisoned, sealed := 0, 0, 0
	try := func(what string, fails func(errfs.Call) bool) {
		t.Helper()
		tree := before.Keep(nil)
		boom := errors.New("the disk said no")
		fs := errfs.Wrap(tree, func(call errfs.Call) error {
			if fails(call) {
				return boom
			}
			return nil
		})
		m := newMetrics()
		l, err := Open("data", Options{FS: fs, SegmentBytes: 4 << 10, SealBytes: 2 << 10, Metrics: m})
		if err != nil {
			t.Fatal(err)
		}
		c := &counted{id: first.id, sent: slices.Clone(first.sent), each: 6}
		acked := atomic.Int64{}
		acked.Store(int64(len(c.sent)))
		if err := c.grow(t, l, 12, &acked); err != nil && !errors.Is(err, boom) && !errors.Is(l.Cause(), boom) {
			t.Fatalf("%s: %v", what, err)
		}
		if err := l.Close(); err != nil && l.Cause() == nil {
			t.Fatalf("%s: close: %v", what, err)
		}
		if l.Cause() != nil {
			poisoned++
		}
		failures += int(value(t, m.SnapshotFailures))
		sealed += int(value(t, m.Seals))
		if l, err = Open("data", Options{FS: tree, SegmentBytes: 4 << 10}); err != nil {
			t.Fatal(err)
		}
		c.check(t, l, int(acked.Load()))
		mustClose(t, l)
	}
	for k, more := 1, true; more; k++ {
		var calls atomic.Int64
		try(fmt.Sprint("call ", k), func(call errfs.Call) bool {
			return (aside(call.Name) || call.Op == "Rename" && strings.HasPrefix(call.Name, "carts/")) && calls.Add(1) == int64(k)
		})
		more = calls.Load() >= int64(k)
	}
	if failures < 20 || sealed < 20 || poisoned > failures/2 {
		t.Errorf("%d snapshots failed, %d parts were sealed, and %d logs failed; want 20, 20 and a few", failures, sealed, poisoned)
	}
	// When parts are sealed is a matter of time: the swap of the log's own file is made to fail by its name, too.
	for poisoned = 0; poisoned == 0; {
		try("swap", func(call errfs.Call) bool {
			return call.Op == "Rename" && strings.HasPrefix(call.Name, "carts/") && strings.HasSuffix(call.Name, logSuffix)
		})
	}
}

// aside reports whether a file of a stream is not its log: a snapshot, a sealed part, or on its way to replace one.
func aside(name string) bool {
	return strings.HasPrefix(name, "carts/") && strings.Contains(name, ".") && !strings.HasSuffix(name, logSuffix)
}

// TestSpoiledSnapshotsAreNotUsed flips each byte of both snapshots, and cuts them.
func TestSpoiledSnapshotsAreNotUsed(t *testing.T) {
	dir := t.TempDir()
	c := &counted{id: logtest.Stream(t, "c1"), each: 3}
	l := mustOpen(t, dir, Options{})
	if err := c.grow(t, l, 8, new(atomic.Int64)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	path := snapshotPath(logPath(dir, c.id))
	sound := mustRead(t, path)
	for i := range sound {
		spoiled := slices.Clone(sound)
		spoiled[i] ^= 0x20
		if s, err := decodeSnapshot(spoiled); err == nil {
			t.Fatalf("byte %d flipped: got %+v, want an error", i, s)
		}
		if s, err := decodeSnapshot(sound[:i]); err == nil {
			t.Fatalf("cut at byte %d: got %+v, want an error", i, s)
		}
	}
	for what, spoil := range map[string]func(){
		"newest spoiled": func() { write(t, path, append(slices.Clone(sound[:len(sound)-1]), 0)) },
		"newest empty":   func() { write(t, path, nil) },
		"newest gone":    func() { remove(t, path) },
		"another stream's": func() {
			s, err := decodeSnapshot(slices.Clone(sound))
			if err != nil {
				t.Fatal(err)
			}
			s.Stream = "cart/c2"
			b, err := s.encode()
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, b)
		},
		"of a log that was changed since": func() {
			s, err := decodeSnapshot(slices.Clone(sound))
			if err != nil {
				t.Fatal(err)
			}
			s.Last.CRC++
			b, err := s.encode()
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, b)
		},
	} {
		write(t, path, sound)
		spoil()
		l := mustOpen(t, dir, Options{})
		if from := c.check(t, l, 16); from != 6 {
			t.Errorf("%s: replay began behind %d events, want the older snapshot's 6", what, from)
		}
		mustClose(t, l)
	}
	remove(t, oldSnapshotPath(logPath(dir, c.id)))
	write(t, path, sound[1:])
	l = mustOpen(t, dir, Options{})
	if from := c.check(t, l, 16); from != 0 {
		t.Errorf("without a sound snapshot: replay began behind %d events, want 0", from)
	}
}

// A log that was cut behind the crash of a machine that did not sync must not come back from a snapshot.
func TestSnapshotOfMoreThanTheLogHasIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	c := &counted{id: logtest.Stream(t, "c1"), each: 3}
	l := mustOpen(t, dir, Options{})
	if err := c.grow(t, l, 6, new(atomic.Int64)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	log := mustRead(t, logPath(dir, c.id))
	write(t, logPath(dir, c.id), log[:len(log)*3/4])
	if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil { // it would restore the rest
		t.Fatal(err)
	}
	l = mustOpen(t, dir, Options{})
	if from := c.check(t, l, 0); from != 6 || len(c.sent) != 8 {
		t.Errorf("replay began behind %d of %d events, want the older snapshot's 6 of 8", from, len(c.sent))
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	s := snapshotFile{ids: make([]byte, 40), data: []byte("state"), snapshotHead: snapshotHead{Stream: "cart/c1", Offset: 9, Lines: 2, Main: 2, Branches: map[string]uint64{"gift": 1}}}
	sound, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound, true)
	f.Add(sound[:20], false)
	f.Add([]byte(snapshotMagic), false)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum && len(b) >= snapshotStart { // or the checksum keeps everything from the rest
			copy(b, snapshotMagic)
			fixSum(b)
		}
		s, err := decodeSnapshot(b)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if twin, err := decodeSnapshot(again); err != nil || !slices.Equal(twin.ids, s.ids) || !slices.Equal(twin.data, s.data) || twin.Offset != s.Offset {
			t.Errorf("%+v was written as %+v, %v", s, twin, err)
		}
	})
}

// A sync of a directory that fails takes the names of other streams' new files with it, and the next one tells nothing.
func TestFailedSyncOfTheDirectoryOfASealedPartPoisonsTheLog(t *testing.T) {
	tree := crashfs.New(nil)
	boom := errors.New("the disk said no")
	var placed atomic.Bool // others make calls between the two
	fs := errfs.Wrap(tree, func(call errfs.Call) error {
		switch {
		case call.Op == "Rename" && strings.HasSuffix(call.Name, ".log.zst"):
			placed.Store(true)
		case call.Op == "SyncDir" && strings.HasPrefix(call.Name, "carts/") && placed.CompareAndSwap(true, false):
			return boom
		}
		return nil
	})
	c := &counted{id: logtest.Stream(t, "c1"), each: 6}
	var acked atomic.Int64
	for range 4 { // what was written before a start is checkpointed, and may be sealed when it is most of the file
		l, err := Open("data", Options{FS: fs, SegmentBytes: 4 << 10, SealBytes: 2 << 10})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.grow(t, l, 24, &acked); err != nil && !errors.Is(l.Cause(), boom) {
			t.Fatal(err)
		}
		l.Close() // fails, if the log has
		if errors.Is(l.Cause(), boom) {
			return
		}
	}
	t.Error("the log did not fail")
}
