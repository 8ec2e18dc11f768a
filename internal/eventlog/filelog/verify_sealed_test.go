package filelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"

	"github.com/google/uuid"
)

// tally is the state of these tests: how many events there are, and the last one.
type tally struct {
	events int
	last   uuid.UUID
}

func tallies(eventlog.StreamID) Replayer { return &tally{} }

func (s *tally) Apply(ev eventlog.Event) { s.events, s.last = s.events+1, ev.ID }

func (s *tally) data() []byte { return fmt.Appendf(nil, "%d %s", s.events, s.last) }

func (s *tally) Compare(data []byte) (string, error) {
	switch {
	case bytes.HasPrefix(data, []byte("new")):
		return "", errors.New("of another program")
	case !bytes.Equal(data, s.data()):
		return fmt.Sprintf("it says %s, a replay %s", data, s.data()), nil
	}
	return "", nil
}

// growTally appends commits of two events to a stream, with a snapshot behind every third.
func growTally(t testing.TB, l *Log, id eventlog.StreamID, commits int) {
	t.Helper()
	act, err := l.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	s := &tally{}
	for ev, err := range act.Replay(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(ev)
	}
	for n := range commits {
		evs := logtest.Events(2)
		logtest.MustAppend(t, act, uint64(s.events), evs...)
		for _, ev := range evs {
			s.Apply(ev)
		}
		if n%3 == 2 {
			act.Snapshot(uint64(s.events), s.data())
		}
	}
}

// sealedCart is a data directory as oldCart leaves it, with a cart s1 that has sealed parts and two snapshots.
func sealedCart(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	all := written(t, dir)
	id := logtest.Stream(t, "s1")
	for range 5 { // what was written before a start is checkpointed, and may be sealed
		l := mustOpen(t, dir, Options{Durability: SyncNever, SealBytes: 2 << 10})
		growTally(t, l, id, 10)
		all["s1"] = logtest.ReadAll(t, l, id)
		mustClose(t, l)
	}
	l := mustOpen(t, dir, Options{Durability: SyncNever}) // the journal forgets it
	growTally(t, l, logtest.Stream(t, "s2"), 2)
	all["s2"] = logtest.ReadAll(t, l, logtest.Stream(t, "s2"))
	mustClose(t, l)
	if n := len(partsOf(t, dir, "s1")); n < 2 {
		t.Fatalf("%d sealed parts, want 2 and more", n)
	}
	return all
}

// partsOf returns the paths of a cart's sealed parts, relative to dir.
func partsOf(t testing.TB, dir, cart string) (parts []string) {
	t.Helper()
	for n := 1; ; n++ {
		path := sealedPath(cartFile(t, cart), n)
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			return parts
		}
		parts = append(parts, path)
	}
}

// logOf returns a cart's log, whatever it is made of.
func logOf(t testing.TB, dir, cart string) []byte {
	t.Helper()
	var all []byte
	for _, path := range partsOf(t, dir, cart) {
		_, content := unsealed(t, mustRead(t, filepath.Join(dir, path)))
		all = append(all, content...)
	}
	return append(all, mustRead(t, filepath.Join(dir, cartFile(t, cart)))...)
}

