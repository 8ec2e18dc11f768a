package filelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"
)

// streamOf returns the stream of a backup of dir.
func streamOf(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := BackupDir(t.Context(), dir, &b, CheckOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustReceive(t testing.TB, stream []byte) (dir string, info *BackupInfo) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "backup")
	info, err := ReceiveBackup(t.Context(), bytes.NewReader(stream), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, info
}

func mustRestore(t testing.TB, backup string) (dir string, done *Restored) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "restored")
	done, report, err := Restore(t.Context(), backup, dir, CheckOptions{})
	if err != nil {
		t.Fatalf("restore: %v, %+v", err, report)
	}
	return dir, done
}

func TestRestoredLogHasEveryEventAndGoesOnBehindThem(t *testing.T) {
	for name, write := range map[string]func(testing.TB, string) map[string][]eventlog.Event{"closed": written, "killed": abandoned} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := write(t, dir)
			if name == "killed" { // files lag behind the journal, one is missing
				editLines(t, dir, "c1", func(ls [][]byte) [][]byte { return ls[:4] })
				edit(t, dir, cartFile(t, "c2"), func(b []byte) []byte { return b[:len(b)-30] })
				if err := os.Remove(filepath.Join(dir, cartFile(t, "c3"))); err != nil {
					t.Fatal(err)
				}
			}
			before := snapshotOf(t, dir)
			backup, info := mustReceive(t, streamOf(t, dir))
			delete(before, filepath.Join(dir, lockName))
			after := snapshotOf(t, dir)
			delete(after, filepath.Join(dir, lockName))
			if d := diffFiles(before, after); d != "" {
				t.Errorf("backup changed %s", d)
			}
			n := 0
			for _, evs := range want {
				n += len(evs)
			}
			if info.Carts != len(want) || info.Events != n || info.Position != uint64(n) || len(info.Damaged) > 0 {
				t.Errorf("got %+v, want %d carts, %d events up to position %d", info, len(want), n, n)
			}
			if r := wantClean(t, backup); !r.Backup || r.Events != n || r.Position != uint64(n) || len(r.Notes) > 0 {
				t.Errorf("verify of the backup: got %+v", r)
			}
			restored, done := mustRestore(t, backup)
			if done.NewIncarnation == info.Incarnation || done.NewIncarnation == ([16]byte{}) {
				t.Errorf("incarnation of the restored log is %v, that of the old one %v", done.NewIncarnation, info.Incarnation)
			}
			wantClean(t, restored)
			l := mustOpen(t, restored, Options{})
			if l.Incarnation() != done.NewIncarnation {
				t.Errorf("incarnation is %v, want %v", l.Incarnation(), done.NewIncarnation)
			}
			for name, evs := range want {
				if diff := diffEvents(evs, logtest.ReadAll(t, l, logtest.Stream(t, name))); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			act := logtest.Activate(t, l, logtest.Stream(t, "c1"))
			if r := logtest.MustAppend(t, act, uint64(len(want["c1"])), logtest.Event(1)); r.Position != uint64(n)+1 {
				t.Errorf("next event has position %d, want %d", r.Position, n+1)
			}
			act.Release()
		})
	}
}

func TestIncarnationStaysUntilTheJournalIsLost(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	first := l.Incarnation()
	mustClose(t, l)
	l = mustOpen(t, dir, Options{})
	if got := l.Incarnation(); got != first || got == ([16]byte{}) || got.Version() != 4 {
		t.Errorf("got %v, then %v, want the same UUID", first, got)
	}
	mustClose(t, l)
	if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, dir, Options{}).Incarnation(); got == first {
		t.Error("a log that has lost its journal, and may give positions again, has the old id")
	}
}

