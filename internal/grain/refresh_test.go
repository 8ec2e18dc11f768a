package grain

import (
	"fmt"
	"strings"
	"testing"

	"cartd/pkg/messages"
)

func refresh(lines ...*messages.RefreshPrices_Line) *messages.RefreshPrices {
	return &messages.RefreshPrices{Lines: lines}
}

// warnings returns the warnings as code and line.
func warnings(t *testing.T, b *bench) string {
	t.Helper()
	var list []string
	for _, w := range decodeView(t, []byte(b.view())).Warnings {
		list = append(list, fmt.Sprintf("%s %d", w.Code, w.Item))
	}
	return strings.Join(list, ", ")
}

func TestRefreshTakesThePricesOfTheCatalogueAndWarns(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 2, 300, 2500), item("B", 1, 100, 600), item("C", 1, 100, 600), item("D", 1, 100, 0),
		&messages.SetDelivery{Provider: "p", Items: []uint32{1, 2}, Price: 5})
	b.must(t, refresh(
		&messages.RefreshPrices_Line{Id: 1, Price: 255, OrgPrice: 300, Tax: 600, Stock: new(int64(1)), Name: new("new name")},
		&messages.RefreshPrices_Line{Id: 2, Price: 100, Tax: 600},
		&messages.RefreshPrices_Line{Id: 3, Gone: true},
		&messages.RefreshPrices_Line{Id: 9, Price: 1}))
	if err := checkCart(&b.cart); err != nil {
		t.Fatal(err)
	}
	if got, want := warnings(t, b), "price_changed 1, out_of_stock 1, discontinued 3"; got != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
	cart := decodeView(t, []byte(b.view()))
	if l := cart.Items[0]; l.TotalPrice.IncVat != 510 || l.TotalPrice.Vat["6"] == 0 || l.OrgPrice.IncVat != 300 || l.Meta.Name != "new name" || *l.Stock != 1 {
		t.Errorf("line 1 is %+v", l)
	}
	if l := cart.Items[2]; l.Price.IncVat != 100 {
		t.Errorf("a line that nobody sells any more costs %d, want what it did", l.Price.IncVat)
	}
	if d := cart.Deliveries[0]; len(d.Items) != 2 || cart.TotalPrice.IncVat != 510+300+5 {
		t.Errorf("delivery %v, total %d", d, cart.TotalPrice.IncVat)
	}
}

func TestRefreshGivesACartWithoutACurrencyThatOfThePrices(t *testing.T) {
	inPounds := func(id uint32) *messages.RefreshPrices_Line {
		return &messages.RefreshPrices_Line{Id: id, Price: 100, Tax: 600, Currency: "GBP"}
	}
	b := newBench()
	b.must(t, item("A", 1, 100, 600), item("B", 1, 100, 600))
	b.refused(t, refresh(inPounds(1), &messages.RefreshPrices_Line{Id: 2, Price: 100, Tax: 600, Currency: "EUR"}), codeInvalid, "currency")
	b.must(t, refresh(inPounds(1), &messages.RefreshPrices_Line{Id: 2, Gone: true, Currency: "EUR"}))
	if got := b.cart.Currency(); got != "GBP" {
		t.Errorf("the cart is in %q, want GBP", got)
	}
	euro := item("C", 1, 100, 600)
	euro.Currency = "EUR"
	b.refused(t, euro, codeInvalid, "currency")
	same(t, b, restored(t, b))
}

