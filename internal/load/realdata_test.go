package load

import (
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// realData is the first half of the Online Retail data (Chen, 2015, doi:10.24432/C5BW33), which is kept
// beside the repository and not in it.
const realData = "../../../shared/data/online-retail-2010-12_2011-05.csv.gz"

func TestHalfAYearOfARealShopAddsUp(t *testing.T) {
	if _, err := os.Stat(realData); err != nil {
		t.Skipf("SKIPPED, the real data is not there: %v", err)
	}
	src, err := openSource(realData)
	if err != nil {
		t.Fatal(err)
	}
	defer src.file.Close()
	rows, err := src.rows()
	if err != nil {
		t.Fatal(err)
	}
	got, ledger := newReport(), newLedger()
	for {
		r, err := rows.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got.Rows++
		it, kind := classify(r)
		if kind != kindAccepted {
			got.count(kind, r.line)
			continue
		}
		got.Accepted++
		if _, err := ledger.add(it); err != nil {
			t.Fatal(err)
		}
	}
	var largest, longest *cart
	for _, c := range ledger.carts {
		got.Carts++
		got.Sums.add(c.want)
		if largest == nil || c.want.Total > largest.want.Total {
			largest = c
		}
		if longest == nil || c.want.Lines > longest.want.Lines {
			longest = c
		}
	}
	want := Report{ // counted with an independent program
		Rows: 209_029, Accepted: 203_953, SkippedCredit: 3_783,
		Refused: Refused{Quantity: 651, Price: 641, Subunit: 1},
		Carts:   8_126, Sums: Sums{Lines: 200_844, Units: 2_112_657, Total: 406_472_659},
		Mismatches: []Mismatch{},
	}
	if d := cmp.Diff(want, got, sameReport); d != "" {
		t.Errorf("report differs (-want +got):\n%s", d)
	}
	for id, want := range map[string][2]int64{"536365": {7, 13_912}, "536367": {12, 27_873}} {
		if c := ledger.byID[id]; c == nil || c.want.Lines != want[0] || c.want.Total != want[1] {
			t.Errorf("cart %s is %+v, want %d lines and %d pence", id, c, want[0], want[1])
		}
	}
	if largest.id != "541431" || largest.want.Total != 7_718_360 {
		t.Errorf("largest cart is %s with %d pence, want 541431 with 7,718,360", largest.id, largest.want.Total)
	}
	if longest.want.Lines != 675 {
		t.Errorf("cart with most lines has %d, want 675", longest.want.Lines)
	}
	if n, err := src.check(t.Context()); err != nil || n != want.Accepted {
		t.Errorf("the look before sending found %d rows to send, error %v; want %d", n, err, want.Accepted)
	}
}
