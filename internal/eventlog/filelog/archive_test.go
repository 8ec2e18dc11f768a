package filelog

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs/crashfs"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"
)

// mustArchive archives carts whose last events are of these types, and wants exactly those in want to be archived then.
func mustArchive(t testing.TB, l *Log, last string, carts []string, want ...string) {
	t.Helper()
	var ids []eventlog.StreamID
	for _, name := range carts {
		ids = append(ids, logtest.Stream(t, name))
	}
	done, err := l.Archive(t.Context(), ids, last)
	var got []string
	for _, id := range done {
		got = append(got, id.Name())
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("archived %v, %v; want %v", got, err, want)
	}
}

// archivedCart is a directory with carts, of which s1, with its sealed parts and snapshots, and c1 are archived.
func archivedCart(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	all := sealedCart(t, dir)
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
	for _, name := range []string{"s1", "c1"} {
		mustArchive(t, l, all[name][len(all[name])-1].Type, []string{name}, name)
	}
	mustClose(t, l)
	return all
}

func TestArchiveIsTheWholeLogAndIsReadAsThat(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	id, last := logtest.Stream(t, "s1"), all["s1"][len(all["s1"])-1]
	before := logOf(t, dir, "s1")
	m := newMetrics()
	l := mustOpen(t, dir, Options{Metrics: m, FeedRetention: time.Hour})
	files := value(t, m.FilesExisting)
	act := logtest.Activate(t, l, id) // one that is there meanwhile
	mustArchive(t, l, "Other", []string{"s1"})
	mustArchive(t, l, last.Type, []string{"nobody", "s1"}, "s1")
	mustArchive(t, l, last.Type, []string{"s1"}, "s1") // again: it is so already
	if value(t, m.Archives) != 1 || value(t, m.FilesExisting) != files-1 {
		t.Errorf("counted %v archives and %v files less, want 1 of each", value(t, m.Archives), files-value(t, m.FilesExisting))
	}
	if got := zstdcat(t, filepath.Join(dir, archivePath(cartFile(t, "s1")))); !bytes.Equal(got, before) {
		t.Error("zstdcat of the archive is not the log that was")
	}
	if left, err := filepath.Glob(filepath.Join(dir, filepath.Dir(cartFile(t, "s1")), "s1.*")); err != nil || len(left) > 0 {
		t.Errorf("left beside the other carts: %v, %v", left, err)
	}
	wantArchived := func(act eventlog.Activation) {
		t.Helper()
		next := logtest.Event(1)
		if _, err := logtest.Append(act, last.Version, next); !errors.Is(err, eventlog.ErrArchived) {
			t.Errorf("an append: %v, want ErrArchived", err)
		}
		again := last
		if r, err := logtest.Append(act, 0, again); err != nil || !r.Duplicate || r.Position != last.Position {
			t.Errorf("the last event again: %+v, %v; want it known at %d", r, err, last.Position)
		}
		act.Release()
	}
	wantArchived(act)
	for range 2 {
		if diff := diffEvents(all["s1"], logtest.ReadAll(t, l, id)); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
		wantArchived(logtest.Activate(t, l, id))
		for got, err := range l.Streams(t.Context()) {
			if err != nil || got == id {
				t.Errorf("streams: %v, %v; want no archived one", got, err)
			}
		}
		mustClose(t, l)
		l = mustOpen(t, dir, Options{FeedRetention: time.Hour})
	}
	next := logtest.Activate(t, l, logtest.Stream(t, "new"))
	logtest.MustAppend(t, next, 0, logtest.Event(1))
	next.Release()
	checkEntries(t, l)
}

