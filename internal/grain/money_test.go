package grain

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"cartd/pkg/messages"
)

func TestVATIsRoundedOnTheLine(t *testing.T) {
	for _, tc := range []struct {
		name     string
		rounding Rounding
		quote    quote
		qty      int64
		want     amount
	}{
		{"3 × 1.08 at 19 % without VAT, on the line", Rounding{}, quote{108, 1900, true}, 3, amount{324, 386}},
		{"3 × 1.08 at 19 % without VAT, on the unit", Rounding{PerUnit: true}, quote{108, 1900, true}, 3, amount{324, 387}},
		{"6 × 2.55 at 25 % with VAT", Rounding{}, quote{255, 2500, false}, 6, amount{1224, 1530}},
		{"no VAT", Rounding{}, quote{7, 0, false}, 3, amount{21, 21}},
		{"100 % without VAT", Rounding{}, quote{7, 10_000, true}, 3, amount{21, 42}},
		{"half way, half to even, down", Rounding{}, quote{2, 2500, true}, 1, amount{2, 2}},
		{"half way, half to even, up", Rounding{}, quote{6, 2500, true}, 1, amount{6, 8}},
		{"half way, half up", Rounding{Mode: RoundHalfUp}, quote{2, 2500, true}, 1, amount{2, 3}},
		{"half way, half down", Rounding{Mode: RoundHalfDown}, quote{6, 2500, true}, 1, amount{6, 7}},
		{"half way, half down, on the unit", Rounding{RoundHalfDown, true}, quote{2, 2500, true}, 4, amount{8, 8}},
		{"as much as there may be", Rounding{}, quote{maxMoney, 0, false}, 1, amount{maxMoney, maxMoney}},
	} {
		if got, ok := tc.rounding.times(tc.quote, tc.qty); got != tc.want || !ok {
			t.Errorf("%s: got %v, %t; want %v", tc.name, got, ok, tc.want)
		}
	}
}

func TestAmountsBeyondTheBoundAreRefused(t *testing.T) {
	for _, tc := range []struct {
		quote quote
		qty   int64
	}{
		{quote{maxMoney, 0, false}, 2},
		{quote{maxMoney, 1, true}, 1},
		{quote{1 << 62, 2500, false}, 4},
		{quote{1<<63 - 1, 10_000, true}, 1<<63 - 1},
	} {
		for _, r := range []Rounding{{}, {PerUnit: true}} {
			if got, ok := r.times(tc.quote, tc.qty); ok {
				t.Errorf("%v × %d with %v: got %v, want it refused", tc.quote, tc.qty, r, got)
			}
		}
	}
}

func TestRoundingAgreesWithRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rounding{Mode: RoundingMode(rapid.IntRange(0, 2).Draw(t, "mode"))}
		q := quote{rapid.Int64Range(0, maxPrice).Draw(t, "price"), rapid.Int32Range(0, fullRate).Draw(t, "tax"), rapid.Bool().Draw(t, "exVat")}
		qty := rapid.Int64Range(1, 10_000).Draw(t, "qty")
		got, ok := r.times(q, qty)
		entered := new(big.Int).Mul(big.NewInt(q.price), big.NewInt(qty))
		den := int64(fullRate)
		if !q.exVat {
			den += int64(q.tax)
		}
		vat := roundRat(new(big.Rat).SetFrac(new(big.Int).Mul(entered, big.NewInt(int64(q.tax))), big.NewInt(den)), r.Mode)
		ex, inc := new(big.Int).Sub(entered, vat), entered
		if q.exVat {
			ex, inc = entered, new(big.Int).Add(entered, vat)
		}
		if fits := inc.Cmp(big.NewInt(maxMoney)) <= 0; fits != ok {
			t.Fatalf("inc %v: ok is %t", inc, ok)
		}
		if ok && (got.ex != ex.Int64() || got.inc != inc.Int64()) {
			t.Fatalf("got %v, want %v, %v", got, ex, inc)
		}
	})
}

// roundRat rounds a number that is not negative.
func roundRat(x *big.Rat, mode RoundingMode) *big.Int {
	floor, rest := new(big.Int).DivMod(x.Num(), x.Denom(), new(big.Int))
	half := rest.Lsh(rest, 1).Cmp(x.Denom())
	if half > 0 || half == 0 && (mode == RoundHalfUp || mode == RoundHalfEven && floor.Bit(0) == 1) {
		floor.Add(floor, big.NewInt(1))
	}
	return floor
}

func TestRatesAreWrittenShortest(t *testing.T) {
	for tax, want := range map[int32]string{0: "0", 2500: "25", 550: "5.5", 1234: "12.34", 5: "0.05", 10_000: "100", 50: "0.5"} {
		if got := string(appendRate(nil, tax)); got != want {
			t.Errorf("%d: got %s, want %s", tax, got, want)
		}
	}
}

func TestThreeHundredRandomCartsSumExactly(t *testing.T) {
	carts := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 3 {
			b := newBench()
			for range rapid.IntRange(1, 20).Draw(t, "lines") {
				m := item(rapid.StringMatching(`[A-F]`).Draw(t, "sku"), rapid.Int64Range(1, 99).Draw(t, "qty"),
					rapid.Int64Range(0, 99_999).Draw(t, "price"), rapid.SampledFrom(testRates).Draw(t, "tax"))
				m.PriceExVat = rapid.Bool().Draw(t, "exVat")
				accept(t, b, m)
			}
			accept(t, b, &messages.SetDelivery{Provider: "p", Items: []uint32{1}, Price: 490, Tax: 600})
			decodeView(t, []byte(b.view())) // compares sums
			if err := checkCart(&b.cart); err != nil {
				t.Fatal(err)
			}
			carts++
		}
	})
	if carts < 300 && !testing.Short() && !t.Failed() {
		t.Errorf("%d carts, want 300", carts)
	}
}

// The first line's event says how the cart rounds; no later one, and no setting of a later day, changes it.
func TestTheFirstLineDecidesHowTheCartRounds(t *testing.T) {
	b := newBench()
	first := &messages.AddItem{Sku: "A", Quantity: 3, Price: 108, Tax: 1900, PriceExVat: true, TaxLevel: "unit", TaxRounding: "half-up"}
	b.must(t, &messages.CartCreated{}, first)
	if got := b.cart.total(); got != (amount{324, 387}) {
		t.Errorf("total %v, want 3.87 on the unit", got)
	}
	b.must(t, &messages.AddItem{Sku: "B", Quantity: 3, Price: 108, Tax: 1900, PriceExVat: true}, &messages.RemoveItem{Id: 1},
		&messages.AddItem{Sku: "C", Quantity: 1, Price: 2, Tax: 2500, PriceExVat: true, TaxRounding: "half-down"},
		&messages.SetDelivery{Provider: "p", Items: []uint32{2}, Price: 2, Tax: 2500, PriceExVat: true})
	if got := b.cart.total(); got != (amount{328, 387 + 3 + 3}) {
		t.Errorf("total %v, want the others rounded the same way", got)
	}
	b.must(t, &messages.ClearCart{}, &messages.AddItem{Sku: "B", Quantity: 3, Price: 108, Tax: 1900, PriceExVat: true})
	if got := b.cart.total().inc; got != 387 {
		t.Errorf("total %d after the cart was cleared, want 387", got)
	}
	b.refused(t, &messages.AddItem{Sku: "A", Quantity: 1, TaxRounding: "up"}, codeInvalid, "taxRounding")
	b.refused(t, &messages.AddItem{Sku: "A", Quantity: 1, TaxLevel: "cart"}, codeInvalid, "taxLevel")
}