// While 16 write, a backup has all that was answered before, a prefix of each cart, and all positions up to its own.
func TestBackupWhileManyWriteIsOfOnePosition(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{Durability: SyncNever, SegmentBytes: 64 << 10, OpenFiles: 4})
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards the following
		sent = make(map[string]uint64)
		ok   = make(map[string]uint64)
	)
	note := func(m map[string]uint64, name string, v uint64) {
		mu.Lock()
		defer mu.Unlock()
		m[name] = v
	}
	for w := range 16 {
		wg.Go(func() {
			for cart := 0; ctx.Err() == nil; cart++ {
				id := logtest.Stream(t, fmt.Sprintf("w%d-%d", w, cart))
				act, err := l.Activate(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				for range act.Replay(t.Context(), nil) {
					t.Error("a new stream has events")
				}
				for want := uint64(0); want < 1500 && ctx.Err() == nil; {
					evs := logtest.Events(1 + int(want)%4)
					note(sent, id.Name(), want+uint64(len(evs)))
					r, err := logtest.Append(act, want, evs...)
					if err != nil {
						t.Error(err)
						return
					}
					want = r.Version
					note(ok, id.Name(), want)
				}
				act.Release()
			}
		})
	}
	for range 3 {
		mu.Lock()
		before := maps.Clone(ok)
		mu.Unlock()
		var b bytes.Buffer
		if _, err := l.Backup(t.Context(), &b); err != nil {
			t.Error(err)
			break
		}
		mu.Lock()
		after := maps.Clone(sent)
		mu.Unlock()
		backup, info := mustReceive(t, b.Bytes())
		if r := mustVerify(t, backup); len(r.Faults)+len(r.Notes) > 0 || uint64(r.Events) != info.Position {
			t.Fatalf("verify: got %+v, want all positions up to %d", r, info.Position)
		}
		dir, _ := mustRestore(t, backup)
		got := exportAll(t, dir)
		for name, v := range before {
			if n := uint64(len(got[name])); n < v {
				t.Errorf("%s: got %d events, %d were answered before", name, n, v)
			}
		}
		for name, evs := range got {
			if uint64(len(evs)) > after[name] || evs[len(evs)-1].More {
				t.Errorf("%s: got %d events of %d, the last with More %v", name, len(evs), after[name], evs[len(evs)-1].More)
			}
			for i, ev := range evs {
				if ev.Version != uint64(i)+1 {
					t.Errorf("%s: event %d has version %d", name, i, ev.Version)
				}
			}
		}
	}
	stop()
	wg.Wait()
}

// What is in the journal alone when the backup begins, the file of a new cart for one, is in the backup.
func TestBackupHasWhatIsBehind(t *testing.T) {
	tree, err := vfs.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var walking atomic.Bool
	l := mustOpen(t, "", Options{Durability: SyncNever, SegmentBytes: 1 << 20, FS: errfs.Wrap(tree, func(c errfs.Call) error {
		if c.Op == "ReadDir" {
			walking.Store(true)
		}
		return nil
	})})
	walking.Store(false)
	held := newStream(logtest.Stream(t, "held"))
	act := logtest.Activate(t, l, held.id)
	s := l.acquire(held.id)
	s.wmu.Lock() // the write behind waits
	logtest.MustAppend(t, act, 0, logtest.Events(3)...)
	var b bytes.Buffer
	done := make(chan *BackupInfo)
	go func() {
		info, err := l.Backup(t.Context(), &b)
		if err != nil {
			t.Error(err)
		}
		done <- info
	}()
	// Appends wait for nothing meanwhile. They are behind the backup's position, or there as well.
	other := logtest.Activate(t, l, logtest.Stream(t, "other"))
	for v := uint64(0); v < 500 && !walking.Load(); v++ {
		logtest.MustAppend(t, other, v, logtest.Event(int(v)))
	}
	if walking.Load() {
		t.Error("the backup looks for files before what is behind is in them")
	}
	s.wmu.Unlock()
	if info := <-done; info == nil || info.Position < 3 {
		t.Errorf("got %+v, want at least the three events that were behind", info)
	}
	l.release(s)
	act.Release()
	other.Release()
	backup, _ := mustReceive(t, b.Bytes())
	if _, err := os.Stat(filepath.Join(backup, held.path)); err != nil {
		t.Error(err)
	}
	checkEntries(t, l)
}

func TestBackupEndsWithTheLogAndWithItsContext(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	if _, err := l.Backup(canceledContext(t), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	mustClose(t, l)
	if _, err := l.Backup(t.Context(), io.Discard); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

func canceledContext(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestBackupOfALogInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, Options{})
	if _, err := BackupDir(t.Context(), dir, io.Discard, CheckOptions{}); !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("got %v, want ErrLocked with this process", err)
	}
	if _, err := BackupDir(t.Context(), t.TempDir(), io.Discard, CheckOptions{}); !errors.Is(err, ErrNoLog) {
		t.Errorf("empty directory: got %v, want ErrNoLog", err)
	}
	broken := t.TempDir()
	abandoned(t, broken)
	edit(t, broken, segments(t, broken)[0], func(b []byte) []byte { b[100] ^= 1; return b })
	if _, err := BackupDir(t.Context(), broken, io.Discard, CheckOptions{}); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("damaged journal: got %v, want ErrCorrupt", err)
	}
}

