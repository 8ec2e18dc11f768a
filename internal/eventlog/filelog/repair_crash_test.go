package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs/crashfs"
	"cartd/internal/eventlog/logtest"
)

// checked is a crashfs as checks see it. Nobody else has its lock.
type checked struct{ *crashfs.FS }

func (c checked) Mode(name string) (fs.FileMode, error) {
	if _, err := c.ReadDir(name); err == nil {
		return fs.ModeDir, nil
	}
	_, err := c.Open(name)
	return 0, err
}

func (c checked) Held(string) (bool, error) { return false, nil }

// load copies a directory into a tree, onto stable storage.
func load(t testing.TB, dir string, to *crashfs.FS) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			return errors.Join(to.Mkdir(name), to.SyncDir(parentDir(name)))
		}
		f, err := to.Create(name)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(mustRead(t, path), 0)
		return errors.Join(err, f.Sync(), to.SyncDir(parentDir(name)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// content returns what is in a file, nil if it is missing.
func content(tree *crashfs.FS, name string) []byte {
	f, size, err := openLog(tree, name)
	if f == nil || err != nil {
		return nil
	}
	b := make([]byte, size)
	if n, _ := f.ReadAt(b, 0); n < len(b) {
		return nil
	}
	return b
}

// eventsOf returns the sound events of all carts of a tree, and how many places are damaged.
func eventsOf(t testing.TB, tree *crashfs.FS, names map[string][]eventlog.Event) (all map[string][]eventlog.Event, damaged int) {
	t.Helper()
	l, err := Open("data", Options{FS: tree, SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	all = make(map[string][]eventlog.Event)
	for name := range names {
		for _, ev := range logtest.ReadAll(t, l, logtest.Stream(t, name)) {
			if ev.Damaged {
				damaged++
				continue
			}
			all[name] = append(all[name], ev)
		}
	}
	return all, damaged
}

// A crash at any call of repair leaves a directory that opens, shows no event twice and none that was not there, and
// can be repaired again: nothing more is lost by it.
//
// Of the three images at each call it looks at every fourth, so at one of each kind within four calls; at all of them if
// CARTD_TEST_LONG is set.
func TestCrashAtAnyCallOfRepairLeavesWhatCanBeRepaired(t *testing.T) {
	stride := 4
	if os.Getenv("CARTD_TEST_LONG") != "" {
		stride = 1
	}
	for _, test := range faults {
		if !slices.Contains([]string{
			"sealed part's label with a flipped bit",
			"sealed part that is cut",
			"sealed part that is missing",
			"sealed part that has fewer lines than its label says",
			"sealed parts without a file behind them",
			"line in a file behind sealed parts that does not check out",
			"sealed lines that the journal has",
			"former lines in a sealed part that is cut",
			"snapshot with another state",
		}, test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			all := test.write(t, dir)
			test.plant(t, dir)
			tree := crashfs.New(nil)
			load(t, dir, tree)

			undisturbed := tree.Keep(nil)
			r, err := repairTree(t.Context(), checked{undisturbed}, "data", CheckOptions{State: tallies})
			if err != nil {
				t.Fatal(err)
			}
			want, marks := eventsOf(t, undisturbed, all)

			c := &crasher{rnd: rand.New(rand.NewPCG(5, 6))}
			c.fs = tree.Keep(c.hook)
			if _, err := repairTree(t.Context(), checked{c.fs}, "data", CheckOptions{State: tallies}); err != nil {
				t.Fatal(err)
			}
			c.quiet = true
			if len(c.images) < 30 && len(r.Done) > 1 {
				t.Errorf("got %d images of crashes, want more", len(c.images))
			}
			log := cartFile(t, "s1")
			for n, image := range c.images {
				if n%stride > 0 || stride > 1 && strings.HasPrefix(test.name, "former") && n%5 > 0 { // those are many bytes
					continue
				}
				if !bytes.Equal(content(image.fs, log), content(tree, log)) && content(image.fs, snapshotPath(log)) != nil {
					t.Fatalf("%s: the file is a new one, and a snapshot is of the old one", image.how)
				}
				opened := image.fs.Keep(nil)
				got, _ := eventsOf(t, opened, all) // a server starts in between
				for name, evs := range got {
					seen := make(map[string]bool)
					for i, ev := range evs {
						key := fmt.Sprint(ev.Version, ev.Branch, ev.Position)
						if seen[key] || i > 0 && ev.Position > 0 && ev.Position <= evs[i-1].Position || len(lacking([]eventlog.Event{ev}, all[name])) > 0 {
							t.Fatalf("%s: %s shows %+v again, or out of order, or as nobody wrote it", image.how, name, ev)
						}
						seen[key] = true
					}
				}
				trees := map[string]*crashfs.FS{"repaired again": image.fs}
				if test.lost != 0 || !strings.Contains(test.name, "journal") { // which a start does not keep
					trees["opened, and repaired again"] = opened
				}
				for what, again := range trees {
					if r, err := repairTree(t.Context(), checked{again}, "data", CheckOptions{State: tallies}); err != nil || len(r.After.Faults) > 0 {
						t.Fatalf("%s, %s: %v, %+v", image.how, what, err, r)
					}
					got, damaged := eventsOf(t, again, all)
					for name := range want {
						if missing := lacking(want[name], got[name]); len(missing) > 0 || len(got[name]) != len(want[name]) {
							t.Fatalf("%s, %s: %s has %d events, want %d; lacking %+v", image.how, what, name, len(got[name]), len(want[name]), missing)
						}
					}
					if damaged < marks {
						t.Fatalf("%s, %s: %d places are marked, want %d and more", image.how, what, damaged, marks)
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// formerParts is a directory with a cart f1 whose first lines are of the service before cartd, which know no checksum and
// no position, all in its sealed part. They are so many that some are left when the part is cut.
func formerParts(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	id := logtest.Stream(t, "f1")
	var former strings.Builder
	rnd := rand.NewChaCha8([32]byte{1})
	name := make([]byte, 2<<10)
	for n := range 36 {
		rnd.Read(name)
		fmt.Fprintf(&former, `{"ts":17000000%02d,"type":"AddItem","payload":{"sku":"sku-%d","quantity":%d,"name":"%x"}}`+"\n", n, n, n+1, name)
	}
	plant(t, dir, id, []byte(former.String()))
	all := make(map[string][]eventlog.Event)
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 36, logtest.Events(3)...)
	act.Release()
	all["f1"] = logtest.ReadAll(t, l, id)
	mustClose(t, l)
	mustClose(t, mustOpen(t, dir, Options{Durability: SyncNever})) // the journal forgets it
	content := mustRead(t, logPath(dir, id))
	ls := lines(content)
	sealBy(t, dir, "f1", len(content)-len(ls[len(ls)-2])-len(ls[len(ls)-1]))
	return all
}

// Former lines know no checksum of their own: when that of all is wrong, any of them may be another one.
func TestRepairMarksALogWhoseFormerLinesMayBeOthers(t *testing.T) {
	dir := t.TempDir()
	formerParts(t, dir)
	edit(t, dir, sealedPath(cartFile(t, "f1"), 1), func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	r := mustRepair(t, dir)
	wantClean(t, dir)
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	evs := logtest.ReadAll(t, l, logtest.Stream(t, "f1"))
	if len(r.Lost) != 1 || len(evs) != 40 || !evs[37].Damaged {
		t.Errorf("repair told %q; got %d events, want all 39 and a mark behind the sealed ones", r.Lost, len(evs))
	}
}

// A part whose label cannot be read does not say which line follows it. Repair that ended before it could set the part
// aside is run again: what is in the file already must not be taken from the part a second time.
func TestRepairThatEndedBeforeAPartWithoutALabelWasSetAsideDoublesNothing(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	mustCompact(t, dir, 0)
	part := partsOf(t, dir, "c1")[0]
	edit(t, dir, part, func(b []byte) []byte { b[20] ^= 4; return b })
	spoiled := mustRead(t, filepath.Join(dir, part))
	if r := mustRepair(t, dir); len(r.Lost) > 0 {
		t.Fatalf("repair lost %q, want nothing", r.Lost)
	}
	write(t, filepath.Join(dir, part), spoiled)
	if r := mustRepair(t, dir); len(r.Lost) > 0 {
		t.Errorf("repair lost %q the second time, want nothing", r.Lost)
	}
	wantExported(t, all, exportAll(t, dir))
}