func TestArchivesAreVerifiedExportedCompactedAndBackedUp(t *testing.T) {
	dir := t.TempDir()
	all := archivedCart(t, dir)
	if r := wantClean(t, dir); r.Archived != 2 || len(r.Notes) > 0 {
		t.Errorf("got %d archives, notes %+v; want 2 and none", r.Archived, r.Notes)
	}
	wantExported(t, all, exportAll(t, dir))
	if err := ExportStream(t.Context(), dir, logtest.Stream(t, "s1"), CheckOptions{}, func(eventlog.Event) error { return nil }); err != nil {
		t.Error(err)
	}
	// What a crash may leave beside an archive.
	write(t, filepath.Join(dir, sealedPath(cartFile(t, "s1"), 3)), []byte("old"))
	write(t, filepath.Join(dir, sealedPath(cartFile(t, "s1"), 1)), []byte("old"))
	write(t, filepath.Join(dir, archivePath(cartFile(t, "c1"))+".tmp"), []byte("half"))
	if r := wantClean(t, dir); len(r.Notes) != 3 {
		t.Errorf("got notes %+v, want one of each file", r.Notes)
	}
	wantExported(t, all, exportAll(t, dir))
	if done := mustCompact(t, dir, 0); done.Removed != 3 || len(done.Faults) > 0 {
		t.Errorf("compact: %+v, want 3 files removed", done)
	}
	wantExported(t, all, exportAll(t, dir))

	l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
	var live bytes.Buffer
	if _, err := l.Backup(t.Context(), &live); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	for what, stream := range map[string][]byte{"of a running log": live.Bytes(), "of a directory": streamOf(t, dir)} {
		backup, info := mustReceive(t, stream)
		if r := wantClean(t, backup); r.Archived != 2 || len(r.Notes) > 0 || len(info.Damaged) > 0 {
			t.Errorf("backup %s: %+v", what, r)
		}
		surplus := filepath.Join(backup, archiveDir, "carts", "zz")
		if err := os.Mkdir(surplus, 0o750); err != nil {
			t.Fatal(err)
		}
		if r := mustVerify(t, backup); len(r.Faults) != 1 || r.Faults[0].Kind != Surplus {
			t.Errorf("backup %s with a directory too many: %+v", what, r.Faults)
		}
		mustRemove(t, surplus)
		restored, _ := mustRestore(t, backup)
		wantClean(t, restored)
		wantExported(t, all, exportAll(t, restored))
	}
}

// Every flipped byte of an archive that says anything is found, told of its file, and repaired to a log that is not
// archived, with all events that can be read, at the places where they were.
func TestAnySpoiledByteOfAnArchiveIsFoundAndRepaired(t *testing.T) {
	from := t.TempDir()
	all := archivedCart(t, from)
	path := archivePath(cartFile(t, "c1"))
	whole := mustRead(t, filepath.Join(from, path))
	_, frameAt, err := readLabel(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	idle := 0
	stride := 7
	if os.Getenv("CARTD_TEST_LONG") != "" {
		stride = 1
	}
	for i := 0; i < len(whole); i += stride {
		spoiled := bytes.Clone(whole)
		spoiled[i] ^= 0x10
		write(t, filepath.Join(from, path), spoiled)
		r := mustVerify(t, from)
		if len(r.Faults) == 0 && i >= int(frameAt)+4 { // behind the magic number
			// zstd has a few bits that mean nothing, in the head of a frame and behind tables (RFC 8878, sections 3.1.1.1
			// and 4.1): what is read is the same, and its checksum is right.
			wantExported(t, all, exportAll(t, from))
			if idle++; idle > len(whole)/50 {
				t.Fatalf("%d of %d bytes can be flipped and nobody finds out", idle, i)
			}
			continue
		}
		if len(r.Faults) != 1 || r.Faults[0].File != path || r.Faults[0].Kind != BadSealed {
			t.Fatalf("byte %d flipped: faults %+v, want one of %s", i, r.Faults, path)
		}
		if i%(5*stride) > 0 {
			continue
		}
		backup, info := mustReceive(t, streamOf(t, from))
		if r := wantClean(t, backup); len(info.Damaged) != 1 || len(r.Notes) == 0 {
			t.Errorf("byte %d flipped: a backup tells of %v and %+v", i, info.Damaged, r.Notes)
		}
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		mustRepair(t, dir)
		wantClean(t, dir)
		got := exportAll(t, dir)
		for j, ev := range got["c1"] {
			if !ev.Damaged && len(lacking([]eventlog.Event{ev}, all["c1"])) > 0 {
				t.Errorf("byte %d flipped: event %d is %+v, as nobody wrote it", i, j, ev)
			}
		}
		delete(got, "c1")
		rest := make(map[string][]eventlog.Event)
		for name := range got {
			rest[name] = all[name]
		}
		wantExported(t, rest, got)
	}
	// An archive that says nothing shows as damage, and not as a cart that does not exist.
	write(t, filepath.Join(from, path), []byte("nothing"))
	l := mustOpen(t, from, Options{FeedRetention: time.Hour})
	if evs := logtest.ReadAll(t, l, logtest.Stream(t, "c1")); len(evs) != 1 || !evs[0].Damaged {
		t.Errorf("got %+v, want one damaged event", evs)
	}
	act := logtest.Activate(t, l, logtest.Stream(t, "c1"))
	defer act.Release()
	if _, err := logtest.Append(act, 1, logtest.Event(1)); !errors.Is(err, eventlog.ErrArchived) {
		t.Errorf("an append behind it: %v, want ErrArchived", err)
	}
}

// An archive in a wrong directory is put in its place.
func TestMisplacedArchiveIsPutInItsPlace(t *testing.T) {
	dir := t.TempDir()
	all := archivedCart(t, dir)
	path := archivePath(cartFile(t, "c1"))
	wrong := archiveDir + "/carts/00/" + filepath.Base(path)
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(wrong)), 0o750), os.Rename(filepath.Join(dir, path), filepath.Join(dir, wrong))); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); len(r.Faults) == 0 || r.Faults[0].Kind != WrongPlace {
		t.Errorf("got %+v, want the place", r.Faults)
	}
	mustRepair(t, dir)
	wantClean(t, dir)
	wantExported(t, all, exportAll(t, dir))
}

