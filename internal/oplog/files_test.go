package oplog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func openFiles(t testing.TB, dir string) *Files {
	t.Helper()
	f, err := OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func query(t testing.TB, s interface {
	Query(context.Context, Query) (Page, error)
}, q Query) Page {
	t.Helper()
	page, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// mustStore gives files batches of 64, and closes them.
func mustStore(t testing.TB, files *Files, batches int) {
	t.Helper()
	l := open(t, Options{})
	for i := range batches {
		l.mustRecord(t, 64)
		if err := files.Append(t.Context(), query(t, l, Query{After: uint64(i * 64), Limit: 64}).Operations); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNumbersAndTheNewestGoOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	var before []Operation
	for start := range 3 {
		files := openFiles(t, dir)
		files.turnAt = 50_000 // several files
		l := open(t, Options{Store: files})
		all := query(t, l, Query{Tail: true, Limit: MaxLimit}).Operations
		if d := cmp.Diff(before, all); start > 0 && d != "" {
			t.Errorf("start %d (-before +after):\n%s", start, d)
		}
		l.mustRecord(t, 900)
		if s := l.Stats(); s.Total != min(uint64(start+1)*900, newest+900) {
			t.Errorf("start %d: %d operations counted", start, s.Total)
		}
		before = query(t, l, Query{Tail: true, Limit: MaxLimit}).Operations
		mustClose(t, l)
	}
	if got := seqs(before); !slices.Equal(got, from(1701, 2700)) {
		t.Errorf("numbers from %d to %d", got[0], got[len(got)-1])
	}
}

func TestMalformedLinesArePassedOver(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Store: openFiles(t, dir)})
	l.mustRecord(t, 3)
	mustClose(t, l)
	name := filepath.Join(dir, "00000000000000000001.jsonl")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	bad := slices.Concat(lines[0], []byte("\n{}\nnull\n\xff\xfe\n[1,\n"+strings.Repeat("x", 3*lineBytes)+"\n"), lines[0], lines[1], lines[2][:len(lines[2])-10])
	if err := os.WriteFile(name, bad, 0o644); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Store: openFiles(t, dir)})
	l.mustRecord(t, 1)
	mustClose(t, l)
	files := openFiles(t, dir)
	defer files.Close()
	if got := seqs(query(t, files, Query{Limit: 10}).Operations); !slices.Equal(got, from(1, 3)) {
		t.Errorf("got %v, want 1, 2, and a new 3 behind the line that was cut off", got)
	}
}

