package importer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cartd/internal/catalog"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/grain"
	"cartd/internal/importer"
)

var update = flag.Bool("update", false, "write the golden file anew")

func open(t *testing.T, dir string) *filelog.Log {
	t.Helper()
	l, err := filelog.Open(dir, filelog.Options{SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, eventlog.ErrClosed) {
			t.Error(err)
		}
	})
	return l
}

func options(t *testing.T, from string, store eventlog.Store) importer.Options {
	t.Helper()
	products, err := catalog.Open(t.Context(), "testdata/products.json", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return importer.Options{Dir: from, Store: store, Catalog: products,
		Registry: grain.Registry(grain.Limits{MaxLines: math.MaxInt, MaxQuantity: math.MaxInt64})}
}

func run(t *testing.T, from string, store eventlog.Store) *importer.Report {
	t.Helper()
	r, err := importer.Run(t.Context(), options(t, from, store))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stored is all that a log holds, a line for each event, without its position: carts are imported side by side.
func stored(t *testing.T, l *filelog.Log, carts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, name := range carts {
		for _, ev := range logtest.ReadAll(t, l, logtest.Stream(t, name)) {
			fmt.Fprintf(&b, "%s %d %s %s more=%v %s %s\n", name, ev.Version, ev.ID, ev.Time.Format("2006-01-02T15:04:05.000Z"), ev.More, ev.Type, ev.Payload)
		}
	}
	return b.Bytes()
}

func kinds(r *importer.Report) (out []string) {
	for _, p := range r.Problems {
		out = append(out, fmt.Sprintf("%s:%d %s", p.File, p.Line, p.Kind))
	}
	return out
}

func TestImportOfTheFormerService(t *testing.T) {
	data := t.TempDir()
	l := open(t, data)
	r := run(t, "testdata/former", l)
	want := []string{
		"-bad.events.log:0 bad_name",
		"cart-1.events.log:3 unresolved",
		"cart-3.events.log:2 damaged_line",
		"cart-3.events.log:3 unknown_type",
		"carts/ab/cart-2.events.log:2 unresolved",
		"carts/ab/cart-2.events.log:3 refused",
		"own.events.log:0 own_log",
	}
	if d := cmp.Diff(want, kinds(r)); d != "" {
		t.Errorf("problems differ (-want +got):\n%s", d)
	}
	if r.Carts != 3 || r.Events != 14 || r.Already != 0 || r.Reported != len(want) {
		t.Errorf("got %+v, want 3 carts with 14 events", r)
	}
	const golden = "testdata/imported.txt"
	got := stored(t, l, "cart-1", "cart-2", "cart-3")
	if *update {
		if err := os.WriteFile(golden, got, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(b), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("what is stored differs (-want +got):\n%s", d)
	}
	for _, name := range []string{"-bad", "own", "empty"} {
		if files, _ := filepath.Glob(filepath.Join(data, "carts", "*", name+".events.log")); len(files) > 0 {
			t.Errorf("%s was imported: %v", name, files)
		}
	}

	// Again: nothing changes, and that is said.
	again := run(t, "testdata/former", l)
	if again.Carts != 0 || again.Events != 0 || again.Already != 3 {
		t.Errorf("again: got %+v, want 3 carts that were there", again)
	}
	if d := cmp.Diff([]string{"-bad.events.log:0 bad_name", "own.events.log:0 own_log"}, kinds(again)); d != "" {
		t.Errorf("again: problems differ (-want +got):\n%s", d)
	}
	if after := stored(t, l, "cart-1", "cart-2", "cart-3"); !bytes.Equal(after, got) {
		t.Errorf("again: what is stored is now\n%s", after)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := filelog.Verify(t.Context(), data, filelog.CheckOptions{})
	if err != nil || len(rep.Faults)+len(rep.Notes) > 0 || rep.Events != 14 {
		t.Errorf("verify: got %+v, %v; want 14 events with dense positions", rep, err)
	}
}

func TestCartThatExistsIsNeverMixed(t *testing.T) {
	l := open(t, t.TempDir())
	act := logtest.Activate(t, l, logtest.Stream(t, "c"))
	logtest.MustAppend(t, act, 0, logtest.Events(2)...)
	act.Release()
	before := stored(t, l, "c")
	from := t.TempDir()
	write(t, from, "c", oldLine("A"))
	write(t, from, "d", oldLine("A"))
	r := run(t, from, l)
	if d := cmp.Diff([]string{"c.events.log:0 exists"}, kinds(r)); d != "" || r.Carts != 1 {
		t.Errorf("got %+v, want d alone imported", r)
	}
	if after := stored(t, l, "c"); !bytes.Equal(before, after) {
		t.Errorf("the cart is now\n%s", after)
	}

	// A cart that has gone on here since it was imported is still the same one; a log that has gone on there is not.
	act = logtest.Activate(t, l, logtest.Stream(t, "d"))
	logtest.MustAppend(t, act, 1, logtest.Event(1))
	act.Release()
	if r := run(t, from, l); r.Already != 1 {
		t.Errorf("used since: got %+v, want it to be known", r)
	}
	write(t, from, "d", oldLine("A")+oldLine("B"))
	if r := run(t, from, l); r.Already != 0 || len(r.Problems) != 2 || !strings.Contains(r.Problems[1].Detail, "1 lines are not in the cart") {
		t.Errorf("changed there: got %+v, want that to be told", r)
	}
}

func oldLine(sku string) string {
	return fmt.Sprintf(`{"ts":1700000000,"type":"AddItem","payload":{"sku":%q,"quantity":1,"price":100,"tax":0}}`+"\n", sku)
}

func write(t *testing.T, dir, cart, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, cart+".events.log"), []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// down is a catalogue that answers so many times.
type down struct {
	*catalog.Products
	left int
}

func (d *down) Product(ctx context.Context, sku, country string) (catalog.Product, error) {
	if d.left--; d.left < 0 {
		return catalog.Product{}, catalog.ErrUnavailable
	}
	return d.Products.Product(ctx, sku, country)
}

// An import that stops in the middle, because the catalogue does, leaves whole carts, and another one does the rest.
func TestImportThatWasCutOffGoesOn(t *testing.T) {
	l := open(t, t.TempDir())
	from := t.TempDir()
	request := `{"ts":1700000000,"type":"AddRequest","payload":{"sku":"85123A","quantity":1}}` + "\n"
	write(t, from, "c", oldLine("A")+request+request)
	opts := options(t, from, l)
	opts.Catalog = &down{opts.Catalog.(*catalog.Products), 1}
	if r, err := importer.Run(t.Context(), opts); !errors.Is(err, catalog.ErrUnavailable) || r.Carts != 0 {
		t.Errorf("got %+v, %v; want ErrUnavailable and nothing imported", r, err)
	}
	if got := stored(t, l, "c"); len(got) > 0 {
		t.Errorf("half a cart was stored:\n%s", got)
	}
	if r := run(t, from, l); r.Carts != 1 || r.Events != 3 || r.Reported != 0 {
		t.Errorf("got %+v, want the cart", r)
	}
	// What the catalogue says later makes no difference to what is there.
	opts.Catalog = &down{}
	if r, err := importer.Run(t.Context(), opts); err != nil || r.Already != 1 {
		t.Errorf("got %+v, %v; want the cart to be known without a catalogue", r, err)
	}
}

func TestImportOfNothingSaysSo(t *testing.T) {
	l := open(t, t.TempDir())
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, err := importer.Run(t.Context(), options(t, dir, l)); err == nil {
			t.Errorf("%s: got no error", dir)
		}
	}
}

func TestLinksAndLargeLogsAreNotFollowed(t *testing.T) {
	l := open(t, t.TempDir())
	from := t.TempDir()
	write(t, from, "c", oldLine("A"))
	if err := os.Symlink("c.events.log", filepath.Join(from, "l.events.log")); err != nil {
		t.Fatal(err)
	}
	write(t, from, "large", "")
	if err := os.Truncate(filepath.Join(from, "large.events.log"), 1<<30); err != nil {
		t.Fatal(err)
	}
	r := run(t, from, l)
	if d := cmp.Diff([]string{"l.events.log:0 not_a_file", "large.events.log:0 too_large"}, kinds(r)); d != "" || r.Carts != 1 {
		t.Errorf("got %+v:\n%s", r, d)
	}
}

// Whatever stands in a log, importing it twice stores it once, and each line is an event or a problem.
func FuzzImport(f *testing.F) {
	for _, name := range []string{"cart-1", "carts/ab/cart-2", "cart-3", "own"} {
		b, err := os.ReadFile("testdata/former/" + name + ".events.log")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"ts":1,"type":"SetCartRequest","payload":{"items":[null]}}` + "\n" + `{"ts":1,"type":"AddRequest","payload":{"sku":5}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		l, err := filelog.Open(t.TempDir(), filelog.Options{Durability: filelog.SyncNever, SegmentBytes: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // another test's business
		from := t.TempDir()
		write(t, from, "c", string(b))
		r := run(t, from, l)
		got := stored(t, l, "c")
		again := run(t, from, l)
		if r.Carts > 0 && (again.Already != 1 || again.Reported > 0) {
			t.Errorf("again: got %+v", again)
		}
		if again.Carts > 0 || !bytes.Equal(stored(t, l, "c"), got) {
			t.Error("the second import has stored something")
		}
		if lines := bytes.Count(got, []byte("\n")); r.Carts > 0 && lines < bytes.Count(b, []byte("\n")) {
			t.Errorf("%d events of %d lines", lines, bytes.Count(b, []byte("\n")))
		}
		for _, p := range r.Problems {
			if _, err := json.Marshal(p); err != nil || !slices.Contains([]string{"c"}, p.Cart) {
				t.Errorf("problem %+v, %v", p, err)
			}
		}
	})
}

// One cart may lie both in the top directory and in carts/ab/: the second log is looked at when the first is done with.
func TestCartThatIsThereTwiceIsImportedOnce(t *testing.T) {
	from := t.TempDir()
	if err := os.Mkdir(filepath.Join(from, "carts"), 0o750); err != nil {
		t.Fatal(err)
	}
	const carts = 6 // all of them are in hand at once
	for i := range carts {
		name := fmt.Sprintf("c%d", i)
		write(t, from, name, strings.Repeat(oldLine("one"), 2000))
		write(t, from, filepath.Join("carts", name), strings.Repeat(oldLine("two"), 2000))
	}
	r := run(t, from, open(t, t.TempDir()))
	if r.Carts != carts || r.Reported != carts {
		t.Fatalf("%d carts were imported, %d problems told; want %d of each", r.Carts, r.Reported, carts)
	}
	for _, p := range r.Problems {
		if p.Kind != importer.Exists {
			t.Errorf("got %+v, want the second log of the cart", p)
		}
	}
}
