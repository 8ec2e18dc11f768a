package filelog

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// diffEvents is "" when there is no difference.
func diffEvents(want, got []eventlog.Event) string {
	if slices.EqualFunc(want, got, func(a, b eventlog.Event) bool { return reflect.DeepEqual(a, b) }) {
		return "" // a thousand times faster than cmp.Diff
	}
	return cmp.Diff(want, got, cmp.AllowUnexported(eventlog.StreamID{}), cmpopts.EquateEmpty())
}

// commitsBefore returns the events of the commits whose lines are wholly within the first n bytes, and where they
// end.
func commitsBefore(content []byte, evs []eventlog.Event, n int) (whole []eventlog.Event, end int) {
	at, lines := 0, 0
	for line := range bytes.Lines(content) {
		if at += len(line); at > n {
			break
		}
		lines++
		if !evs[lines-1].More {
			whole, end = evs[:lines], at
		}
	}
	return whole, end
}

func TestLogCutAtAnyByteHasTheWholeCommitsBeforeIt(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, evs := sample(t, id)
	for n := range len(content) + 1 {
		dir := t.TempDir()
		plant(t, dir, id, content[:n])
		want, end := commitsBefore(content, evs, n)

		m := newMetrics()
		l := mustOpen(t, dir, Options{Durability: SyncNever, Metrics: m})
		if diff := diffEvents(want, logtest.ReadAll(t, l, id)); diff != "" {
			t.Fatalf("cut at %d: read (-want +got):\n%s", n, diff)
		}
		if got := mustRead(t, logPath(dir, id)); len(got) != n {
			t.Fatalf("cut at %d: a read changed the file to %d bytes", n, len(got))
		}
		act := logtest.Activate(t, l, id)
		if got := mustRead(t, logPath(dir, id)); !bytes.Equal(got, content[:end]) {
			t.Fatalf("cut at %d: file has %d bytes after activation, want %d", n, len(got), end)
		}
		kept, err := filepath.Glob(filepath.Join(dir, quarantineDir, "c1.*.torn"))
		if err != nil {
			t.Fatal(err)
		}
		switch torn := value(t, m.TornTails); {
		case end == n && (len(kept) != 0 || torn != 0):
			t.Fatalf("cut at %d: nothing is torn, but %v is kept and %v counted", n, kept, torn)
		case end < n && (len(kept) != 1 || torn != 1):
			t.Fatalf("cut at %d: got %v kept and %v counted, want one", n, kept, torn)
		case end < n && !bytes.Equal(mustRead(t, kept[0]), content[end:n]):
			t.Fatalf("cut at %d: %s does not hold the bytes cut off", n, kept[0])
		}
		var head uint64
		for _, ev := range want {
			if ev.Branch == "" {
				head = ev.Version
			}
		}
		logtest.MustAppend(t, act, head, logtest.Events(2)...)
		act.Release()
		if got := logtest.ReadAll(t, l, id); len(got) != len(want)+2 || got[len(got)-1].Version != head+2 {
			t.Fatalf("cut at %d: got %d events after an append, want %d", n, len(got), len(want)+2)
		}
		checkEntries(t, l)
	}
}

func TestFlippedByteNeverAltersAnEvent(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, evs := sample(t, id)
	dir := t.TempDir()
	m := newMetrics()
	l := mustOpen(t, dir, Options{Durability: SyncNever, Metrics: m})
	for n := range content {
		for _, bit := range []byte{0x01, 0x20, 0x80, content[n] ^ '\n'} { // the last makes a line end
			if bit == 0 {
				bit = 0x40
			}
			flipped := slices.Clone(content)
			flipped[n] ^= bit
			plant(t, dir, id, flipped)
			got := logtest.ReadAll(t, l, id)
			sound := slices.DeleteFunc(slices.Clone(got), func(ev eventlog.Event) bool { return ev.Damaged })
			for _, ev := range sound {
				i := slices.IndexFunc(evs, func(old eventlog.Event) bool { return old.ID == ev.ID })
				if i < 0 || diffEvents(evs[i:i+1], []eventlog.Event{ev}) != "" {
					t.Fatalf("byte %d ^ %#x: got %+v, which was never stored", n, bit, ev)
				}
			}
			switch damaged := len(got) - len(sound); {
			case n == len(content)-1: // all lines are there
				if damaged != 0 || diffEvents(evs, got) != "" {
					t.Fatalf("byte %d ^ %#x, the last newline: got %d events, %d damaged; want all", n, bit, len(got), damaged)
				}
			case damaged == 0 || len(sound) < len(evs)-2:
				t.Fatalf("byte %d ^ %#x: got %d events, %d damaged; want damage, and all but the lines hit", n, bit, len(sound), damaged)
			}
		}
	}
}