func TestNothingIsArchivedWhileABackupReads(t *testing.T) {
	dir := t.TempDir()
	all := written(t, dir)
	l := mustOpen(t, dir, Options{})
	l.sealing.Lock()
	mustArchive(t, l, all["c1"][len(all["c1"])-1].Type, []string{"c1"})
	l.sealing.Unlock()
	mustArchive(t, l, all["c1"][len(all["c1"])-1].Type, []string{"c1"}, "c1")
}

// One file that the disk does not give back must not keep all others from being archived, now and with every later sweep.
func TestLogThatCannotBeReadDoesNotKeepOthersFromBeingArchived(t *testing.T) {
	dir := t.TempDir()
	all := written(t, dir)
	l := mustOpen(t, dir, Options{FS: errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
		if strings.HasPrefix(c.Op, "Open") && c.Name == cartFile(t, "c1") {
			return &os.PathError{Op: c.Op, Path: c.Name, Err: syscall.EIO}
		}
		return nil
	})})
	id, ev := logtest.Stream(t, "new"), logtest.Event(1)
	ev.Type = all["c1"][len(all["c1"])-1].Type
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 0, ev)
	act.Release()
	done, err := l.Archive(t.Context(), []eventlog.StreamID{logtest.Stream(t, "c1"), id}, ev.Type)
	if !errors.Is(err, syscall.EIO) || !slices.Equal(done, []eventlog.StreamID{id}) {
		t.Errorf("archived %v, %v; want %v, and the failure of the other one", done, err, id)
	}
	mustClose(t, l)
}

func TestDamagedLogIsNotArchived(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	for _, name := range []string{"s1", "c1"} { // with sealed parts and without
		editLines(t, dir, name, func(ls [][]byte) [][]byte {
			at := len(ls) / 2
			ls[at][len(ls[at])/2] ^= 1
			return ls
		})
		l := mustOpen(t, dir, Options{})
		mustArchive(t, l, all[name][len(all[name])-1].Type, []string{name})
		mustClose(t, l)
	}
}

// The journal knows a cart for as long as the feed goes back, though its file is gone: nobody takes it for lost.
func TestArchivedCartIsNotMadeAgainFromTheJournal(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
	all := make(map[string][]eventlog.Event)
	for _, name := range []string{"c1", "c2"} {
		act := logtest.Activate(t, l, logtest.Stream(t, name))
		logtest.MustAppend(t, act, 0, logtest.Events(3)...)
		act.Release()
		all[name] = logtest.ReadAll(t, l, logtest.Stream(t, name))
	}
	mustArchive(t, l, all["c1"][2].Type, []string{"c1"}, "c1")
	wantFeed(t, l, 0, 6)
	wantClean(t, dir)
	mustClose(t, l)
	wantClean(t, dir)
	wantExported(t, all, exportAll(t, dir))
	backup, _ := mustReceive(t, streamOf(t, dir))
	restored, _ := mustRestore(t, backup)
	for _, at := range []string{backup, restored} {
		if r := wantClean(t, at); r.Archived != 1 || r.Events != 6 {
			t.Errorf("got %+v, want one archive, and 6 events", r)
		}
		if _, err := os.Stat(filepath.Join(at, cartFile(t, "c1"))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the archived cart has a file again: %v", err)
		}
	}
	wantExported(t, all, exportAll(t, restored))

	// Not even when the archive is damaged: the journal may have the last lines alone, and they are not the cart.
	edit(t, dir, archivePath(cartFile(t, "c1")), func(b []byte) []byte { return b[:len(b)-9] })
	backup, info := mustReceive(t, streamOf(t, dir))
	if _, err := os.Stat(filepath.Join(backup, cartFile(t, "c1"))); !errors.Is(err, os.ErrNotExist) || len(info.Damaged) != 1 {
		t.Errorf("the cart with a damaged archive has a file in the backup: %v; damaged: %v", err, info.Damaged)
	}
	mustRepair(t, dir)
	wantClean(t, dir)
	wantExported(t, all, exportAll(t, dir))
}

