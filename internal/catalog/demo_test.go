package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"cartd/internal/catalog"
)

func TestDemoCatalogueHasWhatTheDocumentsUse(t *testing.T) {
	for _, source := range []string{"", "demo"} {
		products, err := catalog.Open(t.Context(), source, catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, country := range []string{"", "GB", "se"} {
			p, err := products.Product(t.Context(), "85123A", country)
			if err != nil {
				t.Fatal(err)
			}
			if p.ItemID != 4711 || p.Name != "White hanging heart" || p.Price != 255 || p.OrgPrice != 300 || p.Tax != 2500 ||
				p.PriceExVat || p.Stock == nil || *p.Stock != 12 || p.Currency != "GBP" {
				t.Errorf("85123A is %+v, want item 4711, White hanging heart, 255 instead of 300, tax 2500, 12 in stock, GBP", p)
			}
		}
		if err := products.Close(); err != nil {
			t.Errorf("Close is %v, want nil", err)
		}
	}
	deliveries, err := catalog.OpenDeliveries(t.Context(), "demo", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := deliveries.Delivery(t.Context(), "postnord", "GB"); err != nil || d.Price != 490 || d.Tax != 2500 {
		t.Errorf("postnord is %+v, %v, want 490 with tax 2500", d, err)
	}
	if d, err := deliveries.Delivery(t.Context(), "royalmail-24", "SE"); !errors.Is(err, catalog.ErrUnknownProvider) {
		t.Errorf("royalmail-24 to SE is %+v, %v, want ErrUnknownProvider", d, err)
	}
}

func TestDemoCatalogueIsPlausible(t *testing.T) {
	data, err := os.ReadFile("demo_products.json")
	if err != nil {
		t.Fatal(err)
	}
	var products []catalog.Product
	if err := json.Unmarshal(data, &products); err != nil {
		t.Fatal(err)
	}
	if len(products) < 30 {
		t.Errorf("%d products, want 30 or more", len(products))
	}
	items := make(map[uint32]string)
	soldOut := 0
	for _, p := range products {
		if other, twice := items[p.ItemID]; twice || p.ItemID == 0 {
			t.Errorf("item id of %s is %d, that of %q, want its own", p.SKU, p.ItemID, other)
		}
		items[p.ItemID] = p.SKU
		if p.OrgPrice != 0 && p.OrgPrice <= p.Price {
			t.Errorf("orgPrice of %s is %d, want more than the price %d", p.SKU, p.OrgPrice, p.Price)
		}
		if p.Stock != nil && *p.Stock == 0 {
			soldOut++
		}
	}
	if soldOut == 0 {
		t.Error("no product is sold out, want one to try the warning with")
	}
}

func ExampleOpen() {
	ctx := context.Background()
	products, err := catalog.Open(ctx, "demo", catalog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer products.Close()
	p, err := products.Product(ctx, "85123A", "GB")
	fmt.Println(p.Name, p.Price, err)
	_, err = products.Product(ctx, "85123a", "GB")
	fmt.Println(err)
	// Output:
	// White hanging heart 255 <nil>
	// unknown sku "85123a"
}

// BenchmarkProduct is a look-up in the built-in catalogue: what an add costs at the least here.
func BenchmarkProduct(b *testing.B) {
	products, err := catalog.Open(b.Context(), "demo", catalog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.Run("source=demo", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := products.Product(ctx, "85123A", "GB"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestDemoLookUpDoesNotAllocate(t *testing.T) {
	products, err := catalog.Open(t.Context(), "demo", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = products.Product(ctx, "85123A", "GB") }); n != 0 {
		t.Errorf("%v allocations per look-up, want 0", n)
	}
}
