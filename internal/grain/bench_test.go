package grain

import (
	"fmt"
	"testing"

	"cartd/pkg/messages"
)

func cartOf(tb testing.TB, lines int) *bench {
	b := newBench()
	for i := range lines {
		m := item(fmt.Sprintf("SKU-%05d", i), 1, 255, 2500)
		m.Name, m.Currency = "White hanging heart", "GBP"
		b.must(tb, m)
	}
	return b
}

// BenchmarkAddItem applies an item to carts of several sizes, in memory alone: to a line that is there, or as a new
// line that is taken away again.
func BenchmarkAddItem(b *testing.B) {
	for _, lines := range []int{1, 100, 1000, 5000} {
		b.Run(fmt.Sprintf("lines=%d/line=there", lines), func(b *testing.B) {
			bench := cartOf(b, lines)
			m := item(fmt.Sprintf("SKU-%05d", lines/2), 1, 255, 2500)
			set := &messages.ChangeQuantity{Id: uint32(lines/2 + 1), Quantity: 1}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				bench.must(b, m)
				if i%100_000 == 99_999 {
					bench.must(b, set)
				}
			}
		})
		b.Run(fmt.Sprintf("lines=%d/line=there/vouchers=3", lines), func(b *testing.B) {
			bench := cartOf(b, lines)
			for _, m := range vouchersFor() {
				bench.must(b, m)
			}
			m := item(fmt.Sprintf("SKU-%05d", lines/2), 1, 255, 2500)
			set := &messages.ChangeQuantity{Id: uint32(lines/2 + 1), Quantity: 1}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				bench.must(b, m)
				if i%100_000 == 99_999 {
					bench.must(b, set)
				}
			}
		})
		b.Run(fmt.Sprintf("lines=%d/line=new", lines), func(b *testing.B) {
			bench := cartOf(b, lines-1)
			m := item("new", 1, 255, 2500)
			b.ReportAllocs()
			for b.Loop() {
				bench.must(b, m)
				bench.must(b, &messages.RemoveItem{Id: bench.cart.lastLine})
			}
		})
	}
}

func BenchmarkClone(b *testing.B) {
	for _, lines := range []int{7, 5000} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			bench := cartOf(b, lines)
			b.ReportAllocs()
			for b.Loop() {
				bench.cart.Clone()
			}
		})
	}
}

func BenchmarkAppendView(b *testing.B) {
	for _, lines := range []int{7, 675} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			bench := cartOf(b, lines)
			info := bench.info()
			dst := AppendView(nil, &bench.cart, info)
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendView(dst[:0], &bench.cart, info)
			}
		})
	}
}

// BenchmarkState encodes carts for a snapshot and decodes them, in memory alone; each line has attributes of its own.
func BenchmarkState(b *testing.B) {
	for _, lines := range []int{25, 5000} {
		bench := newBench()
		for i := range lines {
			bench.must(b, &messages.AddItem{ItemId: uint32(i), Sku: fmt.Sprintf("SKU-%05d", i), Quantity: 2, Price: 255, OrgPrice: 300, Tax: 2500,
				Name: "White hanging heart T-light holder", Image: fmt.Sprintf("https://img.example/p/%05d.jpg", i), Stock: new(int64(12)),
				Attributes: map[string]string{"colour": "white", "row": fmt.Sprint(i)}, Brand: "Hearts", Category: "lights", Currency: "GBP"})
		}
		data := appendState(nil, &bench.cart)
		b.Run(fmt.Sprintf("do=encode/lines=%d", lines), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				appendState(nil, &bench.cart)
			}
		})
		b.Run(fmt.Sprintf("do=decode/lines=%d", lines), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeState(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendPayload(b *testing.B) {
	m := item("85123A", 6, 255, 2500)
	m.Name, m.Currency, m.Country = "White hanging heart", "GBP", "GB"
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendPayload(dst[:0], m)
	}
}