func TestWarningsStayUntilTheLineChangesOrTheNextRefresh(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 2, 300, 0), item("B", 1, 100, 0), item("C", 1, 100, 0), item("D", 1, 100, 0))
	first := refresh(&messages.RefreshPrices_Line{Id: 1, Price: 255}, &messages.RefreshPrices_Line{Id: 2, Price: 90},
		&messages.RefreshPrices_Line{Id: 3, Gone: true}, &messages.RefreshPrices_Line{Id: 4, Price: 80})
	b.must(t, first, &messages.SetDelivery{Provider: "p", Items: []uint32{1}}, &messages.SetUserId{UserId: "u"})
	if got, want := warnings(t, b), "price_changed 1, price_changed 2, discontinued 3, price_changed 4"; got != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
	b.must(t, &messages.ChangeQuantity{Id: 1, Quantity: 1}, item("B", 1, 90, 0), &messages.LineItemMarking{Id: 4, Marking: "x"})
	if got, want := warnings(t, b), "discontinued 3"; got != want {
		t.Errorf("after changes: %q, want %q", got, want)
	}
	b.unchanged(t, refresh(&messages.RefreshPrices_Line{Id: 3, Gone: true}))
	b.must(t, refresh())
	if got := warnings(t, b); got != "" {
		t.Errorf("after another refresh: %q, want none", got)
	}
	b.unchanged(t, refresh())
	b.unchanged(t, refresh(&messages.RefreshPrices_Line{Id: 1, Price: 255}, &messages.RefreshPrices_Line{Id: 7, Gone: true}))
}

func TestARefreshThatCannotBeIsRefusedAsAWhole(t *testing.T) {
	fine := &messages.RefreshPrices_Line{Id: 1, Price: 1, Tax: 0}
	for field, bad := range map[string]*messages.RefreshPrices_Line{
		"price":    {Id: 2, Price: -1},
		"tax":      {Id: 2, Tax: 10_001},
		"orgPrice": {Id: 2, OrgPrice: -1},
		"stock":    {Id: 2, Stock: new(int64(1 << 62))},
		"name":     {Id: 2, Name: new("\xff")},
		"currency": {Id: 2, Currency: "SEK"},
		"lines":    {Id: 1},
		"quantity": {Id: 2, Price: maxPrice},
	} {
		b := newBench()
		b.must(t, &messages.CartCreated{Currency: "GBP"}, item("A", 1, 300, 0), item("B", 1_000_000, 100, 0))
		b.refused(t, refresh(fine, bad), codeInvalid, field)
	}
	b := newBench()
	b.must(t, item("A", 50_000, 1, 0), item("B", 50_000, 1, 0))
	b.refused(t, refresh(&messages.RefreshPrices_Line{Id: 1, Price: maxPrice}, &messages.RefreshPrices_Line{Id: 2, Price: maxPrice}), codeInvalid, "lines")
	b.refused(t, refresh(nil), codeInvalid, "lines")
}

// Prices are part of what tells lines apart: afterwards an item goes to the line that has its new price.
func TestARefreshedLineIsFoundByItsNewPrice(t *testing.T) {
	b := newBench()
	for i := range 2 * indexFrom {
		b.must(t, item(fmt.Sprint(i), 1, 100, 2500))
	}
	b.must(t, refresh(&messages.RefreshPrices_Line{Id: 5, Price: 90, Tax: 2500}), item("4", 1, 90, 2500), item("4", 1, 100, 2500))
	if err := checkCart(&b.cart); err != nil {
		t.Fatal(err)
	}
	if n, qty := len(b.cart.lines), b.cart.lines[4].qty; n != 2*indexFrom+1 || qty != 2 {
		t.Errorf("%d lines, %d units on line 5; want one line more, and 2 units", n, qty)
	}
}

// Checkout asks for the total that the cart shows: a voucher that has run out must not keep it from ever being right.
func TestRefreshOfAnUnchangedCartNoticesThatAVoucherHasRunOut(t *testing.T) {
	b := newBench()
	last := metaAt(3).Time
	b.must(t, item("A", 1, 1000, 0), &messages.AddVoucher{Code: "V", Kind: kindAmount, Value: 100, ValidTo: last.Format("2006-01-02T15:04:05.000Z07:00")})
	same := refresh(&messages.RefreshPrices_Line{Id: 1, Price: 1000})
	if v := voucherOf(t, b); !v.Applied {
		t.Fatalf("voucher %+v does not apply before its end", v)
	}
	b.must(t, same)
	if v := voucherOf(t, b); v.Applied || v.Value != 0 {
		t.Errorf("voucher is %+v after its end, want it not applied", v)
	}
	b.unchanged(t, same)
}