// unsealed returns what is in a sealed part.
func unsealed(t testing.TB, b []byte) (label, []byte) {
	t.Helper()
	l, r, err := openSealed(byteFile(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.dec.Close()
	content := make([]byte, l.Bytes)
	for n := 0; n < len(content); {
		got, err := r.Read(content[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += got
	}
	return l, content
}

// reseal returns a sealed part with another label and other lines.
func reseal(t testing.TB, b []byte, change func(l *label, content []byte) []byte) []byte {
	t.Helper()
	l, content := unsealed(t, b)
	content = change(&l, content)
	var out bytes.Buffer
	if err := writeSealed(&out, &l, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// relabel returns a sealed part with another label alone.
func relabel(t testing.TB, b []byte, change func(*label)) []byte {
	t.Helper()
	l, _ := unsealed(t, b)
	frame := b[8+binary.LittleEndian.Uint32(b[4:]):]
	change(&l)
	head, err := appendLabel(nil, &l)
	if err != nil {
		t.Fatal(err)
	}
	return append(head, frame...)
}

// sealed spoils the nth sealed part of s1 and names the fault.
func sealed(n int, kind Kind, spoil func(testing.TB, []byte) []byte) func(testing.TB, string) Finding {
	return func(t testing.TB, dir string) Finding {
		path := sealedPath(cartFile(t, "s1"), n)
		edit(t, dir, path, func(b []byte) []byte { return spoil(t, b) })
		return Finding{File: path, Kind: kind}
	}
}

var sealedFaults = []planted{
	{"sealed part's label with a flipped bit", sealedCart, sealed(1, BadSealed, func(_ testing.TB, b []byte) []byte { b[20] ^= 1; return b }), 0},
	{"sealed part without its beginning", sealedCart, sealed(2, BadSealed, func(_ testing.TB, b []byte) []byte { b[0] ^= 1; return b }), 0},
	{"sealed part whose content has a flipped bit", sealedCart, sealed(1, BadSealed, func(_ testing.TB, b []byte) []byte { b[len(b)/2] ^= 1; return b }), some},
	{"sealed part whose content's checksum is wrong", sealedCart, sealed(1, BadSealed, func(_ testing.TB, b []byte) []byte { b[len(b)-1] ^= 1; return b }), 0},
	{"sealed part that is cut", sealedCart, sealed(2, BadSealed, func(_ testing.TB, b []byte) []byte { return b[:len(b)/2] }), some},
	{"sealed part that is empty", sealedCart, sealed(1, BadSealed, func(testing.TB, []byte) []byte { return nil }), some},
	{"sealed part that has more than its label says", sealedCart, sealed(1, BadSealed, func(t testing.TB, b []byte) []byte {
		_, content := unsealed(t, b)
		return relabel(t, b, func(l *label) {
			l.Bytes -= int64(len(content) - bytes.LastIndexByte(content[:len(content)-1], '\n') - 1)
			l.Lines--
		})
	}), 0},
	{"sealed part that has something behind it", sealedCart, sealed(1, BadSealed, func(_ testing.TB, b []byte) []byte { return append(b, "more"...) }), 0},
	{"sealed part that has fewer lines than its label says", sealedCart, sealed(1, BadSealed, func(t testing.TB, b []byte) []byte {
		return reseal(t, b, func(l *label, content []byte) []byte {
			cut := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
			l.Bytes = int64(cut)
			return content[:cut]
		})
	}), 1},
	{"label that tells of another last line", sealedCart, sealed(1, BadSealed, func(t testing.TB, b []byte) []byte {
		return relabel(t, b, func(l *label) { l.Last.CRC++ })
	}), 0},
	{"label that tells of another place", sealedCart, sealed(2, BadSealed, func(t testing.TB, b []byte) []byte {
		return relabel(t, b, func(l *label) { l.Offset++ })
	}), 0},
	{"label that tells of another line behind", sealedCart, sealed(1, BadSealed, func(t testing.TB, b []byte) []byte {
		return relabel(t, b, func(l *label) { l.Next-- })
	}), 0},
	{"sealed part that is missing", sealedCart, func(t testing.TB, dir string) Finding {
		path := sealedPath(cartFile(t, "s1"), 1)
		remove(t, filepath.Join(dir, path))
		return Finding{File: path, Kind: SealedMissing}
	}, some},
	{"sealed parts without a file behind them", sealedCart, func(t testing.TB, dir string) Finding {
		remove(t, filepath.Join(dir, cartFile(t, "s1")))
		return Finding{File: cartFile(t, "s1"), Kind: SealedAlone}
	}, some},
	{"line in a sealed part that does not check out", sealedCart, func(t testing.TB, dir string) Finding {
		f := sealed(2, BadChecksum, func(t testing.TB, b []byte) []byte {
			return reseal(t, b, func(_ *label, content []byte) []byte {
				content[len(lines(content)[0])+70] ^= 4
				return content
			})
		})(t, dir)
		_, content := unsealed(t, mustRead(t, filepath.Join(dir, f.File)))
		f.Offset, f.Line = int64(len(lines(content)[0])), 2
		return f
	}, 1},
	{"line in a file behind sealed parts that does not check out", sealedCart, func(t testing.TB, dir string) Finding {
		at := offsetOf(t, dir, "s1", 2)
		edit(t, dir, cartFile(t, "s1"), func(b []byte) []byte { b[at+70] ^= 4; return b })
		return Finding{File: cartFile(t, "s1"), Offset: at, Line: 2, Kind: BadChecksum}
	}, 1},
	{"line that is missing behind a sealed part", sealedCart, func(t testing.TB, dir string) Finding {
		editLines(t, dir, "s1", func(ls [][]byte) [][]byte { return ls[1:] })
		return Finding{File: cartFile(t, "s1"), Line: 1, Kind: VersionGap}
	}, 1},
	{"sealed part in a wrong directory", sealedCart, func(t testing.TB, dir string) Finding {
		parts := partsOf(t, dir, "s1")
		return Finding{File: misplace(t, dir, parts[len(parts)-1]), Kind: WrongPlace}
	}, -1},
	{"sealed part that is no file", sealedCart, func(t testing.TB, dir string) Finding {
		path := sealedPath(cartFile(t, "s1"), len(partsOf(t, dir, "s1"))+1)
		if err := os.Mkdir(filepath.Join(dir, path), 0o750); err != nil {
			t.Fatal(err)
		}
		return Finding{File: path, Kind: NoFile}
	}, 0},
	{"sealed part of what is no cart", sealedCart, func(t testing.TB, dir string) Finding {
		path := "carts/00/-x.events.000001.log.zst"
		if err := os.MkdirAll(filepath.Join(dir, "carts/00"), 0o750); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, path), nil)
		return Finding{File: path, Kind: BadName}
	}, 0},
	{"former lines in a sealed part that is cut", formerParts, func(t testing.TB, dir string) Finding {
		path := sealedPath(cartFile(t, "f1"), 1)
		edit(t, dir, path, func(b []byte) []byte { return b[:len(b)-60] })
		return Finding{File: path, Kind: BadSealed}
	}, some},
	{"sealed lines that the journal has", journalledParts, func(t testing.TB, dir string) Finding {
		path := sealedPath(cartFile(t, "c1"), 2)
		edit(t, dir, path, func(b []byte) []byte { return b[:len(b)/2] })
		return Finding{File: path, Kind: BadSealed}
	}, 0},
}

// misplace moves a file to another directory, and returns its path there.
func misplace(t testing.TB, dir, path string) string {
	t.Helper()
	wrong := "carts/" + map[bool]string{true: "01", false: "00"}[strings.HasPrefix(path, "carts/00/")] + "/" + filepath.Base(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, wrong)), 0o750),
		os.Rename(filepath.Join(dir, path), filepath.Join(dir, wrong))); err != nil {
		t.Fatal(err)
	}
	return wrong
}

// journalledParts is a directory as written leaves it, where the lines of c1 that the journal has are a sealed part, all
// but the last of them, and those before them another.
func journalledParts(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	all := written(t, dir)
	records := recordsIn(t, dir)[cartFile(t, "c1")]
	content := mustRead(t, filepath.Join(dir, cartFile(t, "c1")))
	at := bytes.Index(content, records[0].line)
	if len(records) < 3 || at < 1 {
		t.Fatalf("%d lines of c1 are in the journal, from byte %d on; want 3 and more behind others", len(records), at)
	}
	next := bytes.Index(content, records[len(records)-1].line)
	sealBy(t, dir, "c1", at, next)
	return all
}

// sealBy makes sealed parts of a cart's file, which end at the offsets.
func sealBy(t testing.TB, dir, cart string, ends ...int) {
	t.Helper()
	content := mustRead(t, filepath.Join(dir, cartFile(t, cart)))
	from := 0
	for i, end := range ends {
		part := content[from:end]
		ls := lines(part)
		l := label{Version: sealedVersion, Offset: int64(from), Bytes: int64(len(part)), Lines: uint64(len(ls)),
			Last: line32Of(bytes.TrimSuffix(ls[len(ls)-1], []byte("\n"))), Next: positionOf(t, lines(content[end:])[0])}
		var b bytes.Buffer
		if err := writeSealed(&b, &l, bytes.NewReader(part)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, sealedPath(cartFile(t, cart), i+1)), b.Bytes())
		from = end
	}
	write(t, filepath.Join(dir, cartFile(t, cart)), content[from:])
}