// A start that finds no checkpoint goes through the whole journal, which begins behind what was restored.
func TestArchivedCartIsNotMadeAgainByAStartWithoutACheckpoint(t *testing.T) {
	from := t.TempDir()
	before := written(t, from)["c1"]
	backup, _ := mustReceive(t, streamOf(t, from))
	dir, _ := mustRestore(t, backup)
	l := mustOpen(t, dir, Options{FeedRetention: time.Hour})
	id, ev := logtest.Stream(t, "c1"), logtest.Event(1)
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, before[len(before)-1].Version, ev)
	act.Release()
	want := logtest.ReadAll(t, l, id)
	mustArchive(t, l, ev.Type, []string{"c1"}, "c1")
	mustClose(t, l)
	mustRemove(t, filepath.Join(dir, journalDir, "checkpoint"))
	l = mustOpen(t, dir, Options{FeedRetention: time.Hour})
	if diff := diffEvents(want, logtest.ReadAll(t, l, id)); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	mustClose(t, l)
	wantClean(t, dir)
}

// A format that is read for ever.
func TestGoldenArchiveOfFormat1(t *testing.T) {
	id := logtest.Stream(t, "golden")
	part, file := sealedEvents(id)
	all := append(part[:3:3], file...)
	text := linesOf(all)
	last := bytes.TrimSuffix(linesOf(all[4:]), []byte("\n"))
	want := label{Version: 1, Bytes: int64(len(text)), Lines: 5, Last: line32Of(last), End: 1202}
	stored := mustRead(t, "testdata/v1.events.log.zst")
	if got, content := unsealed(t, stored); got != want || !bytes.Equal(content, text) {
		t.Errorf("golden archive is %+v of\n%s\nwant %+v of\n%s", got, content, want, text)
	}
	dir := t.TempDir()
	mustClose(t, mustOpen(t, dir, Options{}))
	path := filepath.Join(dir, archivePath(newStream(id).path))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, path, stored)
	if diff := diffEvents(all, exportAll(t, dir)["golden"]); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Positions that archives alone know are not given again when the journal is gone.
func TestPositionsGoOnBehindArchivesWithoutAJournal(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	id := logtest.Stream(t, "c1")
	act := logtest.Activate(t, l, id)
	ev := logtest.Event(1)
	r := logtest.MustAppend(t, act, 0, ev)
	act.Release()
	mustArchive(t, l, ev.Type, []string{"c1"}, "c1")
	mustClose(t, l)
	if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir, Options{})
	act = logtest.Activate(t, l, logtest.Stream(t, "c2"))
	defer act.Release()
	if next := logtest.MustAppend(t, act, 0, logtest.Event(1)); next.Position != r.Position+1 {
		t.Errorf("the next event has position %d, want %d", next.Position, r.Position+1)
	}
}