func TestWhatAnErrorLeftHalfStoredIsStoredOnce(t *testing.T) {
	dir := t.TempDir()
	files := openFiles(t, dir)
	defer files.Close()
	l := open(t, Options{})
	l.mustRecord(t, 10)
	ops := query(t, l, Query{Limit: 10}).Operations
	for _, batch := range [][]Operation{ops[:4], ops[:6], ops[2:10], ops} {
		if err := files.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := seqs(query(t, files, Query{Limit: 100}).Operations); !slices.Equal(got, from(1, 10)) {
		t.Errorf("got %v", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, "00000000000000000001.jsonl"))
	if err != nil || bytes.Count(b, []byte("\n")) != 10 {
		t.Errorf("%v, the file has other than 10 lines:\n%s", err, b)
	}
}

func TestFilesAreCompressedAndTheOldestRemoved(t *testing.T) {
	dir := t.TempDir()
	files := openFiles(t, dir)
	files.turnAt = 1000
	mustStore(t, files, 30)
	files = openFiles(t, dir)
	defer files.Close()
	names, _, err := files.names()
	if err != nil || len(names) < filesKept || len(names) > filesKept+1 {
		t.Fatalf("%d files, %v: %v", len(names), err, names)
	}
	for _, name := range names[:len(names)-1] {
		if !strings.HasSuffix(name, oldSuffix) {
			t.Errorf("%s is not compressed", name)
		}
	}
	first, _ := firstSeq(names[0])
	var got []uint64
	for after := uint64(0); ; {
		page := query(t, files, Query{After: after, Limit: 100})
		if len(page.Operations) == 0 {
			break
		}
		got, after = append(got, seqs(page.Operations)...), page.Next
	}
	if !slices.Equal(got, from(first, 30*64)) {
		t.Errorf("%d operations, want %d to %d", len(got), first, 30*64)
	}
}

func TestCompressionThatWasCutOffIsFinished(t *testing.T) {
	dir := t.TempDir()
	files := openFiles(t, dir)
	files.turnAt = 1000
	mustStore(t, files, 4)
	files = openFiles(t, dir)
	names, _, err := files.names()
	if err != nil || len(names) < 3 {
		t.Fatal(names, err)
	}
	// What a crash behind the rename leaves, and one before it.
	plain := []byte("what the twin has\n")
	if err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(names[0], ".zst")), plain, 0o644); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	second, _ := firstSeq(names[1])
	third, _ := firstSeq(names[2])
	for _, o := range query(t, files, Query{After: second - 1, Before: third, Limit: 1000}).Operations {
		b, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(b, '\n'))
	}
	if err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(names[1], ".zst")), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, names[1]), filepath.Join(dir, names[1]+".tmp")); err != nil {
		t.Fatal(err)
	}
	files.Close()
	files = openFiles(t, dir)
	defer files.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != len(names) {
		t.Errorf("the directory has %v, %v; want %v", left, err, names)
	}
	if got := seqs(query(t, files, Query{Limit: 1000}).Operations); !slices.Equal(got, from(1, 64*4)) {
		t.Errorf("got %d operations, want 1 to %d", len(got), 64*4)
	}
	if after, _, err := files.names(); err != nil || !slices.Equal(after, names) {
		t.Errorf("files are %v, %v; want %v", after, err, names)
	}
}

func TestFileThatSomebodyRemovedIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	files := openFiles(t, dir)
	defer files.Close()
	files.turnAt = 1000
	l := open(t, Options{})
	l.mustRecord(t, 128)
	ops := query(t, l, Query{Limit: 128}).Operations
	if err := files.Append(t.Context(), ops[:64]); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "00000000000000000001.jsonl")); err != nil {
		t.Fatal(err)
	}
	if err := files.Append(t.Context(), ops[64:]); err != nil {
		t.Fatal(err)
	}
	if got := seqs(query(t, files, Query{Limit: 128}).Operations); !slices.Equal(got, from(65, 128)) {
		t.Errorf("got %v, want 65 to 128", got)
	}
}