func positionOf(t testing.TB, line []byte) uint64 {
	t.Helper()
	var (
		dec decoder
		ev  eventlog.Event
	)
	if err := dec.decode(bytes.TrimSuffix(line, []byte("\n")), &ev); err != nil {
		t.Fatal(err)
	}
	return ev.Position
}

// snapshot spoils a snapshot of s1, the older one if old is set, and names the fault.
func spoilSnapshot(old bool, kind Kind, spoil func(testing.TB, *snapshotFile)) func(testing.TB, string) Finding {
	return func(t testing.TB, dir string) Finding {
		path := snapshotPath(cartFile(t, "s1"))
		if old {
			path += ".old"
		}
		edit(t, dir, path, func(b []byte) []byte {
			s, err := decodeSnapshot(b)
			if err != nil {
				t.Fatal(err)
			}
			s.ids = slices.Clone(s.ids)
			spoil(t, s)
			if b, err = s.encode(); err != nil {
				t.Fatal(err)
			}
			return b
		})
		return Finding{File: path, Kind: kind}
	}
}

var snapshotFaults = []planted{
	{"snapshot with a flipped bit", sealedCart, func(t testing.TB, dir string) Finding {
		path := snapshotPath(cartFile(t, "s1"))
		edit(t, dir, path, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		return Finding{File: path, Kind: BadSnapshot}
	}, 0},
	{"older snapshot that is cut", sealedCart, func(t testing.TB, dir string) Finding {
		path := oldSnapshotPath(cartFile(t, "s1"))
		edit(t, dir, path, func(b []byte) []byte { return b[:len(b)/2] })
		return Finding{File: path, Kind: BadSnapshot}
	}, 0},
	{"snapshot of another cart", sealedCart, spoilSnapshot(false, BadSnapshot, func(_ testing.TB, s *snapshotFile) { s.Stream = "cart/s2" }), 0},
	{"snapshot of more than the log has", sealedCart, spoilSnapshot(false, SnapshotLog, func(_ testing.TB, s *snapshotFile) { s.Offset += 1 << 20 }), 0},
	{"snapshot of a log that was another one", sealedCart, spoilSnapshot(true, SnapshotLog, func(_ testing.TB, s *snapshotFile) { s.Last.CRC++ }), 0},
	{"snapshot whose last line is longer than the log", sealedCart, spoilSnapshot(false, SnapshotLog, func(_ testing.TB, s *snapshotFile) { s.Last.Bytes = 1 << 60 }), 0},
	{"snapshot with another number of lines", sealedCart, spoilSnapshot(false, SnapshotDiffer, func(_ testing.TB, s *snapshotFile) { s.Lines++ }), 0},
	{"snapshot with another version", sealedCart, spoilSnapshot(true, SnapshotDiffer, func(_ testing.TB, s *snapshotFile) { s.Main-- }), 0},
	{"snapshot with a branch that there is not", sealedCart, spoilSnapshot(false, SnapshotDiffer, func(_ testing.TB, s *snapshotFile) { s.Branches = map[string]uint64{"gift": 1} }), 0},
	{"snapshot with another id", sealedCart, spoilSnapshot(false, SnapshotDiffer, func(_ testing.TB, s *snapshotFile) { s.ids[3] ^= 1 }), 0},
	{"snapshot that lacks an id", sealedCart, spoilSnapshot(false, SnapshotDiffer, func(_ testing.TB, s *snapshotFile) { s.ids = s.ids[40:] }), 0},
	{"snapshot with another state", sealedCart, spoilSnapshot(false, SnapshotDiffer, func(_ testing.TB, s *snapshotFile) { s.data = []byte("1 and so on") }), 0},
	{"snapshot of a cart whose log is gone", sealedCart, func(t testing.TB, dir string) Finding {
		path := snapshotPath(cartFile(t, "s3"))
		spoilSnapshot(false, "", func(_ testing.TB, s *snapshotFile) { s.Stream = "cart/s3" })(t, dir)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o750),
			os.Rename(filepath.Join(dir, snapshotPath(cartFile(t, "s1"))), filepath.Join(dir, path))); err != nil {
			t.Fatal(err)
		}
		return Finding{File: path, Kind: SnapshotLog}
	}, 0},
	{"snapshot in a wrong directory", sealedCart, func(t testing.TB, dir string) Finding {
		return Finding{File: misplace(t, dir, snapshotPath(cartFile(t, "s1"))), Kind: WrongPlace}
	}, 0},
	{"snapshot that is no file", sealedCart, func(t testing.TB, dir string) Finding {
		path := snapshotPath(cartFile(t, "c1"))
		if err := os.Mkdir(filepath.Join(dir, path), 0o750); err != nil {
			t.Fatal(err)
		}
		return Finding{File: path, Kind: NoFile}
	}, 0},
}

