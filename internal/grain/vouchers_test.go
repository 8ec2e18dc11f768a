package grain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// voucherOf returns the first voucher of the cart as callers see it.
func voucherOf(t *testing.T, b *bench) viewVoucher {
	t.Helper()
	cart := decodeView(t, []byte(b.view()))
	if len(cart.Vouchers) == 0 {
		t.Fatal("the cart has no voucher")
	}
	return cart.Vouchers[0]
}

func TestVouchersTakeOffWhatTheySay(t *testing.T) {
	for _, tc := range []struct {
		name     string
		vouchers []*messages.AddVoucher
		want     string // totalDiscount: exVat, incVat, vat
	}{
		{"10 % of the goods, not of the delivery", []*messages.AddVoucher{{Kind: kindPercent, Value: 1000}}, "{277 303 map[0:0 25:20 6:6]}"},
		{"an amount, split by largest remainder", []*messages.AddVoucher{{Kind: kindAmount, Value: 100}}, "{91 100 map[0:0 25:7 6:2]}"},
		{"one unit goes to one rate", []*messages.AddVoucher{{Kind: kindAmount, Value: 1}}, "{1 1 map[6:0]}"},
		{"for one SKU", []*messages.AddVoucher{{Kind: kindPercent, Value: 5000, Skus: []string{"A", "x"}}}, "{400 500 map[25:100]}"},
		{"more than there is", []*messages.AddVoucher{{Kind: kindAmount, Value: 99_999}}, "{2774 3033 map[0:0 25:200 6:59]}"},
		{"free delivery", []*messages.AddVoucher{{Kind: kindFreeDelivery}}, "{392 490 map[25:98]}"},
		{"two that take it all, and one too many", []*messages.AddVoucher{{Kind: kindAmount, Value: 3000}, {Kind: kindPercent, Value: 5000},
			{Kind: kindAmount, Value: 1}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench()
			b.must(t, item("A", 1, 1000, 2500), item("B", 1, 1000, 600), item("B", 1, 33, 600), item("C", 1, 1000, 0),
				&messages.SetDelivery{Provider: "p", Items: []uint32{1}, Price: 490, Tax: 2500})
			for i, m := range tc.vouchers {
				m.Code = fmt.Sprint("V", i)
				b.must(t, m)
			}
			if err := checkCart(&b.cart); err != nil {
				t.Fatal(err)
			}
			cart := decodeView(t, []byte(b.view()))
			if got := fmt.Sprint(cart.TotalDiscount); tc.want != "" && got != tc.want {
				t.Errorf("takes off %s, want %s", got, tc.want)
			}
			if len(tc.vouchers) == 3 {
				values := []int64{cart.Vouchers[0].Value, cart.Vouchers[1].Value, cart.Vouchers[2].Value}
				if !slices.Equal(values, []int64{3000, 33, 0}) || cart.Vouchers[2].Applied || cart.TotalPrice.IncVat != 490 {
					t.Errorf("take off %v and leave %d, want 3000, 33 and 0, and the delivery", values, cart.TotalPrice.IncVat)
				}
			}
		})
	}
}

func TestAVoucherSaysWhyItDoesNotApply(t *testing.T) {
	at := func(version uint64) string { return metaAt(version).Time.Format(time.RFC3339Nano) }
	for _, tc := range []struct {
		name    string
		voucher *messages.AddVoucher
		reason  string
		remedy  []actor.Mutation // after these it applies
	}{
		{"currency", &messages.AddVoucher{Currency: "SEK"}, "It is for carts in SEK.", nil},
		{"minimum", &messages.AddVoucher{Currency: "BHD", MinTotal: 1250}, "The goods must come to 1.250 BHD.", []actor.Mutation{&messages.ChangeQuantity{Id: 1, Quantity: 13}}},
		{"goods", &messages.AddVoucher{Skus: []string{"B"}}, "None of the goods that it is for is in the cart.", []actor.Mutation{item("B", 1, 1, 0)}},
		{"user", &messages.AddVoucher{OncePerUser: true}, "It is for shoppers who have logged in.", []actor.Mutation{&messages.SetUserId{UserId: "u"}}},
		{"too early", &messages.AddVoucher{ValidFrom: at(4)}, "It is valid from " + metaAt(4).Time.Format(timeFormat) + ".", []actor.Mutation{item("A", 1, 100, 2500)}},
		{"too late", &messages.AddVoucher{ValidTo: at(3)}, "It was valid until " + metaAt(3).Time.Format(timeFormat) + ".", nil},
		{"delivery", &messages.AddVoucher{Kind: kindFreeDelivery, Value: 0}, "There is no delivery yet that could be free.",
			[]actor.Mutation{&messages.SetDelivery{Provider: "p", Items: []uint32{1}, Price: 5}}},
		{"nothing left", &messages.AddVoucher{Kind: kindPercent, Value: 1}, "There is nothing left that it could be taken off.",
			[]actor.Mutation{&messages.ChangeQuantity{Id: 1, Quantity: 1000}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench()
			b.must(t, &messages.CartCreated{Currency: "BHD"}, item("A", 1, 100, 2500))
			if m := tc.voucher; m.Kind == "" {
				m.Kind, m.Value = kindAmount, 1
			}
			tc.voucher.Code = "V"
			b.must(t, tc.voucher)
			if v := voucherOf(t, b); v.Applied || v.Reason != tc.reason || v.Value != 0 {
				t.Errorf("got %+v, want the reason %q", v, tc.reason)
			}
			if tc.remedy == nil {
				return
			}
			b.must(t, tc.remedy...)
			if v := voucherOf(t, b); !v.Applied || v.Value == 0 {
				t.Errorf("after the remedy: %+v", v)
			}
		})
	}
}