// lines splits content, newlines kept.
func lines(content []byte) [][]byte { return slices.Collect(bytes.Lines(content)) }

func TestDamagedLineIsYieldedCountedAndKept(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, _ := sample(t, id)
	dir := t.TempDir()
	broken := slices.Clone(content)
	broken[len(lines(content)[0])+5] ^= 1 // in the second line
	plant(t, dir, id, broken)
	m := newMetrics()
	l := mustOpen(t, dir, Options{Metrics: m})
	act, err := l.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var versions []uint64
	for ev, err := range act.Replay(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Damaged != (len(versions) == 1) {
			t.Errorf("event %d: got damaged %v", len(versions), ev.Damaged)
		}
		versions = append(versions, ev.Version)
	}
	if want := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2}; !slices.Equal(versions, want) {
		t.Errorf("got versions %v, want %v", versions, want)
	}
	if n := value(t, m.DamagedLines); n != 1 {
		t.Errorf("got %v damaged lines counted, want 1", n)
	}
	logtest.MustAppend(t, act, 12, logtest.Event(1))
	act.Release()
	if got := mustRead(t, logPath(dir, id)); !bytes.HasPrefix(got, broken) {
		t.Error("the damaged file was changed")
	}
}

func TestDamageThatARepairHasMarkedIsNotCounted(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, _ := sample(t, id)
	ls := lines(content) // one event, then three, one, two …
	for name, test := range map[string]struct {
		file [][]byte
		want float64
	}{
		"a marker in the place of a line":  {[][]byte{ls[0], appendMarker(nil, 1, "quarantine/c1"), ls[2], ls[3], ls[4]}, 0},
		"a marker of three versions":       {[][]byte{ls[0], appendMarker(nil, 3, "quarantine/c1"), ls[4]}, 0},
		"one, and a line that is missing":  {[][]byte{ls[0], appendMarker(nil, 1, "quarantine/c1"), ls[2], ls[4]}, 1},
		"one that is damaged itself":       {[][]byte{ls[0], bytes.Replace(appendMarker(nil, 1, "quarantine/c1"), []byte("c1"), []byte("c2"), 1), ls[2]}, 1},
		"one, and later another, unmarked": {[][]byte{ls[0], appendMarker(nil, 1, "quarantine/c1"), ls[2], ls[3], []byte("{}\n")}, 1},
		"none, where lines are missing":    {[][]byte{ls[0], ls[4]}, 1},
	} {
		dir, m := t.TempDir(), newMetrics()
		plant(t, dir, id, bytes.Join(test.file, nil))
		l := mustOpen(t, dir, Options{Metrics: m})
		act, err := l.Activate(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		damaged := 0
		for ev, err := range act.Replay(t.Context(), nil) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if ev.Damaged {
				damaged++
			}
		}
		act.Release()
		if damaged == 0 {
			t.Errorf("%s: the cart is not shown as damaged", name)
		}
		if n := value(t, m.DamagedLines); n != test.want {
			t.Errorf("%s: %v damaged lines are counted, want %v", name, n, test.want)
		}
	}
}