// The end of a log that is not there can be told by a snapshot alone.
func TestRepairTellsOfALogThatLostItsEnd(t *testing.T) {
	dir := t.TempDir()
	sealedCart(t, dir)
	editLines(t, dir, "s1", func(ls [][]byte) [][]byte { return ls[:len(ls)-4] })
	if r := mustVerify(t, dir); len(r.Faults) == 0 || r.Faults[0].Kind != SnapshotLog {
		t.Errorf("got faults %+v, want snapshots of more than the log has", r.Faults)
	}
	r := mustRepair(t, dir)
	if len(r.Lost) == 0 || !strings.HasPrefix(r.Lost[0], cartFile(t, "s1")) {
		t.Errorf("repair told %q, want that the end of the log is lost", r.Lost)
	}
	wantClean(t, dir)
}

func TestVerifyOfCleanSealedPartsAndSnapshotsNotesNothing(t *testing.T) {
	dir := t.TempDir()
	sealedCart(t, dir)
	r := wantClean(t, dir)
	if len(r.Notes) > 0 || r.Sealed != len(partsOf(t, dir, "s1")) || r.Snapshots != 2 {
		t.Errorf("got notes %+v, %d sealed parts, %d snapshots; want none, %d and 2", r.Notes, r.Sealed, r.Snapshots, len(partsOf(t, dir, "s1")))
	}
	before := snapshotOf(t, dir)
	if done := mustRepair(t, dir); len(done.Found)+len(done.Done) > 0 {
		t.Errorf("repair did %+v, want nothing", done)
	}
	after := snapshotOf(t, dir)
	delete(before, filepath.Join(dir, lockName))
	delete(after, filepath.Join(dir, lockName))
	if diff := diffFiles(before, after); diff != "" {
		t.Errorf("repair changed %s", diff)
	}
}