func TestVouchersComeAndGo(t *testing.T) {
	b := newBench()
	ten := func() *messages.AddVoucher { return &messages.AddVoucher{Code: "TEN", Kind: kindPercent, Value: 1000} }
	b.must(t, item("A", 1, 1000, 2500), ten())
	b.unchanged(t, ten())
	better := ten()
	better.Value = 2000
	b.must(t, better)
	if v := voucherOf(t, b); v.ID != 1 || v.Value != 200 || len(b.cart.vouchers) != 1 {
		t.Errorf("with a new definition: %+v, want voucher 1 of 200", v)
	}
	b.refused(t, &messages.RemoveVoucher{Id: 2}, codeVoucherNotFound, "")
	b.must(t, &messages.RemoveVoucher{Id: 1})
	if cart := decodeView(t, []byte(b.view())); cart.TotalPrice.IncVat != 1000 || len(cart.TotalDiscount.Vat) != 0 {
		t.Errorf("removed: %s", b.view())
	}
	b.must(t, ten())
	if v := voucherOf(t, b); v.ID != 2 {
		t.Errorf("id %d, want 2: ids are not given again", v.ID)
	}
	b.must(t, &messages.ClearCart{})
	if v := voucherOf(t, b); v.Applied {
		t.Error("applies in an empty cart")
	}
	b.must(t, item("A", 2, 1000, 2500))
	if v := voucherOf(t, b); v.Value != 200 {
		t.Errorf("takes off %d, want 200: vouchers stay when the cart is cleared", v.Value)
	}
	for i := range maxVouchers - 1 {
		b.must(t, &messages.AddVoucher{Code: fmt.Sprint(i), Kind: kindAmount, Value: 1})
	}
	b.refused(t, &messages.AddVoucher{Code: "one more", Kind: kindAmount, Value: 1}, codeInvalid, "")
}

func TestDefinitionsOutOfBoundsAreRefused(t *testing.T) {
	for _, tc := range []struct {
		field  string
		change func(*messages.AddVoucher)
	}{
		{"code", func(m *messages.AddVoucher) { m.Code = "" }},
		{"code", func(m *messages.AddVoucher) { m.Code = "a\n" }},
		{"code", func(m *messages.AddVoucher) { m.Code = strings.Repeat("x", 65) }},
		{"description", func(m *messages.AddVoucher) { m.Description = strings.Repeat("x", 257) }},
		{"kind", func(m *messages.AddVoucher) { m.Kind = "Percent" }},
		{"value", func(m *messages.AddVoucher) { m.Value = 0 }},
		{"value", func(m *messages.AddVoucher) { m.Value = 10_001 }},
		{"value", func(m *messages.AddVoucher) { m.Kind, m.Value = kindAmount, maxPrice+1 }},
		{"value", func(m *messages.AddVoucher) { m.Kind = kindFreeDelivery }},
		{"currency", func(m *messages.AddVoucher) { m.Currency = "gbp" }},
		{"minTotal", func(m *messages.AddVoucher) { m.MinTotal = -1 }},
		{"minTotal", func(m *messages.AddVoucher) { m.MinTotal = 1 << 60 }},
		{"usageLimit", func(m *messages.AddVoucher) { m.UsageLimit = -1 }},
		{"skus", func(m *messages.AddVoucher) { m.Skus = []string{""} }},
		{"skus", func(m *messages.AddVoucher) { m.Skus = make([]string, 501) }},
		{"validFrom", func(m *messages.AddVoucher) { m.ValidFrom = "2026-12-01" }},
		{"validTo", func(m *messages.AddVoucher) { m.ValidTo = "0001-01-01T00:00:00Z" }},
		{"validTo", func(m *messages.AddVoucher) { m.ValidFrom, m.ValidTo = "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z" }},
	} {
		b := newBench()
		b.must(t, item("A", 1, 1000, 2500))
		m := &messages.AddVoucher{Code: "V", Kind: kindPercent, Value: 1000}
		tc.change(m)
		b.refused(t, m, codeInvalid, tc.field)
	}
}

