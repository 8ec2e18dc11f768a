package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameReport compares all but what a clock gives.
var sameReport = cmp.Options{cmpopts.IgnoreUnexported(Report{}), cmpopts.IgnoreFields(Report{}, "Seconds", "RowsPerSecond")}

// dirtyReport is what testdata/dirty.csv comes to, counted by hand.
func dirtyReport() Report {
	return Report{
		Rows: 35, Accepted: 9, SkippedCredit: 3,
		Refused: Refused{Quantity: 3, Price: 2, Subunit: 1, Number: 6, Range: 3, Invoice: 3, SKU: 3, Text: 2},
		Carts:   3, Sums: Sums{Lines: 7, Units: 1_000_020, Total: 1_009_560},
		Mismatches: []Mismatch{},
	}
}

func TestDirtyRowsAreCountedByKindAndTheRestIsLoaded(t *testing.T) {
	fake := newFake(t)
	var progress bytes.Buffer
	got, err := Run(t.Context(), Options{CSV: "testdata/dirty.csv", URL: fake.serve(), Token: token, Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(dirtyReport(), got, sameReport); d != "" {
		t.Errorf("report differs (-want +got):\n%s", d)
	}
	if got.Seconds < 0 || got.RowsPerSecond <= 0 {
		t.Errorf("took %v s at %v rows/s, want positive numbers", got.Seconds, got.RowsPerSecond)
	}
	if progress.Len() != 0 {
		t.Errorf("%q written to what is no terminal, want nothing", progress.String())
	}
	for id, want := range map[string][]string{
		"700001": {"A100", "A101", "A100", "A100"},
		"700002": {"B1", "B4", "b1", "B1"},
		"700008": {"<&>"},
	} {
		if c := fake.carts[id]; c == nil || !slices.Equal(c.order, want) {
			t.Errorf("cart %s is %+v, want items %v in that order", id, c, want)
		}
	}
	if len(fake.carts) != 3 {
		t.Errorf("%d carts, want 3: one of refused rows alone is none", len(fake.carts))
	}
}

// shop returns a CSV of n rows whose invoices stand in between one another, and what it adds up to.
func shop(r *rand.Rand, n int) ([]byte, Report) {
	var b bytes.Buffer
	b.WriteString(header)
	want := newReport()
	lines, carts := make(map[string]bool), make(map[string]bool)
	for i := range n {
		invoice := fmt.Sprintf("I%d", i/20+r.IntN(8))
		sku, pence, qty := fmt.Sprintf("S%d", r.IntN(6)), 1+r.IntN(3), r.IntN(12)-1
		fmt.Fprintf(&b, "%s,%s,\"Thing, %s\",%d,now,%d.%02d,,Sweden\n", invoice, sku, sku, qty, pence/100, pence%100)
		want.Rows++
		if qty < 1 {
			want.Refused.Quantity++
			continue
		}
		want.Accepted++
		want.Units += int64(qty)
		want.Total += int64(qty * pence)
		carts[invoice] = true
		lines[fmt.Sprint(invoice, " ", sku, " ", pence)] = true
	}
	want.Carts, want.Lines = int64(len(carts)), int64(len(lines))
	return b.Bytes(), want
}

// anyFault lets every tenth request or so go wrong in some way. Safe for concurrent use.
func anyFault(*http.Request) fault {
	if rand.IntN(10) > 0 {
		return fine
	}
	return fault(1 + rand.IntN(int(faults)-1))
}

func TestFaultsOnTheWayNeitherLoseNorDouble(t *testing.T) {
	for _, tt := range []struct{ concurrency, rows int }{{1, 60}, {32, 600}} { // each fault costs a pause
		content, want := shop(rand.New(rand.NewPCG(1, 2)), tt.rows)
		fake := newFake(t)
		fake.strange = anyFault
		got, err := Run(t.Context(), Options{
			CSV: writeFile(t, "shop.csv.gz", zipped(t, content)), URL: fake.serve(), Token: token, Concurrency: tt.concurrency,
		})
		if err != nil {
			t.Fatalf("concurrency %d: %v", tt.concurrency, err)
		}
		if d := cmp.Diff(want, got, sameReport); d != "" {
			t.Errorf("concurrency %d: report differs (-want +got):\n%s", tt.concurrency, d)
		}
		if int64(fake.items) != want.Accepted {
			t.Errorf("concurrency %d: %d items applied, want %d", tt.concurrency, fake.items, want.Accepted)
		}
	}
}

func TestRowsOfOneCartArriveInTheFilesOrder(t *testing.T) {
	content, _ := shop(rand.New(rand.NewPCG(5, 6)), 800)
	want := make(map[string][]string)
	rows, err := readAll(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if it, kind := classify(r); kind == kindAccepted {
			want[it.cart] = append(want[it.cart], it.sku)
		}
	}
	fake := newFake(t)
	if _, err := Run(t.Context(), Options{CSV: writeFile(t, "shop.csv", content), URL: fake.serve(), Token: token, Concurrency: 16}); err != nil {
		t.Fatal(err)
	}
	for id, order := range want {
		if !slices.Equal(fake.carts[id].order, order) {
			t.Errorf("cart %s got %v, want %v", id, fake.carts[id].order, order)
		}
	}
}

func TestStoppedAndStartedAgainGoesOnAndNothingDoubles(t *testing.T) {
	content, want := shop(rand.New(rand.NewPCG(7, 8)), 600)
	path := writeFile(t, "shop.csv", content)
	fake := newFake(t)
	url := fake.serve()
	// Each start is ended after some more rows, at whatever the workers are doing then.
	for _, limit := range []int{1, 7, 150, 151, 400} {
		ctx, stop := context.WithCancel(t.Context())
		fake.mu.Lock()
		fake.applied = func(n int) {
			if n >= limit {
				stop()
			}
		}
		fake.mu.Unlock()
		report, err := Run(ctx, Options{CSV: path, URL: url, Token: token})
		// What the start before had sent may be applied only now, and end this one before it sends anything.
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "start it again") && !strings.Contains(err.Error(), "nothing was sent") {
			t.Fatalf("stopped after %d items: error %v, want one that says it can be started again", limit, err)
		}
		if report.Accepted > want.Accepted || report.Carts != 0 {
			t.Errorf("stopped after %d items: report %+v, want no carts read back", limit, report)
		}
	}
	fake.mu.Lock()
	fake.applied = nil
	before := fake.items
	fake.mu.Unlock()
	for range 2 { // the second finds everything there
		got, err := Run(t.Context(), Options{CSV: path, URL: url, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, sameReport); d != "" {
			t.Errorf("report differs (-want +got):\n%s", d)
		}
		if got.replayed < int64(before) {
			t.Errorf("%d rows reported as there already, want at least %d", got.replayed, before)
		}
		before = int(want.Accepted)
	}
	if int64(fake.items) != want.Accepted {
		t.Errorf("%d items applied over all starts, want %d", fake.items, want.Accepted)
	}
}

func TestGrownFileGoesOnWhereTheShorterOneStopped(t *testing.T) {
	content, want := shop(rand.New(rand.NewPCG(9, 10)), 300)
	half := content[:bytes.IndexByte(content[len(content)/2:], '\n')+len(content)/2+1]
	fake := newFake(t)
	url := fake.serve()
	for _, c := range [][]byte{half, content} {
		got, err := Run(t.Context(), Options{CSV: writeFile(t, "shop.csv", c), URL: url, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if len(c) == len(content) {
			if d := cmp.Diff(want, got, sameReport); d != "" {
				t.Errorf("report differs (-want +got):\n%s", d)
			}
		}
	}
}

func TestCartThatDiffersIsReported(t *testing.T) {
	want := Sums{Lines: 3, Units: 7, Total: 6100}
	for name, tt := range map[string]struct {
		corrupt func(*fakeBody)
		got     Sums
		problem string
	}{
		"total":    {func(b *fakeBody) { b.TotalPrice.IncVat-- }, Sums{3, 7, 6099}, ""},
		"line":     {func(b *fakeBody) { b.Items = b.Items[:1] }, Sums{1, 3, 6100}, ""},
		"units":    {func(b *fakeBody) { b.Items[0].Qty++ }, Sums{3, 8, 6100}, ""},
		"currency": {func(b *fakeBody) { b.Currency = "SEK" }, want, `currency is "SEK", not GBP`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			fake.corrupt = func(id string, b *fakeBody) {
				if id == "700002" {
					tt.corrupt(b)
				}
			}
			report, err := Run(t.Context(), Options{CSV: "testdata/dirty.csv", URL: fake.serve(), Token: token})
			if !errors.Is(err, ErrMismatch) {
				t.Errorf("error %v, want %v", err, ErrMismatch)
			}
			mismatches := []Mismatch{{Cart: "700002", Want: want, Got: tt.got, Problem: tt.problem}}
			if d := cmp.Diff(mismatches, report.Mismatches); d != "" {
				t.Errorf("mismatches differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestLostCartIsReported(t *testing.T) {
	fake := newFake(t)
	fake.refuse = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Method != "GET" || !strings.HasSuffix(r.URL.Path, "/700001") {
			return false
		}
		problem(w, 404, "cart_not_found", "")
		return true
	}
	report, err := Run(t.Context(), Options{CSV: "testdata/dirty.csv", URL: fake.serve(), Token: token})
	if !errors.Is(err, ErrMismatch) || report.Carts != 2 {
		t.Errorf("%d carts, error %v; want 2, %v", report.Carts, err, ErrMismatch)
	}
	want := []Mismatch{{Cart: "700001", Want: Sums{3, 13, 3460}, Problem: `404 "cart_not_found"`}}
	if d := cmp.Diff(want, report.Mismatches); d != "" {
		t.Errorf("mismatches differ (-want +got):\n%s", d)
	}
}

func TestCartThatHeldSomethingElseIsReported(t *testing.T) {
	fake := newFake(t)
	url := fake.serve()
	other := writeFile(t, "other.csv", []byte(header+"700001,A100,Tin mug,5,,2.55,,\n"))
	if _, err := Run(t.Context(), Options{CSV: other, URL: url, Token: token}); err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), Options{CSV: "testdata/dirty.csv", URL: url, Token: token})
	want := []Mismatch{{Cart: "700001", Want: Sums{3, 13, 3460}, Got: Sums{3, 18, 4735}}}
	if d := cmp.Diff(want, report.Mismatches); d != "" || !errors.Is(err, ErrMismatch) {
		t.Errorf("error %v, mismatches differ (-want +got):\n%s", err, d)
	}
}

func TestRefusalOfTheServerStopsTheLoad(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string // end of it, of the requests that are refused
		status int
		code   string
		want   string
	}{
		"frozen cart":   {"/mutations", 409, "cart_frozen", `line 2: POST /v1/carts/700001/mutations: 409 "cart_frozen": "no\nway"`},
		"internal":      {"/mutations", 500, "internal", `500 "internal"`},
		"no backend":    {"/v1/carts", 404, "not_found", "was it started with a backend token?"},
		"other token":   {"/v1/carts", 401, "unauthorized", "is the backend token the one"},
		"other 409":     {"/v1/carts", 409, "cart_ordered", `409 "cart_ordered"`},
		"redirect":      {"/v1/carts", 307, "", "a redirect is not followed"},
		"cart gone bad": {"/700001", 500, "internal", "read cart 700001 back"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			fake.refuse = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				if !strings.HasSuffix(r.URL.Path, tt.path) {
					return false
				}
				w.Header().Set("Location", "http://127.0.0.1:1/")
				problem(w, tt.status, tt.code, "no\nway")
				return true
			}
			_, err := Run(t.Context(), Options{CSV: "testdata/dirty.csv", URL: fake.serve(), Token: token, Concurrency: 1})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %s", err, tt.want)
			}
		})
	}
}

func TestBrokenFileChangesNothingOnTheServer(t *testing.T) {
	var asked atomic.Int64
	fake := newFake(t)
	fake.refuse = func(http.ResponseWriter, *http.Request, []byte) bool { asked.Add(1); return false }
	path := writeFile(t, "broken.csv", []byte(header+"1,a,n,1,d,1.00,c,GB\n2,a,n,1,d,1.00\n"))
	_, err := Run(t.Context(), Options{CSV: path, URL: fake.serve(), Token: token})
	if err == nil || !strings.Contains(err.Error(), "line 3: wrong number of fields") || asked.Load() != 0 {
		t.Errorf("%d requests, error %v; want 0 and an error that names line 3", asked.Load(), err)
	}
}

func TestPipeIsLoadedToo(t *testing.T) {
	content, err := os.ReadFile("testdata/dirty.csv")
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	written := make(chan error, 1)
	go func() {
		_, err := w.Write(zipped(t, content))
		written <- errors.Join(err, w.Close())
	}()
	fake := newFake(t)
	got, err := Run(t.Context(), Options{CSV: fmt.Sprintf("/dev/fd/%d", r.Fd()), URL: fake.serve(), Token: token})
	if err := errors.Join(err, <-written); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(dirtyReport(), got, sameReport); d != "" {
		t.Errorf("report differs (-want +got):\n%s", d)
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	good := Options{CSV: "testdata/dirty.csv", URL: "http://127.0.0.1:1", Token: token}
	for name, tt := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no file":          {func(o *Options) { o.CSV = "" }, "no CSV file given"},
		"missing file":     {func(o *Options) { o.CSV = filepath.Join(t.TempDir(), "none.csv") }, "no such file"},
		"directory":        {func(o *Options) { o.CSV = t.TempDir() }, "is a directory"},
		"no URL":           {func(o *Options) { o.URL = "" }, "URL of the server"},
		"no scheme":        {func(o *Options) { o.URL = "127.0.0.1:8080" }, "URL of the server"},
		"other scheme":     {func(o *Options) { o.URL = "ftp://127.0.0.1" }, "must be http://"},
		"user in the URL":  {func(o *Options) { o.URL = "http://a:b@127.0.0.1" }, "no user, query or fragment"},
		"query in the URL": {func(o *Options) { o.URL = "http://127.0.0.1/?a=b" }, "no user, query or fragment"},
		"no token":         {func(o *Options) { o.Token = "" }, "CARTD_BACKEND_TOKEN"},
		"token of 2 lines": {func(o *Options) { o.Token = "a\nb" }, "not visible ASCII"},
		"concurrency":      {func(o *Options) { o.Concurrency = 1025 }, "must be 1 to 1024"},
		"negative":         {func(o *Options) { o.Concurrency = -1 }, "must be 1 to 1024"},
		"time":             {func(o *Options) { o.RetryFor = -time.Second }, "must be positive"},
	} {
		o := good
		tt.change(&o)
		report, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
		if b, err := json.Marshal(report); err != nil || !strings.Contains(string(b), `"mismatches":[]`) {
			t.Errorf("%s: report %s, %v; want one with an empty list", name, b, err)
		}
	}
}