func TestMissingAndRepeatedLinesAreDamage(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, _ := sample(t, id)
	ls := lines(content) // one event, then three, one, two …
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	for _, test := range []struct {
		name string
		file [][]byte
		want []int64 // versions; negative: damaged
	}{
		{"missing", [][]byte{ls[0], ls[5], ls[6]}, []int64{1, -5, 6, 7}},
		{"repeated", [][]byte{ls[0], ls[4], ls[0], ls[5], ls[6]}, []int64{1, -4, 5, -6, 6, 7}},
		{"empty line", [][]byte{ls[0], []byte("\n"), ls[5], ls[6]}, []int64{1, -2, -5, 6, 7}},
		{"two lines of one", [][]byte{ls[0], []byte("a\n"), []byte("b\n"), ls[4]}, []int64{1, -2, -3, -4, 5}},
		{"explained by damage", [][]byte{ls[0], []byte("a\n"), []byte("b\n"), []byte("c\n"), ls[4]}, []int64{1, -2, -3, -4, 5}},
	} {
		plant(t, dir, id, bytes.Join(test.file, nil))
		var got []int64
		for _, ev := range logtest.ReadAll(t, l, id) {
			v := int64(ev.Version)
			if ev.Damaged {
				v = -v
			}
			got = append(got, v)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got versions %v, want %v (negative: damaged)", test.name, got, test.want)
		}
	}
}

func TestLineOverTheLimitIsDamage(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, evs := sample(t, id)
	for _, size := range []int{4 << 10, 64 << 10, 300 << 10} {
		long := append(bytes.Repeat([]byte("x"), size), '\n')
		dir := t.TempDir()
		l := mustOpen(t, dir, Options{MaxLineBytes: 4 << 10})
		plant(t, dir, id, slices.Concat(lines(content)[0], long, content[len(lines(content)[0]):]))
		if got := logtest.ReadAll(t, l, id); len(got) != len(evs)+1 || !got[1].Damaged {
			t.Errorf("%d bytes: got %d events, want %d and one damaged", size, len(got), len(evs))
		}
		plant(t, dir, id, slices.Concat(content, long))
		if got := logtest.ReadAll(t, l, id); len(got) != len(evs)+1 || !got[len(evs)].Damaged {
			t.Errorf("%d bytes at the end: got %d events, want %d and one damaged", size, len(got), len(evs))
		}
		plant(t, dir, id, slices.Concat(content, long[:size])) // without its newline it is a torn tail
		if diff := diffEvents(evs, logtest.ReadAll(t, l, id)); diff != "" {
			t.Errorf("%d bytes of a torn line (-want +got):\n%s", size, diff)
		}
	}
}

func TestLongestLineComesBack(t *testing.T) {
	const limit = 100 << 10
	id := logtest.Stream(t, "c1")
	l := mustOpen(t, t.TempDir(), Options{MaxLineBytes: limit, Durability: SyncNever})
	act := logtest.Activate(t, l, id)
	defer act.Release()
	ev := logtest.Event(1)
	ev.Payload = []byte(`{"x":""}`)
	rest := limit - len(lineOf(nil, &eventlog.Event{Position: math.MaxUint64, ID: ev.ID, Version: 1, Epoch: act.Epoch(), Time: ev.Time, Type: ev.Type, Payload: ev.Payload}))
	ev.Payload = []byte(`{"x":"` + strings.Repeat("y", rest+1) + `"}`)
	if _, err := logtest.Append(act, 0, ev); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Fatalf("one byte over the limit: got %v, want ErrTooLarge", err)
	}
	ev.Payload = []byte(`{"x":"` + strings.Repeat("y", rest) + `"}`)
	logtest.MustAppend(t, act, 0, ev)
	logtest.MustAppend(t, act, 1, logtest.Event(2))
	if got := logtest.ReadAll(t, l, id); len(got) != 2 || !bytes.Equal(got[0].Payload, ev.Payload) {
		t.Errorf("got %d events, want the longest and another", len(got))
	}
}

func TestZerosLeftByAPowerFailureAreSetAside(t *testing.T) {
	id := logtest.Stream(t, "c1")
	dir := t.TempDir()
	plant(t, dir, id, make([]byte, 200<<10))
	l := mustOpen(t, dir, Options{})
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 0, logtest.Event(1))
	act.Release()
	if got := logtest.ReadAll(t, l, id); len(got) != 1 {
		t.Errorf("got %d events, want 1", len(got))
	}
}

