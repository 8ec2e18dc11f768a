//go:build unix

package main

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// realData is the first half of the Online Retail data (Chen, 2015, doi:10.24432/C5BW33), which is kept beside the
// repository and not in it.
const realData = "../../../shared/data/online-retail-2010-12_2011-05.csv.gz"

// report is what `cartd load --json` prints, but for the time it took.
type report struct {
	Rows          int64            `json:"rows"`
	Accepted      int64            `json:"accepted"`
	SkippedCredit int64            `json:"skippedCredit"`
	Refused       map[string]int64 `json:"refused"`
	Carts         int64            `json:"carts"`
	sums
	Mismatches []mismatch `json:"mismatches"`
}

type sums struct {
	Lines int64 `json:"lines"`
	Units int64 `json:"units"`
	Total int64 `json:"total"`
}

type mismatch struct {
	Cart string `json:"cart"`
	Want sums   `json:"want"`
	Got  sums   `json:"got"`
}

// runLoad starts `cartd load --json`.
func runLoad(t *testing.T, csv, url string, args ...string) *child {
	t.Helper()
	return run(t, []string{"CARTD_BACKEND_TOKEN=" + token}, append([]string{"load", "--csv=" + csv, "--url=" + url, "--json"}, args...)...)
}

// wantReport waits for the end of a load and compares what it printed.
func (c *child) wantReport(t *testing.T, exit int, want report) {
	t.Helper()
	c.wantExit(exit)
	if d := cmp.Diff(want, decodeAs[report](t, c.stdout.Bytes()), cmp.AllowUnexported(report{})); d != "" {
		t.Errorf("report differs (-want +got):\n%s", d)
	}
}

// firstRows writes the real data's first n rows to a file and returns its name.
func firstRows(t *testing.T, n int) string {
	t.Helper()
	f, err := os.Open(realData)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIPPED, the real data is not there: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines, r := strings.Builder{}, bufio.NewReader(unpacked)
	for range n + 1 { // the header, too; no field of these rows has a line break
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(line)
	}
	name := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(name, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// countByHand adds a file up, without any code of cartd and with other arithmetic. perCart is by invoice.
func countByHand(t *testing.T, name string) (want report, perCart map[string]sums) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want = report{Refused: map[string]int64{"quantity": 0, "price": 0, "subunit": 0}, Mismatches: []mismatch{}}
	perCart = map[string]sums{}
	lines := map[[3]string]bool{}
	for _, row := range rows[1:] {
		invoice, stockCode := row[0], row[1]
		want.Rows++
		quantity, err := strconv.ParseInt(row[3], 10, 64)
		price, ok := new(big.Rat).SetString(row[5])
		if err != nil || !ok {
			t.Fatalf("row %q: quantity or price is no number", row)
		}
		pence := new(big.Rat).Mul(price, big.NewRat(100, 1))
		switch {
		case strings.HasPrefix(invoice, "C"), strings.HasPrefix(invoice, "A"):
			want.SkippedCredit++
			continue
		case quantity <= 0:
			want.Refused["quantity"]++
			continue
		case price.Sign() <= 0:
			want.Refused["price"]++
			continue
		case !pence.IsInt():
			want.Refused["subunit"]++
			continue
		}
		want.Accepted++
		c := perCart[invoice]
		if line := [3]string{invoice, stockCode, pence.String()}; !lines[line] {
			lines[line] = true
			c.Lines++
		}
		c.Units += quantity
		c.Total += quantity * pence.Num().Int64()
		perCart[invoice] = c
	}
	want.Carts = int64(len(perCart))
	for _, c := range perCart {
		want.Lines, want.Units, want.Total = want.Lines+c.Lines, want.Units+c.Units, want.Total+c.Total
	}
	return want, perCart
}

// wantCarts reads every cart and compares.
func wantCarts(t *testing.T, s *server, want map[string]sums) {
	t.Helper()
	for id, want := range want {
		c := s.cart(t, id)
		got := sums{Lines: int64(len(c.Items)), Total: c.Total.IncVAT}
		for _, it := range c.Items {
			got.Units += it.Qty
		}
		if got != want {
			t.Errorf("cart %s: %+v, want %+v", id, got, want)
		}
	}
}

func realRows(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		return firstRows(t, 1000)
	}
	return firstRows(t, 5000)
}

func TestRealOrdersAddUpToThePenny(t *testing.T) {
	t.Parallel()
	file := realRows(t)
	want, perCart := countByHand(t, file)
	s := serve(t, t.TempDir())
	runLoad(t, file, s.api, "--concurrency=32").wantReport(t, 0, want)
	wantCarts(t, s, perCart)
	if got := s.cart(t, "536365"); got.Total.IncVAT != 13_912 || len(got.Items) != 7 {
		t.Errorf("cart 536365: %d pence, %d lines; want 13912, 7", got.Total.IncVAT, len(got.Items))
	}
}

