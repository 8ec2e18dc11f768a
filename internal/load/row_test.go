package load

import (
	"strings"
	"testing"
)

func TestFirstReasonInOrderCounts(t *testing.T) {
	good := row{invoice: "536365", stockCode: "85123A", description: "Heart", quantity: "6", unitPrice: "2.55"}
	for _, tt := range []struct {
		change func(*row)
		want   kind
	}{
		{func(*row) {}, kindAccepted},
		{func(r *row) { r.description = "" }, kindAccepted},
		{func(r *row) { r.description = "two\nlines" }, kindAccepted},
		{func(r *row) { r.description = strings.Repeat("n", maxNameBytes) }, kindAccepted},
		{func(r *row) { r.invoice = "c536365" }, kindAccepted}, // the data's are upper case
		{func(r *row) { r.invoice = "C" }, kindCredit},
		{func(r *row) { *r = row{invoice: "C536379", quantity: "-1", unitPrice: "x"} }, kindCredit},
		{func(r *row) { *r = row{invoice: "A563185", quantity: "1", unitPrice: "-11062.06"} }, kindCredit},
		{func(r *row) { r.quantity, r.unitPrice = "-1", "0" }, kindQuantity},
		{func(r *row) { r.quantity, r.unitPrice, r.invoice = "0", "x", "" }, kindQuantity},
		{func(r *row) { r.unitPrice, r.stockCode = "0.00", "" }, kindPrice},
		{func(r *row) { r.quantity, r.unitPrice = "1000001", "0" }, kindPrice},
		{func(r *row) { r.quantity, r.unitPrice = "1000001", "0.001" }, kindSubunit},
		{func(r *row) { r.quantity, r.unitPrice = "1000001", "" }, kindNumber},
		{func(r *row) { r.quantity, r.unitPrice = "", "0" }, kindNumber},
		{func(r *row) { r.quantity, r.invoice = "1000001", "" }, kindRange},
		{func(r *row) { r.unitPrice = "1000000001" }, kindRange},
		{func(r *row) { r.invoice, r.stockCode = "", "" }, kindInvoice},
		{func(r *row) { r.invoice = " 536365" }, kindInvoice},
		{func(r *row) { r.invoice = "536365\n" }, kindInvoice},
		{func(r *row) { r.invoice = "../x" }, kindInvoice},
		{func(r *row) { r.invoice = strings.Repeat("1", 65) }, kindInvoice},
		{func(r *row) { r.stockCode, r.description = "", "\xff" }, kindSKU},
		{func(r *row) { r.stockCode = " \t" }, kindSKU},
		{func(r *row) { r.stockCode = "a\nb" }, kindSKU},
		{func(r *row) { r.stockCode = strings.Repeat("s", maxSKUBytes+1) }, kindSKU},
		{func(r *row) { r.description = "a\x00b" }, kindText},
		{func(r *row) { r.description = "\xff" }, kindText},
		{func(r *row) { r.description = strings.Repeat("n", maxNameBytes+1) }, kindText},
	} {
		r := good
		tt.change(&r)
		it, got := classify(r)
		if got != tt.want {
			t.Errorf("row %+v is %v, want %v", r, got, tt.want)
		}
		if got != kindAccepted && it != (item{}) {
			t.Errorf("row %+v is %v with %+v, want no item", r, got, it)
		}
	}
}
