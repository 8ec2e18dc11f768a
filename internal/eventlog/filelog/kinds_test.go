package filelog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/logtest"

	"github.com/google/uuid"
)

// segmented is a directory as a power cut leaves it: a journal of several segments, no checkpoint, and no file of a cart.
func segmented(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	return writeJournal(t, dir, func(_ uint64, line []byte) []byte { return line })
}

// writeJournal is segmented with changed lines: change gets each with its position and its newline. It writes the same
// events every time.
func writeJournal(t testing.TB, dir string, change func(position uint64, line []byte) []byte) map[string][]eventlog.Event {
	t.Helper()
	tree := openDir(t, dir)
	defer tree.Close()
	if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, journalDir), 0o750), os.MkdirAll(filepath.Join(dir, "carts"), 0o750)); err != nil {
		t.Fatal(err)
	}
	state := journal.State{ID: journal.ID{0xca}, Run: 1}
	w, err := journal.Open(tree, journalDir, state, journal.Options{SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]eventlog.Event)
	var b journal.Builder
	for n := range uint64(60) {
		name := fmt.Sprintf("c%d", n%4)
		ev := logtest.Event(int(n))
		ev.ID = uuid.UUID{1, 15: byte(n)}
		ev.Stream, ev.Position, ev.Version, ev.Epoch = logtest.Stream(t, name), n+1, uint64(len(all[name])+1), 1
		all[name] = append(all[name], ev)
		b.Reset(1 << 20)
		b.Begin("cart", name)
		b.Buf = append(b.Buf, change(n+1, lineOf(nil, &ev))...)
		b.End(1)
		if _, err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(segments(t, dir)); n < 4 {
		t.Fatalf("%d segments, want several", n)
	}
	return all
}

// moreFaults are those of kinds that faults has not.
var moreFaults = []planted{
	{"segment that is missing in the middle", segmented, func(t testing.TB, dir string) Finding {
		segs := segments(t, dir)
		if err := os.Remove(filepath.Join(dir, segs[1])); err != nil {
			t.Fatal(err)
		}
		return Finding{File: segs[2], Kind: Kind(journal.MissingFrames)}
	}, -1},
	{"directory with the name of a cart's file", oldCart, func(t testing.TB, dir string) Finding {
		name := cartFile(t, "x9")
		if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
		return Finding{File: name, Kind: NoFile}
	}, 0},
	{"checkpoint that is gone", func(t testing.TB, dir string) map[string][]eventlog.Event {
		all := written(t, dir)
		crashed := t.TempDir() // a run behind the first: its frames do not begin with 1
		l := mustOpen(t, dir, Options{Durability: SyncNever})
		id := logtest.Stream(t, "other")
		act := logtest.Activate(t, l, id)
		logtest.MustAppend(t, act, 0, logtest.Events(3)...)
		act.Release()
		all["other"] = logtest.ReadAll(t, l, id)
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(crashed))); err != nil {
			t.Fatal(err)
		}
		return all
	}, func(t testing.TB, dir string) Finding {
		name := journalDir + "/checkpoint"
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return Finding{File: name, Kind: Kind(journal.BadCheckpoint)}
	}, 0},
	{"record of the journal that is no line", segmented, func(t testing.TB, dir string) Finding {
		writeJournal(t, dir, func(position uint64, line []byte) []byte {
			if position == 7 {
				return []byte("{\"what\":\"ever\"}\n")
			}
			return line
		})
		return Finding{File: journalDir, Offset: 7, Kind: JournalLine}
	}, 1},
}

// newerFaults are what a newer program has written: verify tells, repair leaves it alone.
var newerFaults = []planted{
	{"line of a newer format", oldCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "c1", 3)
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			ls[2] = resign(ls[2], newerVersion)
			return ls
		})
		return Finding{File: cartFile(t, "c1"), Offset: at, Line: 3, Kind: NewerLine}
	}, 0},
	{"line of a newer format at the end", oldCart, func(t testing.TB, dir string) Finding {
		var n int
		editLines(t, dir, "c1", func(ls [][]byte) [][]byte {
			n = len(ls)
			ls[n-1] = resign(ls[n-1], newerVersion)
			return ls
		})
		return Finding{File: cartFile(t, "c1"), Offset: offsetOf(t, dir, "c1", n), Line: n, Kind: NewerLine}
	}, 0},
	{"line of a newer format in the journal", segmented, func(t testing.TB, dir string) Finding {
		writeJournal(t, dir, func(position uint64, line []byte) []byte {
			if position == 7 {
				return resign(line, newerVersion)
			}
			return line
		})
		return Finding{File: journalDir, Offset: 7, Kind: NewerLine}
	}, 0},
}

func newerVersion(line string) string { return strings.Replace(line, `"v":1`, `"v":2`, 1) }