func TestVerifyNotesWhatACrashOrAnotherProgramLeaves(t *testing.T) {
	for _, test := range []struct {
		name  string
		plant func(dir string) Finding
	}{
		{"part whose lines are in the file", func(dir string) Finding {
			log := logOf(t, dir, "s1")
			parts := partsOf(t, dir, "s1")
			for _, path := range parts[1:] {
				remove(t, filepath.Join(dir, path))
			}
			write(t, filepath.Join(dir, cartFile(t, "s1")), log)
			return Finding{File: parts[0], Kind: Unforced}
		}},
		{"snapshot on its way", func(dir string) Finding {
			path := snapshotPath(cartFile(t, "s1")) + ".tmp"
			write(t, filepath.Join(dir, path), []byte("half"))
			return Finding{File: path, Kind: Leftover}
		}},
		{"sealed part on its way", func(dir string) Finding {
			path := sealedPath(cartFile(t, "c1"), 1) + ".tmp"
			write(t, filepath.Join(dir, path), []byte("half"))
			return Finding{File: path, Kind: Leftover}
		}},
		{"file on its way", func(dir string) Finding {
			path := cartFile(t, "s1") + ".tmp"
			write(t, filepath.Join(dir, path), []byte("half"))
			return Finding{File: path, Kind: Leftover}
		}},
		{"something else", func(dir string) Finding {
			path := cartFile(t, "s1") + ".bak"
			write(t, filepath.Join(dir, path), nil)
			return Finding{File: path, Kind: Unexpected}
		}},
		{"sealed part with a number of no part", func(dir string) Finding {
			path := strings.Replace(sealedPath(cartFile(t, "s1"), 1), "000001", "1", 1)
			write(t, filepath.Join(dir, path), nil)
			return Finding{File: path, Kind: Unexpected}
		}},
		{"snapshot of another program", func(dir string) Finding {
			return spoilSnapshot(false, OtherSnapshot, func(_ testing.TB, s *snapshotFile) { s.data = []byte("new state") })(t, dir)
		}},
		{"snapshot of a newer format", func(dir string) Finding {
			path := snapshotPath(cartFile(t, "s1"))
			edit(t, dir, path, func(b []byte) []byte {
				b = bytes.Replace(b, []byte(`{"v":1`), []byte(`{"v":2`), 1)
				fixSum(b)
				return b
			})
			return Finding{File: path, Kind: OtherSnapshot}
		}},
	} {
		dir := t.TempDir()
		all := sealedCart(t, dir)
		want := test.plant(dir)
		r := wantClean(t, dir)
		if len(r.Notes) != 1 || r.Notes[0].File != want.File || r.Notes[0].Kind != want.Kind {
			t.Errorf("%s: got notes %+v, want %+v", test.name, r.Notes, want)
		}
		wantExported(t, all, exportAll(t, dir))
	}
}