func TestLoadGoesOnAfterServerAndLoadAreKilled(t *testing.T) {
	t.Parallel()
	file, data := realRows(t), t.TempDir()
	want, perCart := countByHand(t, file)
	s := serve(t, data)
	l := runLoad(t, file, s.api, "--concurrency=32")
	eventually(t, "half of the rows are appended", func() bool {
		return int64(s.metrics(t)["cart_event_log_appends_total"]) > want.Accepted/2
	})
	s.kill()
	l.kill()
	s = serve(t, data)
	runLoad(t, file, s.api, "--concurrency=32").wantReport(t, 0, want)
	wantCarts(t, s, perCart)
	if got := int64(s.metrics(t)["cart_event_log_appends_total"]); got >= want.Accepted {
		t.Errorf("%d events appended after the restart, want fewer than the file has rows (%d)", got, want.Accepted)
	}
}

const dirtyCSV = "../../internal/load/testdata/dirty.csv"

// dirtyReport is what dirty.csv comes to, counted by hand.
func dirtyReport() report {
	return report{
		Rows: 35, Accepted: 9, SkippedCredit: 3,
		Refused: map[string]int64{"quantity": 3, "price": 2, "subunit": 1, "number": 6, "range": 3, "invoice": 3, "sku": 3, "text": 2},
		Carts:   3, sums: sums{Lines: 7, Units: 1_000_020, Total: 1_009_560},
		Mismatches: []mismatch{},
	}
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	name, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoadReportsDirtyRowsByKindAndNeverDoubles(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for range 2 {
		runLoad(t, absolute(t, dirtyCSV), s.api).wantReport(t, 0, dirtyReport())
	}
}

func TestLoadThatFindsAnotherCartThanItsOwnExitsWithOne(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.create(t, "700001")
	s.do(t, http.StatusOK, "POST", "/v1/carts/700001/mutations", addItem("STRANGER", 2, 5, ""))
	want := dirtyReport()
	cart := sums{Lines: 3, Units: 13, Total: 3460}
	want.Mismatches = []mismatch{{Cart: "700001", Want: cart, Got: sums{cart.Lines + 1, cart.Units + 2, cart.Total + 10}}}
	want.sums = sums{want.Lines + 1, want.Units + 2, want.Total + 10}
	l := runLoad(t, absolute(t, dirtyCSV), s.api)
	l.wantReport(t, 1, want)
	if log := l.log(); !strings.Contains(log, "cartd: 1 of 3: carts do not hold what the file says") {
		t.Errorf("stderr is %q, want it to say that 1 of 3 carts differs", log)
	}
}

func TestLoadWithoutAFileOrServerSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		csv, url, want string
	}{
		"no file":   {"/nowhere.csv", "http://127.0.0.1:1", "/nowhere.csv"},
		"no CSV":    {absolute(t, "main.go"), "http://127.0.0.1:1", "no column InvoiceNo"},
		"wrong URL": {absolute(t, dirtyCSV), "127.0.0.1:1", "URL of the server"},
	} {
		t.Run(name, func(t *testing.T) {
			l := runLoad(t, tt.csv, tt.url)
			if code := l.wait().ExitCode(); code < 1 {
				t.Errorf("exit code %d, want one that tells of a failure", code)
			}
			if log := l.log(); !strings.Contains(log, tt.want) || strings.Contains(log, "\n") {
				t.Errorf("stderr is %q, want one line with %q", log, tt.want)
			}
		})
	}
}

func TestLoadThatIsStoppedSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1024) // more than the load can ask
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		io.Copy(io.Discard, r.Body) //nolint:errcheck // from here on the end of the connection ends the context
		<-r.Context().Done()
	}))
	defer silent.Close()
	l := runLoad(t, absolute(t, dirtyCSV), silent.URL)
	select {
	case <-asked:
	case <-time.After(patience):
		t.Fatal("the load sent nothing")
	}
	l.signal(syscall.SIGTERM)
	l.wantExit(1)
	if log, want := l.log(), "start it again with the same file and it goes on"; !strings.Contains(log, want) {
		t.Errorf("stderr is %q, want %q", log, want)
	}
	if got := decodeAs[report](t, l.stdout.Bytes()); got.Accepted != 0 {
		t.Errorf("report says that %d rows were accepted, want 0", got.Accepted)
	}
}

func TestLoadSendsTheFirstOfSeveralTokens(t *testing.T) {
	t.Parallel()
	both := []string{"CARTD_BACKEND_TOKEN= new , old "}
	data := t.TempDir()
	s := attach(t, run(t, both, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--log-format=json", "--data="+data), data)
	for _, env := range [][]string{both, {"CARTD_BACKEND_TOKEN=new"}, {"CARTD_BACKEND_TOKEN=old"}} {
		l := run(t, env, "load", "--csv="+absolute(t, dirtyCSV), "--url="+s.api, "--json")
		l.wantReport(t, 0, dirtyReport())
	}
	l := run(t, []string{"CARTD_BACKEND_TOKEN=other"}, "load", "--csv="+absolute(t, dirtyCSV), "--url="+s.api, "--json")
	l.wantExit(1)
}