// Wherever a stream ends, what has come is no backup, and says so.
func TestBackupStreamThatIsCutOffIsNeverAccepted(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	stream := streamOf(t, dir)
	step := len(stream) / 60
	if testing.Short() {
		step = len(stream) / 10
	}
	for n := range len(stream) {
		if n%step != 0 && n < len(stream)-3 { // the ends of entries, of the archive, and the last bytes
			continue
		}
		to := filepath.Join(t.TempDir(), "backup")
		_, err := ReceiveBackup(t.Context(), bytes.NewReader(stream[:n]), to, nil)
		if err == nil && n >= len(stream)-1024 {
			// What is missing is the archive's end alone; ReceiveBackup may take that for the end.
			wantClean(t, to)
			continue
		}
		if !errors.Is(err, ErrBadBackup) {
			t.Fatalf("cut at byte %d of %d: got %v, want ErrBadBackup", n, len(stream), err)
		}
		wantRefused(t, to)
	}
}

// wantRefused wants nobody to take dir for a log or a whole backup.
func wantRefused(t testing.TB, dir string) {
	t.Helper()
	if _, err := Open(dir, Options{SegmentBytes: 8 << 10}); !errors.Is(err, ErrUnfinished) && !errors.Is(err, ErrBackup) {
		t.Errorf("open: got %v, want ErrUnfinished", err)
	}
	if _, err := BackupDir(t.Context(), dir, io.Discard, CheckOptions{}); err == nil {
		t.Error("backup: got no error")
	}
	if _, err := Repair(t.Context(), dir, CheckOptions{}); err == nil {
		t.Error("repair: got no error")
	}
	if err := Export(t.Context(), dir, CheckOptions{}, func(eventlog.Event) error { return nil }); !errors.Is(err, ErrUnfinished) {
		t.Errorf("export: got %v, want ErrUnfinished", err)
	}
	if r, err := Verify(t.Context(), dir, CheckOptions{}); err != nil || len(r.Faults) == 0 {
		t.Errorf("verify: got %+v, %v; want a fault", r, err)
	}
	to := filepath.Join(t.TempDir(), "to")
	if _, _, err := Restore(t.Context(), dir, to, CheckOptions{}); !errors.Is(err, ErrBadBackup) {
		t.Errorf("restore: got %v, want ErrBadBackup", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("restore: it made the directory (%v)", err)
	}
}

// A stream that was changed on the way is not accepted, unless the change is in nothing that is kept.
func TestBackupStreamThatIsChangedIsRefused(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	stream := streamOf(t, dir)
	want := snapshotBelow(t, first(mustReceive(t, stream)))
	for n := 0; n < len(stream); n += 1009 {
		changed := slices.Clone(stream)
		changed[n] ^= 0x20
		to := filepath.Join(t.TempDir(), "backup")
		if _, err := ReceiveBackup(t.Context(), bytes.NewReader(changed), to, nil); err != nil {
			continue
		}
		if d := diffFiles(want, snapshotBelow(t, to)); d != "" {
			t.Errorf("byte %d: accepted, and %s differs", n, d)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

// snapshotBelow is snapshotOf with relative names.
func snapshotBelow(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for path, content := range snapshotOf(t, dir) {
		files[strings.TrimPrefix(path, dir)] = content
	}
	return files
}

func TestReceiveTakesOnlyAnEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	stream := streamOf(t, dir)
	to := t.TempDir()
	edit := filepath.Join(to, "mine")
	if err := os.WriteFile(edit, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReceiveBackup(t.Context(), bytes.NewReader(stream), to, nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v, want ErrNotEmpty", err)
	}
	if got := snapshotOf(t, to); len(got) != 1 {
		t.Errorf("the directory now has %v", slices.Collect(maps.Keys(got)))
	}
}

// Damage that the shop has had is copied, told, and no reason to refuse the rest.
func TestDamageInTheLogIsCopiedAndTold(t *testing.T) {
	dir := t.TempDir()
	oldCart(t, dir)
	edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { b[77] ^= 4; return b })
	for _, live := range []bool{false, true} {
		var b bytes.Buffer
		if live {
			l := mustOpen(t, dir, Options{Durability: SyncNever})
			if _, err := l.Backup(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			mustClose(t, l)
		} else {
			b.Write(streamOf(t, dir))
		}
		backup, info := mustReceive(t, b.Bytes())
		if want := []string{cartFile(t, "c1")}; !slices.Equal(info.Damaged, want) {
			t.Errorf("live %v: got damaged files %v, want %v", live, info.Damaged, want)
		}
		if r := wantClean(t, backup); len(r.Notes) == 0 || r.Notes[0].Kind != Holes && r.Notes[0].Kind != KnownDamage {
			t.Errorf("live %v: got notes %+v, want the damage", live, r.Notes)
		}
		restored, _ := mustRestore(t, backup)
		if got, want := mustRead(t, filepath.Join(restored, cartFile(t, "c1"))), mustRead(t, filepath.Join(dir, cartFile(t, "c1"))); !bytes.Equal(got, want) {
			t.Errorf("live %v: the damaged file is not as it was", live)
		}
	}
}

// Whenever a restore dies, what it leaves is not taken for a shop.
func TestRestoreThatDiesHalfWayLeavesNothingThatStarts(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	backup, _ := mustReceive(t, streamOf(t, dir))
	to := filepath.Join(t.TempDir(), "to")
	seen := 0
	_, _, err := Restore(t.Context(), backup, to, CheckOptions{Progress: func(done, total int) {
		if total < 0 { // the check before
			return
		}
		seen++
		left := filepath.Join(t.TempDir(), "left")
		if err := os.CopyFS(left, os.DirFS(to)); err != nil {
			t.Error(err)
			return
		}
		wantRefused(t, left)
	}})
	if err != nil || seen < 3 {
		t.Errorf("got %v after %d files", err, seen)
	}
	wantClean(t, to)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	to = filepath.Join(t.TempDir(), "to")
	_, _, err = Restore(ctx, backup, to, CheckOptions{Progress: func(done, total int) {
		if total > 0 && done == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	wantRefused(t, to)
	if _, _, err := Restore(t.Context(), backup, to, CheckOptions{}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restore on top of it: got %v, want ErrNotEmpty", err)
	}
	if _, _, err := Restore(t.Context(), backup, filepath.Join(backup, "in"), CheckOptions{}); err == nil {
		t.Error("restore into the backup itself: got no error")
	}
}

func TestNobodyServesABackup(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	backup, _ := mustReceive(t, streamOf(t, dir))
	before := snapshotOf(t, backup)
	if _, err := Open(backup, Options{}); !errors.Is(err, ErrBackup) {
		t.Errorf("got %v, want ErrBackup", err)
	}
	after := snapshotOf(t, backup)
	delete(after, filepath.Join(backup, lockName))
	if d := diffFiles(before, after); d != "" {
		t.Errorf("open changed %s", d)
	}
}

// A server that takes the directory between the look at it and the restore keeps it, and starts there again.
func TestRestoreLeavesADirectoryAloneThatAServerHasTaken(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	r := &restorer{tree: mustTree(t, dir)}
	if _, err := r.run(t.Context()); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("beside a server: got %v, want ErrLocked", err)
	}
	mustClose(t, l)
	if _, err := r.run(t.Context()); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("behind a server: got %v, want ErrNotEmpty", err)
	}
	mustClose(t, mustOpen(t, dir, Options{}))
}

func TestBackupHasSealedParts(t *testing.T) {
	for _, live := range []bool{false, true} {
		dir := t.TempDir()
		all := sealedCart(t, dir)
		var stream bytes.Buffer
		var err error
		if live {
			l := mustOpen(t, dir, Options{Durability: SyncNever})
			_, err = l.Backup(t.Context(), &stream)
			mustClose(t, l)
		} else {
			_, err = BackupDir(t.Context(), dir, &stream, CheckOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		backup, info := mustReceive(t, stream.Bytes())
		events := 0
		for _, evs := range all {
			events += len(evs)
		}
		if info.Carts != len(all) || info.Events != events || len(info.Damaged) > 0 {
			t.Errorf("live %v: got %+v, want %d carts with %d events", live, info, len(all), events)
		}
		restored, _ := mustRestore(t, backup)
		if len(partsOf(t, restored, "s1")) < 2 {
			t.Errorf("live %v: sealed parts were not restored", live)
		}
		wantClean(t, restored)
		wantExported(t, all, exportAll(t, restored))
	}
}

// A line is in its file a moment before a backup would take it. What is in front of it is not sealed before.
func TestNothingIsSealedInFrontOfALineThatABackupDoesNotHave(t *testing.T) {
	dir := t.TempDir()
	id := logtest.Stream(t, "c1")
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 0, logtest.Event(1))
	if err := errors.Join(l.flushBehind(), l.checkpoint()); err != nil {
		t.Fatal(err)
	}
	at := int64(len(mustRead(t, logPath(dir, id))))
	logtest.MustAppend(t, act, 1, logtest.Event(1))
	act.Release()
	s := l.acquire(id)
	defer l.release(s)
	position := l.Head()
	l.tail.Advance(position - 1)
	if done, err := l.seal(s, at); done || err != nil {
		t.Errorf("line behind it is not published: got %v, %v; want nothing done", done, err)
	}
	l.tail.Advance(position)
	if done, err := l.seal(s, at); !done || err != nil {
		t.Errorf("line behind it is published: got %v, %v; want the part sealed", done, err)
	}
}
