package grain

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/messages"
)

func TestTheSameProductRaisesTheLine(t *testing.T) {
	first := func() *messages.AddItem {
		return &messages.AddItem{Sku: "A", Quantity: 2, Price: 100, Tax: 2500, Name: "old", Stock: new(int64(9))}
	}
	for name, tc := range map[string]struct {
		change func(*messages.AddItem)
		lines  int
	}{
		"all the same":       {func(*messages.AddItem) {}, 1},
		"name, stock, image": {func(m *messages.AddItem) { m.Name, m.Stock, m.Image, m.OrgPrice = "new", nil, "i", 200 }, 1},
		"empty store":        {func(m *messages.AddItem) { m.StoreId = new("") }, 1},
		"other case":         {func(m *messages.AddItem) { m.Sku = "a" }, 2},
		"price":              {func(m *messages.AddItem) { m.Price++ }, 2},
		"tax":                {func(m *messages.AddItem) { m.Tax = 600 }, 2},
		"priceExVat":         {func(m *messages.AddItem) { m.PriceExVat = true }, 2},
		"store":              {func(m *messages.AddItem) { m.StoreId = new("s") }, 2},
		"parent":             {func(m *messages.AddItem) { m.ParentId = new(uint32(1)) }, 2},
		"attributes":         {func(m *messages.AddItem) { m.Attributes = map[string]string{"a": ""} }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			m := proto.CloneOf(first())
			tc.change(m)
			b.must(t, first(), m)
			cart := decodeView(t, []byte(b.view()))
			if len(cart.Items) != tc.lines {
				t.Fatalf("%d lines, want %d", len(cart.Items), tc.lines)
			}
			last := cart.Items[tc.lines-1]
			if want := int64(4 / tc.lines); last.Qty != want || last.ID != uint32(tc.lines) {
				t.Errorf("line %d of %d, want line %d of %d", last.ID, last.Qty, tc.lines, want)
			}
			if last.Meta.Name != m.Name || last.OrgPrice.IncVat != max(m.OrgPrice, last.Price.IncVat) || (last.Stock == nil) != (m.Stock == nil) {
				t.Errorf("got name %q, orgPrice %d, stock %v; want those of the newest %v", last.Meta.Name, last.OrgPrice.IncVat, last.Stock, m)
			}
		})
	}
}

func TestAMarkedLineIsNotRaised(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 1, 100, 0), &messages.LineItemMarking{Id: 1, Marking: "To Ada"}, item("A", 1, 100, 0))
	if n := len(b.cart.lines); n != 2 {
		t.Fatalf("%d lines, want 2", n)
	}
	b.unchanged(t, &messages.LineItemMarking{Id: 1, Marking: "To Ada"})
	b.must(t, &messages.RemoveLineItemMarking{Id: 1}, item("A", 1, 100, 0))
	b.unchanged(t, &messages.RemoveLineItemMarking{Id: 1})
	if a, b := b.cart.lines[0].qty, b.cart.lines[1].qty; a != 2 || b != 1 {
		t.Errorf("quantities %d and %d, want 2 and 1: the first of two equal lines is raised, and they stay two", a, b)
	}
}

func TestLinesThatBecomeEqualAreFoundInALargeCart(t *testing.T) {
	b := newBench()
	for i := range 3 * indexFrom {
		m := item("A", 1, 100, 0)
		m.Attributes = map[string]string{"n": fmt.Sprint(i)}
		b.must(t, m)
	}
	check := func(line, qty int64) {
		t.Helper()
		if err := checkCart(&b.cart); err != nil {
			t.Fatal(err)
		}
		at, ok := b.cart.lineAt(uint32(line))
		if !ok || b.cart.lines[at].qty != qty || b.cart.index == nil {
			t.Fatalf("line %d: want %d units of it, found by an index", line, qty)
		}
	}
	for _, id := range []uint32{30, 10, 20} {
		b.must(t, &messages.LineItemAttributes{Id: id})
	}
	b.must(t, item("A", 1, 100, 0))
	check(10, 2)
	b.must(t, &messages.RemoveItem{Id: 10}, item("A", 1, 100, 0))
	check(20, 2)
	b.must(t, &messages.LineItemAttributes{Id: 20, Attributes: map[string]string{"n": "x"}}, item("A", 1, 100, 0))
	check(30, 2)
	b.must(t, &messages.RemoveItem{Id: 30}, item("A", 1, 100, 0))
	check(3*indexFrom+1, 1)
}

