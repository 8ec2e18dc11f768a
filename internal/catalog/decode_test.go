package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeFile returns the path of a new file with that content.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalogue.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileWithErrorsIsRefusedAndSaysWhich(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, tc := range []struct{ name, content, want string }{
		{"empty file", ``, "byte 0"},
		{"not JSON", `sku;price`, "byte 1"},
		{"cut off", `[{"sku":"a"`, "unexpected end"},
		{"null", `null`, "not a JSON array"},
		{"object", `{"sku":"a","name":"A","price":1,"tax":0}`, "not a JSON array"},
		{"something behind it", `[] []`, "byte 4"},
		{"trailing comma", `[{"sku":"a","name":"A","price":1,"tax":0},]`, "byte 43"},
		{"not UTF-8", "[{\"sku\":\"\xff\",\"name\":\"A\",\"price\":1,\"tax\":0}]", "not UTF-8"},
		{"null entry", `[null]`, `entry 0 (""): sku is empty`},
		{"number as entry", `[7]`, `entry 0 (""): is a JSON number, not an object`},
		{"no sku", `[{"name":"A","price":1,"tax":0}]`, "sku is empty"},
		{"long sku", `[{"sku":"` + long + `","name":"A","price":1,"tax":0}]`, "sku is longer than 64 bytes"},
		{"control character", `[{"sku":"a\u0007","name":"A","price":1,"tax":0}]`, "sku has a control character"},
		{"no name", `[{"sku":"a","price":1,"tax":0}]`, "name is missing"},
		{"long name", `[{"sku":"a","name":"` + long + `","price":1,"tax":0}]`, "name is longer than 512 bytes"},
		{"NUL in a text", `[{"sku":"a","name":"A","price":1,"tax":0,"brand":"x\u0000"}]`, "brand has a NUL"},
		{"long image", `[{"sku":"a","name":"A","price":1,"tax":0,"image":"` + long + `"}]`, "image is longer than 2048 bytes"},
		{"no price", `[{"sku":"a","name":"A","tax":0}]`, `entry 0 ("a"): price is missing`},
		{"null price", `[{"sku":"a","name":"A","price":null,"tax":0}]`, "price is missing"},
		{"negative price", `[{"sku":"a","name":"A","price":-1,"tax":0}]`, "price -1 is not within 0 and 100000000000"},
		{"absurd price", `[{"sku":"a","name":"A","price":100000000001,"tax":0}]`, "price 100000000001 is not within"},
		{"price in pounds", `[{"sku":"a","name":"A","price":2.55,"tax":0}]`, "price cannot be number 2.55"},
		{"price beyond 64 bits", `[{"sku":"a","name":"A","price":9223372036854775808,"tax":0}]`, "price cannot be number"},
		{"price as text", `[{"sku":"a","name":"A","price":"255","tax":0}]`, `entry 0 ("a"): price cannot be string`},
		{"negative orgPrice", `[{"sku":"a","name":"A","price":1,"orgPrice":-5,"tax":0}]`, "orgPrice -5 is not within"},
		{"no tax", `[{"sku":"a","name":"A","price":1}]`, "tax is missing"},
		{"tax over all", `[{"sku":"a","name":"A","price":1,"tax":10001}]`, "tax 10001 is not within 0 and 10000"},
		{"absurd stock", `[{"sku":"a","name":"A","price":1,"tax":0,"stock":1000000000000}]`, "stock 1000000000000 is not within"},
		{"stock as text", `[{"sku":"a","name":"A","price":1,"tax":0,"stock":"many"}]`, "stock cannot be string"},
		{"negative itemId", `[{"sku":"a","name":"A","price":1,"tax":0,"itemId":-1}]`, "itemId cannot be number -1"},
		{"currency in lower case", `[{"sku":"a","name":"A","price":1,"tax":0,"currency":"gbp"}]`, `currency "gbp" is not three letters`},
		{"twice the same", `[{"sku":"a","name":"A","price":1,"tax":0},{"sku":"a","name":"A","price":2,"tax":0}]`, `entry 1 ("a"): the SKU is that of entry 0 too`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := Open(t.Context(), writeFile(t, tc.content), Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Open is %v, %v, want an error with %q", p, err, tc.want)
			}
			if len(err.Error()) > 2000 {
				t.Errorf("error has %d bytes, want at most 2000", len(err.Error()))
			}
		})
	}
}

