package filelog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/logtest"

	"pgregory.net/rapid"
)

func mustRepair(t testing.TB, dir string) *Repaired {
	t.Helper()
	r, err := Repair(t.Context(), dir, CheckOptions{State: tallies})
	if err != nil {
		t.Fatalf("repair: %v\nfound %+v\ndid %q", err, r.Found, r.Done)
	}
	return r
}

// lacking returns the events of want that the log has not, compared without their positions.
func lacking(want, got []eventlog.Event) (missing []eventlog.Event) {
	for _, w := range want {
		w.Position = 0
		if !slices.ContainsFunc(got, func(g eventlog.Event) bool {
			g.Position, g.More = 0, w.More
			return g.ID == w.ID && g.Version == w.Version && diffEvents([]eventlog.Event{w}, []eventlog.Event{g}) == ""
		}) {
			missing = append(missing, w)
		}
	}
	return missing
}

func TestRepairMendsEveryPlantedFaultAndLosesNothingSound(t *testing.T) {
	for _, test := range append(moreFaults[:len(moreFaults):len(moreFaults)], faults...) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			all := test.write(t, dir)
			test.plant(t, dir)
			before := snapshotOf(t, dir)

			r := mustRepair(t, dir)
			wantClean(t, dir)
			after := snapshotOf(t, dir)
			for name, content := range before {
				if strings.HasSuffix(name, lockName) || after[name] == content {
					continue
				}
				kept := false
				for _, got := range after { // under quarantine/, or where it belongs
					kept = kept || got == content
				}
				if !kept {
					t.Errorf("%s was replaced and is not kept", name)
				}
			}

			l := mustOpen(t, dir, Options{Durability: SyncNever})
			lost, damaged := 0, 0
			for name, want := range all {
				got := logtest.ReadAll(t, l, logtest.Stream(t, name))
				lost += len(lacking(want, got))
				for _, ev := range got {
					if ev.Damaged {
						damaged++
					}
				}
			}
			if test.lost >= 0 && lost != test.lost || test.lost == some && lost == 0 {
				t.Errorf("%d events are lost, want %d; repair did %q", lost, test.lost, r.Done)
			}
			if lost > 0 && (damaged == 0 || len(r.Lost) == 0) {
				t.Errorf("%d events are lost, %d places marked, told %q; silence is not wanted", lost, damaged, r.Lost)
			}
			// It goes on, with versions and positions that nobody has had.
			id := logtest.Stream(t, "new")
			act := logtest.Activate(t, l, id)
			receipt := logtest.MustAppend(t, act, 0, logtest.Event(1))
			act.Release()
			for _, evs := range all {
				for _, ev := range evs {
					if ev.Position >= receipt.Position {
						t.Errorf("a new event has position %d, and an old one %d", receipt.Position, ev.Position)
					}
				}
			}
			mustClose(t, l)
			wantClean(t, dir)
		})
	}
}

func TestRepairOfACleanDirectoryDoesNothing(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	before := snapshotOf(t, dir)
	if r := mustRepair(t, dir); len(r.Found)+len(r.Done)+len(r.Lost) > 0 || r.Kept != "" {
		t.Errorf("got %+v, want nothing done", r)
	}
	delete(before, filepath.Join(dir, lockName))
	after := snapshotOf(t, dir)
	delete(after, filepath.Join(dir, lockName))
	if diff := diffFiles(before, after); diff != "" {
		t.Errorf("%s was changed", diff)
	}
}