func TestRemovingALineRemovesWhatIsBelow(t *testing.T) {
	for _, remove := range []interface{ ProtoMessage() }{&messages.RemoveItem{Id: 1}, &messages.ChangeQuantity{Id: 1}} {
		b := newBench()
		under := func(sku string, parent uint32) *messages.AddItem {
			m := item(sku, 1, 100, 2500)
			m.ParentId = &parent
			return m
		}
		b.must(t, item("A", 1, 100, 2500), item("B", 1, 100, 600), under("A1", 1), under("B1", 2), under("A11", 3), under("A2", 1), under("A111", 5),
			&messages.SetDelivery{Provider: "p", Items: []uint32{7, 3}, Price: 10, Tax: 1200},
			&messages.SetDelivery{Provider: "p", Items: []uint32{1, 2}, Price: 10, Tax: 1200}, remove)
		if err := checkCart(&b.cart); err != nil {
			t.Fatal(err)
		}
		cart := decodeView(t, []byte(b.view()))
		if len(cart.Items) != 2 || cart.Items[0].ID != 2 || cart.Items[1].ID != 4 {
			t.Errorf("%T: left with %v, want lines 2 and 4", remove, cart.Items)
		}
		if len(cart.Deliveries) != 1 || cart.Deliveries[0].ID != 2 || len(cart.Deliveries[0].Items) != 1 {
			t.Errorf("%T: left with %v, want delivery 2 of one line", remove, cart.Deliveries)
		}
	}
}

func TestIDsAreNotGivenAgain(t *testing.T) {
	b := newBench()
	delivery := &messages.SetDelivery{Provider: "p", Items: []uint32{1}}
	b.must(t, item("A", 1, 1, 0), delivery, &messages.ClearCart{}, item("A", 1, 1, 0), item("B", 1, 1, 0),
		&messages.RemoveItem{Id: 3}, item("B", 1, 1, 0))
	delivery.Items = []uint32{2, 4}
	b.must(t, delivery)
	cart := decodeView(t, []byte(b.view()))
	if a, z, d := cart.Items[0].ID, cart.Items[1].ID, cart.Deliveries[0].ID; a != 2 || z != 4 || d != 2 {
		t.Errorf("lines %d, %d and delivery %d, want 2, 4 and 2", a, z, d)
	}
	b.must(t, &messages.ClearCart{})
	b.unchanged(t, &messages.ClearCart{})
}

func TestItemsOutOfBoundsAreRefused(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	for _, tc := range []struct {
		field  string
		change func(*messages.AddItem)
	}{
		{"quantity", func(m *messages.AddItem) { m.Quantity = 0 }},
		{"quantity", func(m *messages.AddItem) { m.Quantity = -1 }},
		{"quantity", func(m *messages.AddItem) { m.Quantity = 1_000_001 }},
		{"quantity", func(m *messages.AddItem) { m.Quantity = 1<<63 - 1 }},
		{"quantity", func(m *messages.AddItem) { m.Quantity = 999_999 }}, // with the two that are there
		{"price", func(m *messages.AddItem) { m.Price = -1 }},
		{"price", func(m *messages.AddItem) { m.Price = maxPrice + 1 }},
		{"orgPrice", func(m *messages.AddItem) { m.OrgPrice = -1 }},
		{"orgPrice", func(m *messages.AddItem) { m.OrgPrice = 1 << 62 }},
		{"quantity", func(m *messages.AddItem) { m.Price, m.Quantity = maxPrice, 1_000_000 }},
		{"quantity", func(m *messages.AddItem) { m.OrgPrice, m.Quantity = maxPrice, 999_998 }},
		{"tax", func(m *messages.AddItem) { m.Tax = -1 }},
		{"tax", func(m *messages.AddItem) { m.Tax = 10_001 }},
		{"stock", func(m *messages.AddItem) { m.Stock = new(int64(-1 << 63)) }},
		{"sku", func(m *messages.AddItem) { m.Sku = "" }},
		{"sku", func(m *messages.AddItem) { m.Sku = " " }},
		{"sku", func(m *messages.AddItem) { m.Sku = long(64) }},
		{"sku", func(m *messages.AddItem) { m.Sku = "a\nb" }},
		{"sku", func(m *messages.AddItem) { m.Sku = "\xff" }},
		{"name", func(m *messages.AddItem) { m.Name = long(512) }},
		{"name", func(m *messages.AddItem) { m.Name = "a\x00" }},
		{"image", func(m *messages.AddItem) { m.Image = long(2048) }},
		{"disclaimer", func(m *messages.AddItem) { m.Disclaimer = long(2048) }},
		{"brand", func(m *messages.AddItem) { m.Brand = long(256) }},
		{"sellerName", func(m *messages.AddItem) { m.SellerName = "\xc3" }},
		{"storeId", func(m *messages.AddItem) { m.StoreId = new(long(64)) }},
		{"parentId", func(m *messages.AddItem) { m.ParentId = new(uint32(2)) }},
		{"parentId", func(m *messages.AddItem) { m.ParentId = new(uint32(0)) }},
		{"country", func(m *messages.AddItem) { m.Country = "SWE" }},
		{"country", func(m *messages.AddItem) { m.Country = "1a" }},
		{"currency", func(m *messages.AddItem) { m.Currency = "gbp" }},
		{"currency", func(m *messages.AddItem) { m.Currency = "SEK" }},
		{"attributes", func(m *messages.AddItem) { m.Attributes = map[string]string{"": "x"} }},
		{"attributes", func(m *messages.AddItem) { m.Attributes = map[string]string{long(64): "x"} }},
		{"attributes", func(m *messages.AddItem) { m.Attributes = map[string]string{"x": long(256)} }},
		{"attributes", func(m *messages.AddItem) {
			m.Attributes = map[string]string{}
			for i := range 33 {
				m.Attributes[fmt.Sprint(i)] = ""
			}
		}},
	} {
		b := newBench()
		b.must(t, &messages.CartCreated{Currency: "GBP"}, item("A", 2, 100, 2500))
		m := item("A", 1, 100, 2500)
		tc.change(m)
		b.refused(t, m, codeInvalid, tc.field)
	}
}