func TestFileErrorsAreReportedTogetherUpToALimit(t *testing.T) {
	var entries []string
	for i := range 50 {
		entries = append(entries, fmt.Sprintf(`{"sku":"s%d","name":"A","price":-1,"tax":0}`, i))
	}
	_, err := Open(t.Context(), writeFile(t, "["+strings.Join(entries, ",")+"]"), Options{})
	if err == nil {
		t.Fatal("Open accepts 50 negative prices, want an error")
	}
	for _, want := range []string{`entry 0 ("s0")`, `entry 19 ("s19")`, "and 30 more problems"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error is %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "s20") {
		t.Errorf("error is %q, want nothing of entry 20", err)
	}
}

func TestFileGivesEveryFieldAndIgnoresOthers(t *testing.T) {
	content := "\ufeff" + `[{"sku":"å/1","itemId":7,"name":"N","price":255,"orgPrice":300,"tax":2500,"priceExVat":true,
		"stock":-2,"image":"i","brand":"b","category":"c","currency":"SEK","type":"t","disclaimer":"d",
		"saleStatus":"s","sellerId":"si","sellerName":"sn","weight":{"kg":[1,2]}}, {"sku":"b","name":"B","price":0,"tax":0}]`
	p, err := Open(t.Context(), writeFile(t, content), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	stock := int64(-2)
	want := Product{SKU: "å/1", ItemID: 7, Name: "N", Price: 255, OrgPrice: 300, Tax: 2500, PriceExVat: true,
		Stock: &stock, Image: "i", Brand: "b", Category: "c", Currency: "SEK", Type: "t", Disclaimer: "d",
		SaleStatus: "s", SellerID: "si", SellerName: "sn"}
	got, err := p.Product(t.Context(), "å/1", "se")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Product: %v, want it as in the file (-want +got):\n%s", err, diff)
	}
	if got, err := p.Product(t.Context(), "b", "no country at all"); err != nil || got.Stock != nil {
		t.Errorf("Product b is %+v, %v, want no stock and no error", got, err)
	}
	for _, sku := range []string{"B", " b", "", "b\x00", strings.Repeat("b", 65), "\xff"} {
		if got, err := p.Product(t.Context(), sku, ""); !errors.Is(err, ErrUnknownSKU) {
			t.Errorf("Product %q is %+v, %v, want ErrUnknownSKU", sku, got, err)
		}
	}
}

func TestFileThatIsNotThereOrTooLongIsRefused(t *testing.T) {
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none.json"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of a missing file is %v, want os.ErrNotExist", err)
	}
	if _, err := Open(t.Context(), t.TempDir(), Options{}); err == nil {
		t.Error("Open accepts a directory, want an error")
	}
	path := writeFile(t, "[]")
	if err := os.Truncate(path, maxFileBytes+1); err != nil { // sparse
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("Open of 64 MiB and a byte is %v, want an error that says so", err)
	}
}

func TestDeliveryFileWithErrorsIsRefusedAndSaysWhich(t *testing.T) {
	for _, tc := range []struct{ name, content, want string }{
		{"no provider", `[{"price":1,"tax":0}]`, "provider is empty"},
		{"no price", `[{"provider":"p","tax":0}]`, `entry 0 ("p"): price is missing`},
		{"no tax", `[{"provider":"p","price":1}]`, "tax is missing"},
		{"negative price", `[{"provider":"p","price":-490,"tax":0}]`, "price -490 is not within"},
		{"bad country", `[{"provider":"p","price":1,"tax":0,"countries":["GB","UK1"]}]`, `country "UK1" is not two letters`},
		{"country that only looks upper-case", `[{"provider":"p","price":1,"tax":0,"countries":["ſe"]}]`, "is not two letters"},
		{"country as a number", `[{"provider":"p","price":1,"tax":0,"countries":[44]}]`, "countries cannot be number"},
		{"countries as text", `[{"provider":"p","price":1,"tax":0,"countries":"GB"}]`, "countries cannot be string"},
		{"twice everywhere", `[{"provider":"p","price":1,"tax":0},{"provider":"p","price":2,"tax":0,"countries":[]}]`, `country "" are those of entry 0 too`},
		{"twice the same country", `[{"provider":"p","price":1,"tax":0,"countries":["GB","SE"]},{"provider":"p","price":2,"tax":0,"countries":["se"]}]`, `entry 1 ("p"): provider and country "SE" are those of entry 0 too`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := OpenDeliveries(t.Context(), writeFile(t, tc.content), Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("OpenDeliveries is %v, %v, want an error with %q", d, err, tc.want)
			}
		})
	}
}