func TestVerifyRefusesASealedPartOfANewerFormat(t *testing.T) {
	dir := t.TempDir()
	sealedCart(t, dir)
	path := sealedPath(cartFile(t, "s1"), 1)
	edit(t, dir, path, func(b []byte) []byte { return relabel(t, b, func(l *label) { l.Version = 2 }) })
	if r := mustVerify(t, dir); len(r.Faults) != 1 || r.Faults[0].Kind != NewerLine {
		t.Errorf("got faults %+v, want one of a newer format", r.Faults)
	}
	before := mustRead(t, filepath.Join(dir, path))
	if _, err := Repair(t.Context(), dir, CheckOptions{}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("repair: got %v, want ErrNewerFormat", err)
	}
	if !bytes.Equal(before, mustRead(t, filepath.Join(dir, path))) {
		t.Error("repair touched it")
	}
}

func TestExportGivesWhatIsSealed(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	wantExported(t, all, exportAll(t, dir))
}

func TestVerifyWhileManySealFindsNothing(t *testing.T) {
	dir := t.TempDir()
	m := newMetrics()
	l := mustOpen(t, dir, Options{Durability: SyncNever, SegmentBytes: 4 << 10, SealBytes: 1 << 10, Metrics: m})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil && n < 500; n += 25 {
				growTally(t, l, logtest.Stream(t, fmt.Sprintf("w%d", w)), 25)
			}
		})
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		wg.Wait()
	}()
	for looks, more := 0, true; more && (looks < 10 || value(t, m.Seals) < 8); looks++ {
		r, err := Verify(t.Context(), dir, CheckOptions{State: tallies})
		if err != nil || len(r.Faults)+len(r.Notes) > 0 {
			t.Errorf("got %+v, %v; want no faults and no notes", r, err)
			break
		}
		select {
		case <-written:
			more = false
		default:
		}
	}
	stop()
	<-written
	mustClose(t, l)
	r := wantClean(t, dir)
	if len(r.Notes) > 0 || r.Sealed == 0 || r.Snapshots == 0 {
		t.Errorf("afterwards: got notes %+v, %d sealed parts, %d snapshots; want none, some and some", r.Notes, r.Sealed, r.Snapshots)
	}
}
