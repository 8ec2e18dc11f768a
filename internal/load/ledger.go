package load

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unique"
)

// Limits of what the comparison at the end may hold in memory: about a gigabyte each.
const (
	maxCarts = 5_000_000
	maxLines = 20_000_000
)

// errTotal is met when the file's rows add up to more than 64 bits hold.
var errTotal = errors.New("the sum of its rows is beyond 64 bits")

// Sums is what a cart holds, as the file or the server has it.
type Sums struct {
	Lines int64 `json:"lines"` // one for each StockCode and price
	Units int64 `json:"units"`
	Total int64 `json:"total"` // pence, VAT included
}

// add adds the sums of another cart. What it is given comes from ledger.add, or was checked by it.
func (s *Sums) add(o Sums) {
	s.Lines += o.Lines
	s.Units += o.Units
	s.Total += o.Total
}

// cart is one invoice of the file. While rows are added, want belongs to the goroutine that reads the file
// and created to the cart's worker; when they are done, got and problem belong to the one that reads it back.
type cart struct {
	id      string
	queue   chan task // of its worker
	want    Sums
	created bool
	got     Sums
	problem string // why got cannot be compared, or empty
}

// ledger adds up what each cart must hold in the end, from the file alone. It belongs to one goroutine.
type ledger struct {
	carts []*cart // in order of their first row
	byID  map[string]*cart
	lines map[lineKey]struct{}
	total int64
}

// lineKey tells lines apart: cartd raises a line's quantity when SKU and price (and what all rows have in
// common) are the same.
type lineKey struct {
	cart  *cart
	sku   unique.Handle[string] // catalogues are smaller than what is bought from them
	price int64
}

func newLedger() *ledger {
	return &ledger{byID: make(map[string]*cart), lines: make(map[lineKey]struct{})}
}

// add counts an item and returns its cart. The cart has no queue yet when this is its first item.
func (l *ledger) add(it item) (*cart, error) {
	amount := it.quantity * it.price // both are bounded, so that this is below 2^57
	if l.total > math.MaxInt64-amount {
		return nil, errTotal
	}
	c := l.byID[it.cart]
	if c == nil {
		if len(l.carts) == maxCarts {
			return nil, fmt.Errorf("more than %d carts: split it between two invoices", maxCarts)
		}
		c = &cart{id: strings.Clone(it.cart)} // not a part of the row's text, which would live as long
		l.byID[c.id] = c
		l.carts = append(l.carts, c)
	}
	line := lineKey{c, unique.Make(it.sku), it.price}
	if _, known := l.lines[line]; !known {
		if len(l.lines) == maxLines {
			return nil, fmt.Errorf("more than %d lines of carts: split it between two invoices", maxLines)
		}
		l.lines[line] = struct{}{}
		c.want.Lines++
	}
	c.want.Units += it.quantity
	c.want.Total += amount
	l.total += amount
	return c, nil
}
