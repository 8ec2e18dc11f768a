package readmodel

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"cartd/internal/grain"
)

// BenchmarkWrite writes 1,000 rows of 100,000 in one synced transaction, as a round does.
func BenchmarkWrite(b *testing.B) {
	const carts, batch = 100_000, 1000
	db, err := freshDB(filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	row := func(i, version int) *grain.Summary {
		return &grain.Summary{ID: fmt.Sprintf("%026d", i*7919%carts), Status: grain.StatusOpen, UserID: "u-17", Currency: "GBP", Total: 1867, Lines: 3,
			Version: uint64(version), Created: epoch, Updated: epoch.AddDate(0, 0, version)}
	}
	rows := make([]*grain.Summary, 0, carts)
	for i := range carts {
		rows = append(rows, row(i, 1))
	}
	db.NoSync = true
	for part := range slices.Chunk(rows, batchCarts) { // bbolt splits its pages at the end of a transaction
		if err := write(db, part, &state{}); err != nil {
			b.Fatal(err)
		}
	}
	db.NoSync = false
	n := 0
	for b.Loop() {
		rows = rows[:0]
		for range batch {
			rows = append(rows, row(n%carts, 2+n/carts))
			n++
		}
		if err := write(db, rows, &state{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkNote is what a commit pays.
func BenchmarkNote(b *testing.B) {
	m := &Model{}
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%026d", i)
	}
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		m.Note(&grain.Summary{ID: ids[i%1000], Version: i})
		m.Told(i, 1)
	}
}