// TestPagesJoinToWhatWasRecorded compares all ways to ask with a plain slice.
func TestPagesJoinToWhatWasRecorded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		var all []Operation
		var l *Log
		for range rapid.IntRange(1, 3).Draw(rt, "starts") {
			if l != nil {
				mustClose(t, l)
			}
			files := openFiles(t, dir)
			files.turnAt = 80_000 // fewer files than are kept
			l = open(t, Options{Store: files})
			for range rapid.IntRange(0, 1500).Draw(rt, "operations") {
				n := len(all)
				o := Operation{
					Time: noon.Add(time.Duration(n%7) * time.Second), Source: []string{"session", "backend", "scenario"}[n%3],
					Kind: fmt.Sprint("k", n%5), Cart: fmt.Sprint("c", n%11), OK: true,
				}
				if err := l.Record(o); err != nil {
					t.Fatal(err)
				}
				o.Seq = uint64(n + 1)
				all = append(all, o)
			}
		}
		defer mustClose(t, l)
		q := Query{
			After:  uint64(rapid.IntRange(0, len(all)+2).Draw(rt, "after")),
			Source: rapid.SampledFrom([]string{"", "session", "nobody"}).Draw(rt, "source"),
			Kinds:  rapid.SampledFrom([][]string{nil, {"k1"}, {"k1", "k4"}}).Draw(rt, "kinds"),
			Cart:   rapid.SampledFrom([]string{"", "c3"}).Draw(rt, "cart"),
			Since:  rapid.SampledFrom([]time.Time{{}, noon.Add(2 * time.Second)}).Draw(rt, "since"),
			Until:  rapid.SampledFrom([]time.Time{{}, noon.Add(5 * time.Second)}).Draw(rt, "until"),
			Limit:  rapid.SampledFrom([]int{1, 7, 100, MaxLimit}).Draw(rt, "limit"),
		}
		var want []uint64
		for i := range all {
			if q.Selects(&all[i]) {
				want = append(want, all[i].Seq)
			}
		}
		tail := q
		tail.Tail = true
		if got := seqs(query(t, l, tail).Operations); !slices.Equal(got, want[max(0, len(want)-q.Limit):]) {
			rt.Errorf("%+v: the newest are %v, want %v", tail, got, want[max(0, len(want)-q.Limit):])
		}
		var got []uint64
		for range len(all) + 2 {
			page := query(t, l, q)
			if len(page.Operations) > q.Limit {
				rt.Fatalf("%+v: a page of %d", q, len(page.Operations))
			}
			got = append(got, seqs(page.Operations)...)
			if page.Next == q.After || len(got) > 200 && q.Limit == 1 {
				break
			}
			q.After = page.Next
		}
		if q.Limit == 1 {
			want = want[:min(len(want), len(got))]
		}
		if !slices.Equal(got, want) {
			rt.Errorf("%+v: pages join to %v, want %v", q, got, want)
		}
	})
}

func TestLineIsWhatEncodingJSONWouldWrite(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := Operation{
			Seq: rapid.Uint64Min(1).Draw(rt, "seq"), ID: uuid.New(), Time: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(rt, "time")).UTC(),
			Source: rapid.StringMatching(`[a-z0-9_-]{1,32}`).Draw(rt, "source"), Kind: rapid.StringMatching(`[A-Za-z0-9_.-]{1,64}`).Draw(rt, "kind"),
			Cart: rapid.StringMatching(`[A-Za-z0-9_-]{0,64}`).Draw(rt, "cart"), Took: time.Duration(rapid.Int64Range(0, 1<<52).Draw(rt, "took")) * time.Microsecond,
			OK: rapid.Bool().Draw(rt, "ok"),
		}
		if !o.OK {
			o.Error = rapid.StringN(0, -1, MaxErrorBytes).Draw(rt, "error")
		}
		if err := o.check(); err != nil {
			rt.Fatal(err)
		}
		want, err := json.Marshal(line{o.Seq, o.ID, o.Time, o.Source, o.Kind, o.Cart, o.OK, o.Took.Microseconds(), o.Error})
		if err != nil {
			rt.Fatal(err)
		}
		got := o.appendLine(nil)
		if !bytes.Equal(got, want) {
			rt.Errorf("got %s, want %s", got, want)
		}
		var back Operation
		if err := json.Unmarshal(got, &back); err != nil || back != o {
			rt.Errorf("%s is read as %+v, %v", got, back, err)
		}
	})
}

// FuzzFile reads any bytes as a file of operations.
func FuzzFile(f *testing.F) {
	l := open(f, Options{})
	l.mustRecord(f, 2)
	var seed []byte
	for _, o := range query(f, l, Query{Limit: 2}).Operations {
		b, err := o.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}
		seed = append(append(seed, b...), '\n')
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Add([]byte(`{"seq":18446744073709551615}` + "\n"))
	f.Add([]byte("\n\n[]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 1)), b, 0o644); err != nil {
			t.Fatal(err)
		}
		files := openFiles(t, dir)
		defer files.Close()
		ops := query(t, files, Query{Limit: 100}).Operations
		for i := range ops {
			if err := ops[i].check(); err != nil || i > 0 && ops[i].Seq <= ops[i-1].Seq {
				t.Errorf("read %+v, %v", ops[i], err)
			}
		}
	})
}
