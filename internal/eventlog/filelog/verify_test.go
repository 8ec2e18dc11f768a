package filelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/logtest"
)

// written is a data directory as a closed log leaves it, with carts c0 to c4 and the journal's last segment, which has
// several frames. It returns the events of each cart.
func written(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	l := mustOpen(t, dir, Options{Durability: SyncNever, SegmentBytes: 16 << 10, CheckpointSegments: 1})
	all := make(map[string][]eventlog.Event)
	heads := make(map[string]uint64)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		name := fmt.Sprintf("c%d", rng.IntN(5))
		id := logtest.Stream(t, name)
		act := logtest.Activate(t, l, id)
		heads[name] = logtest.MustAppend(t, act, heads[name], logtest.Events(1+rng.IntN(3))...).Version
		act.Release()
	}
	for name := range heads {
		all[name] = logtest.ReadAll(t, l, logtest.Stream(t, name))
	}
	mustClose(t, l)
	return all
}

// abandoned is a data directory as a process leaves it that was killed: nothing of its journal is checkpointed.
func abandoned(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	live := t.TempDir()
	l := mustOpen(t, live, Options{Durability: SyncNever, SegmentBytes: 64 << 10})
	all := make(map[string][]eventlog.Event)
	for i := range 40 {
		id := logtest.Stream(t, fmt.Sprintf("c%d", i%4))
		act := logtest.Activate(t, l, id)
		logtest.MustAppend(t, act, uint64(len(all[id.Name()])), logtest.Events(2)...)
		act.Release()
		all[id.Name()] = logtest.ReadAll(t, l, id)
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	return all
}

func mustVerify(t testing.TB, dir string) *Report {
	t.Helper()
	r, err := Verify(t.Context(), dir, CheckOptions{State: tallies})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantClean(t testing.TB, dir string) *Report {
	t.Helper()
	r := mustVerify(t, dir)
	if len(r.Faults) > 0 {
		t.Fatalf("got faults %+v, want none", r.Faults)
	}
	return r
}

// cartFile is where a cart's file is, relative to the data directory.
func cartFile(t testing.TB, name string) string { return newStream(logtest.Stream(t, name)).path }

// edit changes a file below dir.
func edit(t testing.TB, dir, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.WriteFile(path, change(mustRead(t, path)), 0o640); err != nil {
		t.Fatal(err)
	}
}

// editLines changes the lines of a cart's file.
func editLines(t testing.TB, dir, cart string, change func([][]byte) [][]byte) {
	t.Helper()
	edit(t, dir, cartFile(t, cart), func(b []byte) []byte { return bytes.Join(change(lines(b)), nil) })
}

// resign gives a line another position and checksum.
func resign(line []byte, change func(string) string) []byte {
	body := line[:len(line)-crcSuffix-1]
	return appendSum([]byte(change(string(body))), 0)
}

// segments are the journal's files.
func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, journalDir, "*.wal"))
	if err != nil || len(names) == 0 {
		t.Fatalf("segments: %v, %v", names, err)
	}
	for i := range names {
		names[i] = journalDir + "/" + filepath.Base(names[i])
	}
	slices.Sort(names)
	return names
}

// planted is something that is wrong in a directory.
type planted struct {
	name  string
	write func(testing.TB, string) map[string][]eventlog.Event // the directory
	plant func(testing.TB, string) Finding                     // what has to be found; Detail is not compared
	lost  int                                                  // events that nobody can bring back; -1: so many, and faults
}

// some events are lost, how many depends on how they were compressed.
const some = -2

// oldCart makes the journal forget a directory's carts: it is opened and written to once more.
func oldCart(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	all := written(t, dir)
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	id := logtest.Stream(t, "other")
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 0, logtest.Event(1))
	act.Release()
	all["other"] = logtest.ReadAll(t, l, id)
	mustClose(t, l)
	return all
}

func offsetOf(t testing.TB, dir, cart string, line int) int64 {
	t.Helper()
	at := 0
	for _, l := range lines(mustRead(t, filepath.Join(dir, cartFile(t, cart))))[:line-1] {
		at += len(l)
	}
	return int64(at)
}

// faults are the kinds of damage that verify finds and repair mends.
var faults = slices.Concat(fileFaults, sealedFaults, snapshotFaults)