// TestEveryKindOfFaultIsPlanted reads the kinds in the source: a new one needs a fault that is planted.
func TestEveryKindOfFaultIsPlanted(t *testing.T) {
	notes := map[Kind]bool{KnownDamage: true, Unexpected: true, Holes: true, Leftover: true, Unforced: true, OtherSnapshot: true}
	have := make(map[Kind]bool)
	list := allFaults()
	for _, test := range list {
		dir := t.TempDir()
		test.write(t, dir)
		have[test.plant(t, dir).Kind] = true
	}
	declared := regexp.MustCompile(`(?m)^\s+(\w+)\s+(?:Fault)?Kind = "(\w+)"`)
	n := 0
	for _, file := range []string{"inspect.go", "journal/survey.go"} {
		for _, m := range declared.FindAllStringSubmatch(string(mustRead(t, file)), -1) {
			n++
			if kind := Kind(m[2]); !have[kind] && !notes[kind] {
				t.Errorf("no fault of kind %s is planted", m[1])
			}
		}
	}
	if n < 20 || len(list) < 12 {
		t.Errorf("found %d kinds and %d planted faults, want more", n, len(list))
	}
}

func allFaults() (all []planted) {
	return append(append(append(all, faults...), moreFaults...), newerFaults...)
}

// What a newer program has written is no damage: repair leaves all of it alone, and what else is wrong as well.
func TestRepairRefusesWhatANewerProgramHasWritten(t *testing.T) {
	more := append([]planted{
		{name: "journal's segment", write: abandoned, plant: func(t testing.TB, dir string) Finding {
			edit(t, dir, segments(t, dir)[0], func(b []byte) []byte { return newerHeader(b, 48) })
			return Finding{}
		}},
		{name: "checkpoint", write: abandoned, plant: func(t testing.TB, dir string) Finding {
			edit(t, dir, journalDir+"/checkpoint", func(b []byte) []byte { return newerHeader(b, 56) })
			return Finding{}
		}},
		{name: "checkpoint that is longer", write: abandoned, plant: func(t testing.TB, dir string) Finding {
			edit(t, dir, journalDir+"/checkpoint", func(b []byte) []byte { return append(newerHeader(b, 56), "more"...) })
			return Finding{}
		}},
	}, newerFaults...)
	for _, test := range more {
		dir := t.TempDir()
		test.write(t, dir)
		test.plant(t, dir)
		// Something is wrong as well that it would mend, in a file that comes before.
		if err := os.WriteFile(filepath.Join(dir, "carts", "-bad"+logSuffix), nil, 0o640); err != nil {
			t.Fatal(err)
		}
		before := snapshotOf(t, dir)
		_, err := Repair(t.Context(), dir, CheckOptions{})
		if !errors.Is(err, ErrNewerFormat) && !errors.Is(err, journal.ErrNewerFormat) {
			t.Errorf("%s: got %v, want ErrNewerFormat", test.name, err)
		}
		after := snapshotOf(t, dir)
		lock := filepath.Join(dir, lockName)
		delete(before, lock)
		delete(after, lock)
		if diff := diffFiles(before, after); diff != "" {
			t.Errorf("%s: repair changed %s", test.name, diff)
		}
	}
}

// Nor does Open touch it, nor send anybody to repair.
func TestOpenRefusesAJournalOfANewerProgram(t *testing.T) {
	for name, change := range map[string]func(t testing.TB, dir string){
		"segment": func(t testing.TB, dir string) {
			edit(t, dir, segments(t, dir)[0], func(b []byte) []byte { return newerHeader(b, 48) })
		},
		"checkpoint": func(t testing.TB, dir string) {
			edit(t, dir, journalDir+"/checkpoint", func(b []byte) []byte { return newerHeader(b, 56) })
		},
	} {
		dir := t.TempDir()
		abandoned(t, dir)
		change(t, dir)
		before := snapshotOf(t, dir)
		_, err := Open(dir, Options{})
		if !errors.Is(err, journal.ErrNewerFormat) || strings.Contains(err.Error(), "repair") {
			t.Errorf("%s: got %v, want ErrNewerFormat and no word of repair", name, err)
		}
		after := snapshotOf(t, dir)
		for file, content := range before {
			if strings.Contains(file, "/"+journalDir+"/") && !strings.HasSuffix(file, ".tmp") && after[file] != content {
				t.Errorf("%s: %s was changed", name, file)
			}
		}
	}
}

// TestSegmentThatIsMissingInTheMiddle: Open does not go on without what was in it; repair saves the rest and tells what
// is lost.
func TestSegmentThatIsMissingInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	all := segmented(t, dir)
	moreFaults[0].plant(t, dir)
	before := snapshotOf(t, dir)
	_, err := Open(dir, Options{})
	if !errors.Is(err, eventlog.ErrCorrupt) || !strings.Contains(err.Error(), "cartd repair "+dir+" --yes") {
		t.Fatalf("open: got %v, want ErrCorrupt with what helps", err)
	}
	for file, content := range before {
		if after := string(mustRead(t, file)); after != content && !strings.HasSuffix(file, lockName) {
			t.Errorf("open changed %s", file)
		}
	}
	r := mustRepair(t, dir)
	l := mustOpen(t, dir, Options{})
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
	told := fmt.Sprintf("%d events among positions", lost)
	if lost == 0 || damaged == 0 || !strings.Contains(strings.Join(r.Lost, "\n"), told) {
		t.Errorf("%d events are lost, %d places marked, told %q; want the events of one segment, marked and told", lost, damaged, r.Lost)
	}
}