func TestDeliveryForItsCountryWinsOverTheOneForEverywhere(t *testing.T) {
	d, err := OpenDeliveries(t.Context(), writeFile(t, `[
		{"provider":"dpd","price":1,"tax":0,"countries":["se"]},
		{"provider":"dpd","price":2,"tax":0},
		{"provider":"dpd","price":3,"tax":0,"countries":["GB","IE"]},
		{"provider":"local","price":4,"tax":0,"countries":["GB"]},
		{"provider":"local","price":5,"tax":0,"countries":["IE"]}]`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		provider, country string
		want              int64 // -1: unknown
	}{
		{"dpd", "SE", 1}, {"dpd", "ie", 3}, {"dpd", "DE", 2}, {"dpd", "", 2},
		{"local", "gb", 4}, {"local", "IE", 5}, {"local", "", 4}, {"local", "DE", -1},
		{"local", "G", -1}, {"local", "GBR", -1}, {"none", "GB", -1}, {"", "GB", -1}, {"LOCAL", "GB", -1},
	} {
		got, err := d.Delivery(t.Context(), tc.provider, tc.country)
		if tc.want < 0 {
			if !errors.Is(err, ErrUnknownProvider) {
				t.Errorf("Delivery %q to %q is %+v, %v, want ErrUnknownProvider", tc.provider, tc.country, got, err)
			}
			continue
		}
		if err != nil || got.Price != tc.want {
			t.Errorf("Delivery %q to %q is %+v, %v, want price %d", tc.provider, tc.country, got, err, tc.want)
		}
	}
}

func FuzzDecodeProducts(f *testing.F) {
	f.Add(demoProducts)
	f.Add([]byte(`[{"sku":"a","name":"A","price":1,"tax":0,"stock":null}]`))
	f.Add([]byte(`[{"sku":"a","name":"A","price":1e3,"tax":0},{"SKU":"\u00e5","price":-0}]`))
	f.Add([]byte(`[[[[]]]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		products, err := decodeProducts(data)
		if err != nil {
			return
		}
		for sku, p := range products {
			if p.SKU != sku || len(sku) == 0 || len(sku) > 64 || p.Price < 0 || p.Price > 100_000_000_000 || p.Tax < 0 || p.Tax > 10_000 {
				t.Fatalf("accepted %+v as %q, want only what doc.go allows", p, sku)
			}
			again, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeProduct(again, sku)
			if diff := cmp.Diff(p, got); err != nil || diff != "" {
				t.Fatalf("written and read again: %v, want the same (-want +got):\n%s", err, diff)
			}
		}
	})
}

func FuzzDecodeDeliveries(f *testing.F) {
	f.Add(demoDeliveries)
	f.Add([]byte(`[{"provider":"p","price":1,"tax":0,"countries":["gb",""]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decodeDeliveries(data)
		if err != nil {
			return
		}
		for provider, all := range list {
			for _, d := range all {
				for _, c := range append(d.Countries, "") {
					if got, ok := all.to(c); !ok || got.Provider != provider || got.Price < 0 || got.Price > 100_000_000_000 {
						t.Fatalf("%q to %q is %+v, %t, want an offer", provider, c, got, ok)
					}
				}
			}
		}
	})
}
