package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestReportIsTheDocumentedJSON(t *testing.T) {
	r := newReport()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"rows":0,"accepted":0,"skippedCredit":0,"refused":{"quantity":0,"price":0,"subunit":0},` +
		`"carts":0,"lines":0,"units":0,"total":0,"mismatches":[],"seconds":0,"rowsPerSecond":0}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	r.Refused.Text = 2
	r.Mismatches = append(r.Mismatches, Mismatch{Cart: "1", Want: Sums{1, 2, 3}, Got: Sums{4, 5, 6}})
	b, err = json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want = `{"rows":0,"accepted":0,"skippedCredit":0,"refused":{"quantity":0,"price":0,"subunit":0,"text":2},` +
		`"carts":0,"lines":0,"units":0,"total":0,` +
		`"mismatches":[{"cart":"1","want":{"lines":1,"units":2,"total":3},"got":{"lines":4,"units":5,"total":6}}],` +
		`"seconds":0,"rowsPerSecond":0}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestReportForPeople(t *testing.T) {
	r := dirtyReport()
	r.Seconds, r.RowsPerSecond, r.replayed = 1.25, 16399.6, 5
	for k := range r.first {
		r.first[k] = 10 + k
	}
	r.Mismatches = append(r.Mismatches, Mismatch{Cart: "700001", Want: Sums{3, 13, 3460}, Problem: "not there"})
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `rows                     35
  skipped                 3  credit notes and adjustments, first on line 11
  refused                 3  Quantity not positive, first on line 12
  refused                 2  UnitPrice not positive, first on line 13
  refused                 1  UnitPrice not a whole number of pence, first on line 14
  refused                 6  Quantity or UnitPrice no number, first on line 15
  refused                 3  Quantity or UnitPrice beyond the limits, first on line 16
  refused                 3  InvoiceNo no valid cart id, first on line 17
  refused                 3  StockCode blank, too long or no word, first on line 18
  refused                 2  Description too long or not text, first on line 19
  accepted                9  5 of them were there already
carts                     3
lines                     7
units             1,000,020
total             10,095.60  GBP
time                    1.2  seconds, 16,399 rows/s
mismatches                1
  cart 700001: lines 0, want 3; units 0, want 13; total 0, want 3460; not there
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestLongListOfMismatchesIsCutForPeople(t *testing.T) {
	r := newReport()
	r.Mismatches = make([]Mismatch, shownMismatches+1234)
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "  cart "); n != shownMismatches || !strings.HasSuffix(b.String(), "  and 1,234 more\n") {
		t.Errorf("%d mismatches listed, want %d and how many more:\n%s", n, shownMismatches, b.String())
	}
}

// broken is a writer that fails.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestReportThatCannotBeWrittenIsAnError(t *testing.T) {
	full := errors.New("no space left")
	if err := newReport().WriteText(broken{full}); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
}

func TestMoneyIsWrittenWithTwoDecimals(t *testing.T) {
	for pence, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 123456789: "1,234,567.89", -100000: "-1,000.00"} {
		if got := pounds(pence); got != want {
			t.Errorf("pounds(%d) = %s, want %s", pence, got, want)
		}
	}
}

func TestProgressBarIsDrawnAndTakenAway(t *testing.T) {
	for _, total := range []int64{3, 0, -1} {
		var b bytes.Buffer
		p := drawProgress(&b, total, "adding rows", "rows")
		for range max(total, 0) {
			p.step()
		}
		p.finish()
		if total == 3 && !strings.Contains(b.String(), "adding rows") {
			t.Errorf("bar of %d steps drew %q, want its description", total, b.String())
		}
	}
}