// TestCrashAtAnyCallOfArchivingLosesNothing crashes at each call of the file system while streams are archived, one of
// them with sealed parts and snapshots: all events are there, once, before and after it is archived again.
func TestCrashAtAnyCallOfArchivingLosesNothing(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	tree := crashfs.New(nil)
	load(t, dir, tree)
	c := &crasher{rnd: rand.New(rand.NewPCG(7, 8))}
	c.fs = tree.Keep(c.hook)
	c.quiet = true
	opts := func(fs *crashfs.FS) Options {
		return Options{FS: fs, SegmentBytes: 8 << 10, CheckpointSegments: 1, FeedRetention: time.Hour}
	}
	last := all["s1"][len(all["s1"])-1].Type
	ids := []eventlog.StreamID{logtest.Stream(t, "s1"), logtest.Stream(t, "s2")}
	archive := func(l *Log, how string) {
		t.Helper()
		for _, id := range ids { // each by its own last event
			evs := all[id.Name()]
			done, err := l.Archive(context.Background(), []eventlog.StreamID{id}, evs[len(evs)-1].Type)
			if err != nil || len(done) != 1 {
				t.Fatalf("%s: archived %v, %v; want %v", how, done, err, id)
			}
		}
	}
	l, err := Open("data", opts(c.fs))
	if err != nil {
		t.Fatal(err)
	}
	act := logtest.Activate(t, l, logtest.Stream(t, "s1")) // one event that no checkpoint knows of
	ev := logtest.Event(1)
	ev.Type = last
	logtest.MustAppend(t, act, all["s1"][len(all["s1"])-1].Version, ev)
	act.Release()
	all["s1"] = logtest.ReadAll(t, l, logtest.Stream(t, "s1"))
	c.mu.Lock()
	c.quiet = false
	c.mu.Unlock()
	archive(l, "undisturbed")
	c.hook()
	c.mu.Lock()
	c.quiet = true
	c.mu.Unlock()
	mustClose(t, l)
	if len(c.images) < 60 {
		t.Errorf("got %d images of crashes, want more", len(c.images))
	}
	whole := func(image *crashfs.FS, how string) {
		t.Helper()
		r := newChecker(checked{image}, CheckOptions{State: tallies})
		if err := r.verify(t.Context()); err != nil || len(r.report.Faults) > 0 {
			t.Fatalf("%s: verify: %v, %+v", how, err, r.report.Faults)
		}
	}
	for _, image := range c.images {
		l, err := Open("data", opts(image.fs))
		if err != nil {
			t.Fatalf("%s: open: %v", image.how, err)
		}
		for round := range 2 {
			for _, id := range ids {
				if diff := diffEvents(all[id.Name()], logtest.ReadAll(t, l, id)); diff != "" {
					t.Fatalf("%s, round %d: %s (-want +got):\n%s", image.how, round, id, diff)
				}
			}
			if round == 0 {
				archive(l, image.how)
			}
		}
		mustClose(t, l)
		whole(image.fs, image.how)
		for _, path := range []string{snapshotPath(cartFile(t, "s1")), oldSnapshotPath(cartFile(t, "s1")), cartFile(t, "s1")} {
			if content(image.fs, path) != nil {
				t.Fatalf("%s: %s is left", image.how, path)
			}
		}
	}
}

// TestFailureOfAnyCallOfArchivingLosesNothing lets the k-th call of the file system fail while a stream is archived, for every
// k: it is read whole afterwards, or not at all, and whole after a restart, which archives it.
func TestFailureOfAnyCallOfArchivingLosesNothing(t *testing.T) {
	from := t.TempDir()
	all := sealedCart(t, from)
	id, last := logtest.Stream(t, "s1"), all["s1"][len(all["s1"])-1].Type
	failed := 0
	for k := 1; ; k++ {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		var calls atomic.Int64 // since it began
		var what atomic.Value
		calls.Store(math.MinInt64)
		l := mustOpen(t, dir, Options{FS: errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
			if calls.Add(1) == int64(k) {
				what.Store(c.Op + " " + c.Name)
				return &os.PathError{Op: c.Op, Path: c.Name, Err: syscall.EIO}
			}
			return nil
		})})
		calls.Store(0)
		_, _ = l.Archive(t.Context(), []eventlog.StreamID{id}, last) // a failure that it can live with is none
		reached := calls.Load() >= int64(k)
		calls.Store(math.MinInt64)
		got, whole := []eventlog.Event{}, true
		for ev, err := range l.Read(t.Context(), id) {
			if whole = err == nil; whole {
				got = append(got, ev)
			}
		}
		if diff := diffEvents(all["s1"], got); whole && diff != "" {
			t.Fatalf("%v failed, read (-want +got):\n%s", what.Load(), diff)
		}
		if err := l.Close(); err != nil && l.Cause() == nil {
			t.Errorf("%v failed, close: %v", what.Load(), err)
		}
		l = mustOpen(t, dir, Options{})
		mustArchive(t, l, last, []string{"s1"}, "s1")
		if diff := diffEvents(all["s1"], logtest.ReadAll(t, l, id)); diff != "" {
			t.Fatalf("%v failed, after a restart (-want +got):\n%s", what.Load(), diff)
		}
		mustClose(t, l)
		if r := wantClean(t, dir); r.Archived != 1 {
			t.Errorf("%v failed: %d archives, want 1", what.Load(), r.Archived)
		}
		if !reached {
			break
		}
		failed++
	}
	if failed < 20 {
		t.Errorf("only %d calls were made to fail, want more", failed)
	}
}