// A voucher that ends while the cart is frozen ends for the next cart: what is paid is what was frozen. One that ended
// before is no longer in the total that the checkout is for.
func TestVouchersAreReckonedAsTheCartIsFrozen(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 1, 1000, 2500), &messages.AddVoucher{Code: "V", Kind: kindPercent, Value: 1000, ValidTo: metaAt(4).Time.Format(time.RFC3339Nano)})
	b.must(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(900))})
	b.version++ // time goes on
	if got := b.cart.total().inc; got != 900 {
		t.Errorf("frozen at %d, want 900", got)
	}
	b.must(t, &messages.AbortCheckout{})
	if got := b.cart.total().inc; got != 1000 {
		t.Errorf("open again at %d, want 1000", got)
	}

	late := newBench()
	late.must(t, item("A", 1, 1000, 2500), &messages.AddVoucher{Code: "V", Kind: kindPercent, Value: 1000, ValidTo: metaAt(3).Time.Format(time.RFC3339Nano)})
	late.refused(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(900))}, codeTotalChanged, "expectedTotal")
	late.must(t, &messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(1000))})
	if v := voucherOf(t, late); v.Applied {
		t.Error("a voucher that is over applies")
	}
}

// A discount is split in proportion: no rate's part is a whole unit off, and what lines and vouchers come to sums up.
func TestDiscountsAreSplitExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		for i := range rapid.IntRange(1, 12).Draw(t, "lines") {
			m := item(fmt.Sprint("S", i), rapid.Int64Range(1, 9).Draw(t, "qty"), rapid.Int64Range(0, 99_999).Draw(t, "price"), rapid.SampledFrom(testRates).Draw(t, "tax"))
			m.PriceExVat = rapid.Bool().Draw(t, "exVat")
			if i == 0 {
				m.TaxRounding = rapid.SampledFrom([]string{"half-even", "half-up", "half-down"}).Draw(t, "rounding")
				m.TaxLevel = rapid.SampledFrom([]string{"line", "unit"}).Draw(t, "level")
			}
			accept(t, b, m)
		}
		goods := b.cart.items.clone()
		value := rapid.OneOf(rapid.Int64Range(1, 500), rapid.Int64Range(1, 500_000)).Draw(t, "value")
		accept(t, b, &messages.AddVoucher{Code: "V", Kind: kindAmount, Value: value})
		off := b.cart.discount
		if want := min(value, goods.sum.inc); off.sum.inc != want {
			t.Fatalf("takes off %d, want %d", off.sum.inc, want)
		}
		for _, r := range goods.rates {
			part := int64(0)
			if i, ok := off.find(r.tax); ok {
				part = off.rates[i].sum.inc
			}
			// |part - off·r/goods| < 1, without fractions
			if d := part*goods.sum.inc - off.sum.inc*r.sum.inc; d <= -goods.sum.inc || d >= goods.sum.inc {
				if goods.sum.inc > 0 {
					t.Fatalf("%d of %d at rate %d, of %d off %d", part, r.sum.inc, r.tax, off.sum.inc, goods.sum.inc)
				}
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			_ = b.apply(voucherGen.Draw(t, "voucher"))
		}
		if err := checkCart(&b.cart); err != nil {
			t.Fatal(err)
		}
		decodeView(t, []byte(b.view()))
	})
}

// Lines of one unit have no VAT each, though their sum would.
func TestADiscountNeverTakesMoreVATThanThereIs(t *testing.T) {
	for off := int64(1); off <= 5; off++ {
		b := newBench()
		for i := range 4 {
			b.must(t, item(fmt.Sprint(i), 1, 1, 2500))
		}
		b.must(t, &messages.AddVoucher{Code: "V", Kind: kindAmount, Value: off})
		if err := checkCart(&b.cart); err != nil {
			t.Errorf("%d off: %v", off, err)
		}
		if total := b.cart.total(); total.vat() != 0 || total.inc != max(4-off, 0) {
			t.Errorf("%d off leaves %v", off, total)
		}
	}
}
