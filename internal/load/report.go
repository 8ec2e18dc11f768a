package load

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Report is the outcome of a load; its JSON is what `cartd load --json` prints. After an error it holds what
// was counted until then.
type Report struct {
	Rows          int64   `json:"rows"`          // read, the header not counted
	Accepted      int64   `json:"accepted"`      // rows that the server has on stable storage
	SkippedCredit int64   `json:"skippedCredit"` // rows of credit notes and adjustments
	Refused       Refused `json:"refused"`

	// What the server's carts hold, read back.
	Carts int64 `json:"carts"`
	Sums

	Mismatches []Mismatch `json:"mismatches"` // in order of the carts' first rows; never null in JSON

	Seconds       float64 `json:"seconds"`       // from the first row read for sending to the last answer
	RowsPerSecond float64 `json:"rowsPerSecond"` // accepted rows in that time

	replayed int64      // of Accepted, were there already
	first    [kinds]int // line of the first row of each kind; 0: none
}

// Refused counts the rows that were refused, by the reason that the package comment gives for each. The
// first three are always in the JSON, the others when they are not 0.
type Refused struct {
	Quantity int64 `json:"quantity"`
	Price    int64 `json:"price"`
	Subunit  int64 `json:"subunit"`
	Number   int64 `json:"number,omitzero"`
	Range    int64 `json:"range,omitzero"`
	Invoice  int64 `json:"invoice,omitzero"`
	SKU      int64 `json:"sku,omitzero"`
	Text     int64 `json:"text,omitzero"`
}

// Mismatch is a cart that does not hold what the file says.
type Mismatch struct {
	Cart    string `json:"cart"`
	Want    Sums   `json:"want"` // from the file's rows
	Got     Sums   `json:"got"`  // from the server
	Problem string `json:"problem,omitzero"`
}

// String returns the difference in one line.
func (m Mismatch) String() string {
	s := fmt.Sprintf("cart %s: lines %d, want %d; units %d, want %d; total %d, want %d",
		m.Cart, m.Got.Lines, m.Want.Lines, m.Got.Units, m.Want.Units, m.Got.Total, m.Want.Total)
	if m.Problem != "" {
		s += "; " + m.Problem
	}
	return s
}

// reasons names what was not sent, in the order of the report.
var reasons = [...]struct {
	kind kind
	verb string
	text string
}{
	{kindCredit, "skipped", "credit notes and adjustments"},
	{kindQuantity, "refused", "Quantity not positive"},
	{kindPrice, "refused", "UnitPrice not positive"},
	{kindSubunit, "refused", "UnitPrice not a whole number of pence"},
	{kindNumber, "refused", "Quantity or UnitPrice no number"},
	{kindRange, "refused", "Quantity or UnitPrice beyond the limits"},
	{kindInvoice, "refused", "InvoiceNo no valid cart id"},
	{kindSKU, "refused", "StockCode blank, too long or no word"},
	{kindText, "refused", "Description too long or not text"},
}

// counter returns where rows of a kind that is not accepted are counted.
func (r *Report) counter(k kind) *int64 {
	switch k {
	case kindCredit:
		return &r.SkippedCredit
	case kindQuantity:
		return &r.Refused.Quantity
	case kindPrice:
		return &r.Refused.Price
	case kindSubunit:
		return &r.Refused.Subunit
	case kindNumber:
		return &r.Refused.Number
	case kindRange:
		return &r.Refused.Range
	case kindInvoice:
		return &r.Refused.Invoice
	case kindSKU:
		return &r.Refused.SKU
	case kindText:
		return &r.Refused.Text
	}
	panic(fmt.Sprintf("load: rows of kind %d are not counted here", k))
}

// count counts a row that is not sent.
func (r *Report) count(k kind, line int) {
	*r.counter(k)++
	if r.first[k] == 0 {
		r.first[k] = line
	}
}

// shownMismatches is how many WriteText lists: the JSON has all.
const shownMismatches = 50

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w) // keeps the first error until Flush
	line := func(what, number, more string) {
		fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("%-12s%15s  %s", what, number, more), " "))
	}
	line("rows", grouped(r.Rows), "")
	for _, reason := range reasons {
		if n := *r.counter(reason.kind); n > 0 {
			line("  "+reason.verb, grouped(n), fmt.Sprintf("%s, first on line %d", reason.text, r.first[reason.kind]))
		}
	}
	there := ""
	if r.replayed > 0 {
		there = grouped(r.replayed) + " of them were there already"
	}
	line("  accepted", grouped(r.Accepted), there)
	line("carts", grouped(r.Carts), "")
	line("lines", grouped(r.Lines), "")
	line("units", grouped(r.Units), "")
	line("total", pounds(r.Total), currency)
	line("time", strconv.FormatFloat(r.Seconds, 'f', 1, 64), fmt.Sprintf("seconds, %s rows/s", grouped(int64(r.RowsPerSecond))))
	line("mismatches", grouped(int64(len(r.Mismatches))), "")
	for i, m := range r.Mismatches {
		if i == shownMismatches {
			fmt.Fprintf(b, "  and %s more\n", grouped(int64(len(r.Mismatches)-i)))
			break
		}
		fmt.Fprintf(b, "  %v\n", m)
	}
	return b.Flush()
}

// grouped returns n with a comma between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// pounds returns pence as pounds with two decimals.
func pounds(pence int64) string {
	sign := ""
	whole, rest := pence/100, pence%100
	if pence < 0 {
		sign, whole, rest = "-", -whole, -rest
	}
	return fmt.Sprintf("%s%s.%02d", sign, grouped(whole), rest)
}