func TestQuantitiesAreBoundedByTheLine(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 1_000_000, 1, 0), &messages.ChangeQuantity{Id: 1, Quantity: 7})
	b.unchanged(t, &messages.ChangeQuantity{Id: 1, Quantity: 7})
	b.refused(t, &messages.ChangeQuantity{Id: 1, Quantity: 1_000_001}, codeInvalid, "quantity")
	b.refused(t, &messages.ChangeQuantity{Id: 1, Quantity: -1}, codeInvalid, "quantity")
	b.refused(t, &messages.ChangeQuantity{Id: 2, Quantity: 1}, codeItemNotFound, "")
	b.refused(t, &messages.RemoveItem{Id: 2}, codeItemNotFound, "")
	b.refused(t, &messages.LineItemAttributes{Id: 2}, codeItemNotFound, "")
	b.refused(t, &messages.LineItemMarking{Id: 2}, codeItemNotFound, "")
	b.refused(t, &messages.RemoveLineItemMarking{Id: 2}, codeItemNotFound, "")
	b.refused(t, &messages.LineItemMarking{Id: 1, Marking: strings.Repeat("x", 257)}, codeInvalid, "marking")
}

func TestTheCartsTotalIsBounded(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 90_071, maxPrice, 0))
	b.refused(t, item("A", 1, maxPrice, 0), codeInvalid, "quantity")
	b.refused(t, item("B", 1, maxPrice, 0), codeInvalid, "quantity")
	b.refused(t, &messages.ChangeQuantity{Id: 1, Quantity: 90_072}, codeInvalid, "quantity")
	b.refused(t, &messages.SetDelivery{Provider: "p", Items: []uint32{1}, Price: maxPrice}, codeInvalid, "price")
	b.must(t, item("C", 1, maxMoney-90_071*maxPrice, 0))
	b.refused(t, item("D", 1, 1, 0), codeInvalid, "quantity")
	b.must(t, item("D", 1, 0, 0))
}

func TestLinesAreBounded(t *testing.T) {
	b := &bench{registry: Registry(Limits{MaxLines: 2, MaxQuantity: 3})}
	b.must(t, item("A", 1, 1, 0), item("B", 1, 1, 0))
	b.refused(t, item("C", 1, 1, 0), codeInvalid, "")
	b.must(t, item("A", 2, 1, 0))
	b.refused(t, item("A", 1, 1, 0), codeInvalid, "quantity")
}

func TestTheFirstCurrencyAndCountryAreTheCarts(t *testing.T) {
	b := newBench()
	m := item("B", 1, 1, 0)
	m.Currency, m.Country = "SEK", "se"
	b.must(t, item("A", 1, 1, 0), m, item("A", 1, 1, 0))
	if b.cart.Currency() != "SEK" || b.cart.country != "SE" || b.cart.Empty() {
		t.Errorf("got %s, %s; want SEK, SE", b.cart.Currency(), b.cart.country)
	}
	m.Currency, m.Country = "GBP", "GB"
	b.refused(t, m, codeInvalid, "currency")
	m.Currency = ""
	b.must(t, m)
	if b.cart.country != "SE" {
		t.Errorf("country %s, want SE: it is the cart's, not the last line's", b.cart.country)
	}
}

func TestAClearedCartStartsAnew(t *testing.T) {
	b := newBench()
	child := item("child", 1, 100, 0)
	child.ParentId = new(uint32(1))
	for i := range 2 * indexFrom {
		b.must(t, item(fmt.Sprint(i), 1, 100, 2500))
	}
	b.must(t, child, &messages.ClearCart{}, item("0", 1, 100, 2500))
	if err := checkCart(&b.cart); err != nil {
		t.Fatal(err)
	}
	if id, want := b.cart.lines[0].id, uint32(2*indexFrom+2); id != want {
		t.Errorf("line %d, want %d", id, want)
	}
}

func TestARaisedLineStaysInItsDelivery(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 1, 100, 0), &messages.SetDelivery{Provider: "p", Items: []uint32{1}}, item("A", 1, 100, 0))
	if err := checkCart(&b.cart); err != nil {
		t.Error(err)
	}
	b.must(t, &messages.ChangeQuantity{Id: 1, Quantity: 9}, &messages.LineItemAttributes{Id: 1, Attributes: map[string]string{"a": "b"}})
	if err := checkCart(&b.cart); err != nil {
		t.Error(err)
	}
	b.must(t, &messages.RemoveItem{Id: 1})
	if n := len(b.cart.deliveries); n != 0 {
		t.Errorf("%d deliveries, want 0", n)
	}
}
