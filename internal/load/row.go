package load

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What cartd takes; a longer text would be refused there.
const (
	maxSKUBytes  = 64  // of a StockCode
	maxNameBytes = 512 // of a Description
)

// cartID is the form of an id that a backend may give a cart.
var cartID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// kind says what becomes of a row. The package comment gives the order in which they are judged.
type kind int

const (
	kindAccepted kind = iota
	kindCredit        // skipped: a credit note or an adjustment
	kindQuantity
	kindPrice
	kindSubunit
	kindNumber
	kindRange
	kindInvoice
	kindSKU
	kindText
	kinds // how many there are
)

// String returns the word that the package comment and the report's JSON have for k.
func (k kind) String() string {
	return [kinds]string{"accepted", "credit", "quantity", "price", "subunit", "number", "range", "invoice", "sku", "text"}[k]
}

// item is what an accepted row adds to its cart.
type item struct {
	cart     string // InvoiceNo
	sku      string // StockCode
	name     string // Description, may be empty
	quantity int64  // 1 to maxQuantity
	price    int64  // pence for one, 1 to maxPence
}

// classify returns what becomes of a row, and the item if it is kindAccepted. Nothing is corrected or
// guessed: a space before a number makes it no number.
func classify(r row) (item, kind) {
	if r.invoice != "" && (r.invoice[0] == 'C' || r.invoice[0] == 'A') {
		return item{}, kindCredit
	}
	// Numbers beyond the limits are judged after all that the data's own table counts.
	quantity, q := parseQuantity(r.quantity)
	if q == kindNumber || q == kindQuantity {
		return item{}, q
	}
	price, p := parsePence(r.unitPrice)
	if p != kindAccepted && p != kindRange {
		return item{}, p
	}
	switch {
	case q == kindRange || p == kindRange:
		return item{}, kindRange
	case !cartID.MatchString(r.invoice):
		return item{}, kindInvoice
	case len(r.stockCode) > maxSKUBytes || !isText(r.stockCode) || !isWord(r.stockCode):
		return item{}, kindSKU
	case len(r.description) > maxNameBytes || !isText(r.description):
		return item{}, kindText
	}
	return item{cart: r.invoice, sku: r.stockCode, name: r.description, quantity: quantity, price: price}, kindAccepted
}

// isText reports whether s is UTF-8 without NUL, which is what JSON and every store carry unchanged. Line
// breaks may be in it.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// isWord reports whether s has something to see in it and no control character.
func isWord(s string) bool {
	return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, unicode.IsControl)
}