func TestRepairIsRefusedWhileALogIsOpen(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	if _, err := Repair(t.Context(), dir, CheckOptions{}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	mustClose(t, l)
}

// What Open says of a damaged journal is true: repair makes the log open again, with all that is sound.
func TestRepairOpensAJournalDamagedInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	all := abandoned(t, dir)
	// The carts' files have nothing of it yet, as when the power fails.
	if err := os.RemoveAll(filepath.Join(dir, "carts")); err != nil {
		t.Fatal(err)
	}
	seg := segments(t, dir)[0]
	edit(t, dir, seg, func(b []byte) []byte { b[5000] ^= 1; return b })
	if _, err := Open(dir, Options{}); !errors.Is(err, eventlog.ErrCorrupt) || !strings.Contains(err.Error(), "cartd repair "+dir+" --yes") {
		t.Fatalf("open: got %v, want ErrCorrupt with what helps", err)
	}
	r := mustRepair(t, dir)
	wantClean(t, dir)
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	lost := 0
	for name, want := range all {
		lost += len(lacking(want, logtest.ReadAll(t, l, logtest.Stream(t, name))))
	}
	if lost != 2 || !slices.ContainsFunc(r.Lost, func(s string) bool { return strings.HasPrefix(s, "2 events among positions") }) {
		t.Errorf("%d events are lost, told %q; want the 2 of the damaged frame", lost, r.Lost)
	}
}

func TestRepairAfterAnyDamageOpensAndIsClean(t *testing.T) {
	repairAnyDamage(t, abandoned)
}

func TestRepairAfterAnyDamageToSealedPartsAndSnapshotsOpensAndIsClean(t *testing.T) {
	repairAnyDamage(t, sealedCart)
}

func repairAnyDamage(t *testing.T, write func(testing.TB, string) map[string][]eventlog.Event) {
	origin := t.TempDir()
	all := write(t, origin)
	files := snapshotOf(t, origin)
	var names []string
	for name := range files {
		if !strings.HasSuffix(name, lockName) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	journalled := len(recordsIn(t, origin)) > 2 // all that the carts have
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 20 && !t.Failed() {
			return // each syncs some fifty times
		}
		dir, err := os.MkdirTemp(origin+"/..", "damaged")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
			rt.Fatal(err)
		}
		hit := make(map[string]bool)
		for range rapid.IntRange(1, 4).Draw(rt, "damages") {
			name := rapid.SampledFrom(names).Draw(rt, "file")
			rel, _ := filepath.Rel(origin, name)
			b := mustRead(t, filepath.Join(dir, rel))
			if len(b) == 0 {
				continue
			}
			at := rapid.IntRange(0, min(len(b), 20_000)-1).Draw(rt, "at")
			switch rapid.IntRange(0, 3).Draw(rt, "how") {
			case 0:
				b[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
			case 1:
				b = b[:at]
			case 2:
				b = slices.Delete(b, at, min(len(b), at+rapid.IntRange(1, 2000).Draw(rt, "bytes")))
			case 3:
				clear(b[at:min(len(b), at+rapid.IntRange(1, 2000).Draw(rt, "zeros"))])
			}
			if err := os.WriteFile(filepath.Join(dir, rel), b, 0o640); err != nil {
				rt.Fatal(err)
			}
			hit[strings.Split(rel, "/")[0]] = true
		}
		if r, err := Repair(t.Context(), dir, CheckOptions{State: tallies}); err != nil {
			rt.Fatalf("repair: %v, found %+v, did %q", err, r.Found, r.Done)
		}
		if r, err := Verify(t.Context(), dir, CheckOptions{State: tallies}); err != nil || len(r.Faults) > 0 {
			rt.Fatalf("verify: %+v, %v", r, err)
		}
		l, err := Open(dir, Options{Durability: SyncNever, SegmentBytes: 8 << 10})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		for name, want := range all { // nothing is there that nobody has written
			for _, ev := range logtest.ReadAll(t, l, logtest.Stream(t, name)) {
				if !ev.Damaged && len(lacking([]eventlog.Event{ev}, want)) > 0 {
					rt.Fatalf("%s: got %+v, which nobody has written", name, ev)
				}
			}
		}
		if hit["carts"] && (hit[journalDir] || !journalled) {
			return // both copies of a line may be gone
		}
		for name, want := range all {
			if missing := lacking(want, logtest.ReadAll(t, l, logtest.Stream(t, name))); len(missing) > 0 {
				rt.Fatalf("%s: lost %+v", name, missing)
			}
		}
	})
}

// recordsIn are the lines that the journal of a directory has, by cart.
func recordsIn(t testing.TB, dir string) map[string][]record {
	t.Helper()
	c := newChecker(mustTree(t, dir), CheckOptions{})
	if err := c.readJournal(); err != nil {
		t.Fatal(err)
	}
	return c.records
}
