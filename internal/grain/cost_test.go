package grain

import (
	"fmt"
	"testing"

	"cartd/pkg/messages"
)

// vouchersFor are three vouchers that a cart of cartOf takes.
func vouchersFor() []*messages.AddVoucher {
	return []*messages.AddVoucher{
		{Code: "TEN", Kind: kindPercent, Value: 1000}, {Code: "SOME", Kind: kindAmount, Value: 70, Skus: []string{"SKU-00000", "SKU-00001"}},
		{Code: "FREE", Kind: kindFreeDelivery},
	}
}

// A change allocates the same in a cart of thousands of lines as in a small one: nothing in it is done line by line.
func TestAChangeAllocatesTheSameInALargeCart(t *testing.T) {
	for _, vouchers := range []bool{false, true} {
		allocs := map[int]float64{}
		for _, lines := range []int{indexFrom, 5000} {
			b := cartOf(t, lines)
			if vouchers {
				for _, m := range vouchersFor() {
					b.must(t, m)
				}
			}
			m := item(fmt.Sprintf("SKU-%05d", lines/2), 1, 255, 2500)
			m.Name, m.Currency = "White hanging heart", "GBP"
			set := &messages.ChangeQuantity{Id: uint32(lines/2 + 1), Quantity: 1}
			allocs[lines] = testing.AllocsPerRun(100, func() { b.must(t, m, set) })
		}
		if allocs[indexFrom] != allocs[5000] {
			t.Errorf("vouchers %t: allocations by lines %v, want the same", vouchers, allocs)
		}
	}
}

// BenchmarkRecount counts the totals of a cart from nothing, which no change ever does: for comparison with AddItem.
func BenchmarkRecount(b *testing.B) {
	for _, lines := range []int{1, 100, 1000, 5000} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			bench := cartOf(b, lines)
			b.ReportAllocs()
			for b.Loop() {
				var t totals
				for i := range bench.cart.lines {
					t.add(bench.cart.lines[i].total, bench.cart.lines[i].product.tax)
				}
				if t.sum != bench.cart.items.sum {
					b.Fatal("the recount differs")
				}
			}
		})
	}
}