// fileFaults are those of the journal and of streams' files.
var fileFaults = []planted{
	{"flipped bit in a line", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 3)
		edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { b[at+70] ^= 4; return b })
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 3, Kind: BadChecksum}
	}, 1},
	{"flipped bit in a line that the journal has", abandoned, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 3)
		edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { b[at+70] ^= 4; return b })
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 3, Kind: BadChecksum}
	}, 0},
	{"fields that are none under a right checksum", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 3)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			ls[2] = resign(ls[2], func(s string) string { return strings.Replace(s, `"v":1`, `"v":1,"new":1`, 1) })
			return ls
		})
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 3, Kind: BadFields}
	}, 1},
	{"line longer than any", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 3)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			return slices.Insert(ls, 2, append(bytes.Repeat([]byte("x"), 9<<20), '\n'))
		})
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 3, Kind: LongLine}
	}, 0},
	{"line that is missing", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 1)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte { return ls[1:] })
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 1, Kind: VersionGap}
	}, 1},
	{"line that is missing and that the journal has", abandoned, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 4)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte { return slices.Delete(ls, 3, 4) })
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 4, Kind: MissingLine}
	}, 0},
	{"line that is there twice", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 3)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte { return slices.Insert(ls, 2, ls[1]) })
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 3, Kind: BadVersion}
	}, 0},
	{"position that goes back", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 4)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			_, rest, _ := strings.Cut(string(ls[3]), `,"seq":`)
			ls[3] = resign([]byte(`{"v":1,"pos":1,"seq":`+rest), func(s string) string { return s })
			return ls
		})
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 4, Kind: PositionOrder}
	}, 0},
	{"file copied under another name", oldCart, func(t testing.TB, dir string) Finding {
		b := mustRead(t, filepath.Join(dir, cartFile(t, "c1")))
		plant(t, dir, logtest.Stream(t, "x9"), lines(b)[0])
		first, second := cartFile(t, "c1"), cartFile(t, "x9")
		if first > second {
			first, second = second, first
		}
		return Finding{File: second, Line: 1, Kind: PositionTwice}
	}, 0},
	{"commit without its end in the middle", oldCart, func(t testing.TB, dir string) Finding {
		var at, n int
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			for i, l := range ls {
				if !bytes.Contains(l, []byte(`,"more":1`)) && i < len(ls)-1 {
					ls[i] = resign(l, func(s string) string { return strings.Replace(s, `,"epoch":`, `,"more":1,"epoch":`, 1) })
					n = i + 2
					break
				}
			}
			return ls
		})
		at = int(offsetOf(t, dir, "c1", n))
		return Finding{File: cartFile(t, "c1"), Offset: int64(at), Line: n, Kind: HalfCommit}
	}, 0},
	{"torn tail", oldCart, func(t testing.TB, dir string) Finding {
		var at, n int
		edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte {
			at, n = len(b), len(lines(b))
			return append(b, `{"v":1,"pos":9`...)
		})
		return Finding{File: cartFile(t, "c1"), Offset: int64(at), Line: n + 1, Kind: Torn}
	}, 0},
	{"file in a wrong directory", oldCart, func(t testing.TB, dir string) Finding {
		wrong := "carts/" + map[bool]string{true: "01", false: "00"}[strings.HasPrefix(cartFile(t, "c1"), "carts/00/")]
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, wrong), 0o750),
			os.Rename(filepath.Join(dir, cartFile(t, "c1")), filepath.Join(dir, wrong, "c1"+logSuffix))); err != nil {
			t.Fatal(err)
		}
		return Finding{File: wrong + "/c1" + logSuffix, Kind: WrongPlace}
	}, 0},
	{"file whose name names no cart", oldCart, func(t testing.TB, dir string) Finding {
		name := "carts/" + "-x" + logSuffix
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o640); err != nil {
			t.Fatal(err)
		}
		return Finding{File: name, Kind: BadName}
	}, 0},
	{"line that differs from the journal's", abandoned, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 2)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			ls[1] = resign(ls[1], func(s string) string { return strings.Replace(s, `"quantity":2`, `"quantity":7`, 1) })
			return ls
		})
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 2, Kind: JournalDiffer}
	}, 0},
	{"checkpoint with a flipped bit", abandoned, func(t testing.TB, dir string) Finding {
		edit(t, dir, "journal/checkpoint", func(b []byte) []byte { b[30] ^= 1; return b })
		return Finding{File: "journal/checkpoint", Kind: Kind(journal.BadCheckpoint)}
	}, 0},
	{"segment's header with a flipped bit", abandoned, func(t testing.TB, dir string) Finding {
		name := segments(t, dir)[0]
		edit(t, dir, name, func(b []byte) []byte { b[40] ^= 1; return b })
		return Finding{File: name, Kind: Kind(journal.BadHeader)}
	}, 0},
	{"segment under another name", abandoned, func(t testing.TB, dir string) Finding {
		name := "journal/00000000000000000077.wal"
		if err := os.Rename(filepath.Join(dir, segments(t, dir)[0]), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return Finding{File: name, Kind: Kind(journal.BadHeader)}
	}, 0},
	{"journal's frame with a flipped bit", abandoned, func(t testing.TB, dir string) Finding {
		name := segments(t, dir)[0]
		edit(t, dir, name, func(b []byte) []byte { b[48+60] ^= 1; return b })
		return Finding{File: name, Offset: 48, Kind: Kind(journal.BadFrame)}
	}, 0},
	{"journal that is gone", written, func(t testing.TB, dir string) Finding {
		if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil {
			t.Fatal(err)
		}
		return Finding{File: journalDir, Kind: JournalBehind}
	}, 0},
	{"file that is gone and that the journal has", written, func(t testing.TB, dir string) Finding {
		var gone string
		for path := range recordsOf(t, dir) {
			if gone == "" || path < gone {
				gone = path
			}
		}
		// Of the last segment alone: the rest of the file is beyond help, so it has to be made of journaled lines.
		edit(t, dir, gone, func(b []byte) []byte { return nil })
		return Finding{File: gone, Line: 1, Kind: MissingLine}
	}, -1},
}