// Whole lines that do not check out were acknowledged, or are somebody's: they are told and stay, each counts as a
// version, and the stream goes on behind them, however often it is activated.
func TestDamageAtTheEndIsKeptAndTheStreamGoesOn(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, _ := sample(t, id)
	ls := lines(content)
	main := bytes.Join(ls[:4], nil) // versions 1 to 4
	for name, end := range map[string][]byte{
		"flipped byte":         append([]byte("x"), ls[4]...),
		"last line twice":      ls[3],
		"line out of order":    ls[0],
		"unknown field":        append(signed(strings.Replace(soundBody, `"v":1`, `"v":1,"new":1`, 1)), '\n'),
		"line ends of Windows": bytes.ReplaceAll(ls[4], []byte("\n"), []byte("\r\n")),
		"text":                 []byte("not a log\n"),
	} {
		dir := t.TempDir()
		file := slices.Concat(main, end)
		plant(t, dir, id, file)
		l := mustOpen(t, dir, Options{})
		head := uint64(5) // the damaged line has 5
		for range 3 {
			act := logtest.Activate(t, l, id) // replays
			logtest.MustAppend(t, act, head, logtest.Event(1))
			head++
			act.Release()
		}
		got := logtest.ReadAll(t, l, id)
		if last := got[len(got)-1]; last.Version != head || last.Damaged || !got[4].Damaged || got[4].Version != 5 {
			t.Errorf("%s: got %d events, the last at version %d, want damage at 5 and the last at %d", name, len(got), last.Version, head)
		}
		if kept := mustRead(t, logPath(dir, id)); !bytes.HasPrefix(kept, file) {
			t.Errorf("%s: the file was cut", name)
		}
	}
}

func TestNewerFormatIsRefusedNotCut(t *testing.T) {
	id := logtest.Stream(t, "c1")
	content, _ := sample(t, id)
	newer := append(signed(strings.Replace(soundBody, `"v":1`, `"v":2`, 1)), '\n')
	for name, file := range map[string][]byte{
		"at the end":     slices.Concat(content, newer),
		"before the end": slices.Concat(lines(content)[0], newer, content[len(lines(content)[0]):]),
	} {
		dir := t.TempDir()
		plant(t, dir, id, file)
		l := mustOpen(t, dir, Options{})
		act, err := l.Activate(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for _, err := range act.Replay(t.Context(), nil) {
			last = err
		}
		if !errors.Is(last, ErrNewerFormat) {
			t.Errorf("%s: replay ended with %v, want ErrNewerFormat", name, last)
		}
		if _, err := logtest.Append(act, 0, logtest.Event(1)); err == nil {
			t.Errorf("%s: append after a replay that failed: got nil", name)
		}
		act.Release()
		if !bytes.Equal(mustRead(t, logPath(dir, id)), file) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestLogOfTheFormerServiceGoesOn(t *testing.T) {
	id := logtest.Stream(t, "c1")
	dir := t.TempDir()
	legacy := mustRead(t, "testdata/legacy.events.log")
	plant(t, dir, id, legacy)
	l := mustOpen(t, dir, Options{})
	act := logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 3, logtest.Event(1))
	act.Release()
	act = logtest.Activate(t, l, id)
	logtest.MustAppend(t, act, 4, logtest.Event(2))
	act.Release()

	var got []string
	for _, ev := range logtest.ReadAll(t, l, id) {
		got = append(got, ev.Type+" "+ev.Time.Format("15:04:05"))
	}
	want := []string{"AddItem 22:13:20", "AddRequest 22:13:21", "ChangeQuantity 22:14:20", "AddItem 02:26:23", "AddItem 02:26:24"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	ls := lines(legacy)
	plant(t, dir, logtest.Stream(t, "c2"), slices.Concat(ls[0], []byte("{rubbish\n"), ls[2]))
	evs := logtest.ReadAll(t, l, logtest.Stream(t, "c2"))
	if len(evs) != 3 || !evs[1].Damaged || evs[2].Damaged || evs[2].Version != 3 {
		t.Errorf("damaged old log: got %+v, want versions 1, damaged, 3", evs)
	}
	if _, err := os.Stat(filepath.Join(dir, quarantineDir)); err == nil {
		t.Error("something was set aside, want nothing")
	}
}