func recordsOf(t testing.TB, dir string) map[string]struct{} {
	t.Helper()
	found := make(map[string]struct{})
	for _, name := range []string{"c0", "c1", "c2", "c3", "c4"} {
		for _, seg := range segments(t, dir) {
			if bytes.Contains(mustRead(t, filepath.Join(dir, seg)), []byte("cart"+name)) {
				found[cartFile(t, name)] = struct{}{}
			}
		}
	}
	return found
}

func TestVerifyFindsEveryPlantedFaultAndChangesNothing(t *testing.T) {
	for _, test := range allFaults() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test.write(t, dir)
			wantClean(t, dir)
			want := test.plant(t, dir)
			before := snapshotOf(t, dir)
			r := mustVerify(t, dir)
			if diff := diffFiles(before, snapshotOf(t, dir)); diff != "" {
				t.Errorf("verify changed %s", diff)
			}
			if !slices.ContainsFunc(r.Faults, func(f Finding) bool {
				return f.File == want.File && f.Offset == want.Offset && f.Line == want.Line && f.Kind == want.Kind
			}) {
				t.Errorf("got faults %+v, want among them %+v", r.Faults, want)
			}
			if len(r.Faults) > 1 && test.lost != -1 {
				t.Errorf("got faults %+v, want one", r.Faults)
			}
		})
	}
}

// snapshotOf returns all files below dir.
func snapshotOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[path] = string(mustRead(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// diffFiles names a file that differs.
func diffFiles(a, b map[string]string) string {
	for name := range a {
		if got, ok := b[name]; !ok || got != a[name] {
			return name
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			return name
		}
	}
	return ""
}

func TestVerifyOfACrashedDirectoryIsClean(t *testing.T) {
	dir := t.TempDir()
	all := abandoned(t, dir)
	// The files lag behind the journal, and one ends in the middle of a line.
	editLines(t, dir, "c1", func(ls [][]byte) [][]byte { return ls[:4] })
	edit(t, dir, cartFile(t, "c2"), func(b []byte) []byte { return b[:len(b)-30] })
	if err := os.Remove(filepath.Join(dir, cartFile(t, "c3"))); err != nil {
		t.Fatal(err)
	}
	r := wantClean(t, dir)
	if len(r.Notes) != 1 || r.Notes[0].Kind != Torn {
		t.Errorf("got notes %+v, want one torn tail", r.Notes)
	}
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	for name, want := range all {
		if diff := diffEvents(want, logtest.ReadAll(t, l, logtest.Stream(t, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestVerifyWhileManyWriteFindsNothing(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{Durability: SyncNever, SegmentBytes: 16 << 10, CheckpointSegments: 1, OpenFiles: 4})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			id := logtest.Stream(t, fmt.Sprintf("w%d", w))
			act, err := l.Activate(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			defer act.Release()
			for range act.Replay(t.Context(), nil) {
				t.Error("a new stream has events")
			}
			for want := uint64(0); ctx.Err() == nil && want < 50_000; {
				r, err := logtest.Append(act, want, logtest.Events(1+int(want)%5)...)
				if err != nil {
					t.Error(err)
					return
				}
				want = r.Version
			}
		})
	}
	for range 15 {
		if r, err := Verify(t.Context(), dir, CheckOptions{}); err != nil || len(r.Faults) > 0 {
			t.Errorf("got %+v, %v; want no faults", r, err)
			break
		}
	}
	stop()
	wg.Wait()
	mustClose(t, l)
	wantClean(t, dir)
}

func TestVerifyOfNoLogSaysSo(t *testing.T) {
	if _, err := Verify(t.Context(), t.TempDir(), CheckOptions{}); !errors.Is(err, ErrNoLog) {
		t.Errorf("empty directory: got %v, want ErrNoLog", err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := Verify(t.Context(), missing, CheckOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: got %v, want os.ErrNotExist", err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Error("verify made the directory")
	}
}
