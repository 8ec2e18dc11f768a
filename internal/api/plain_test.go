package api

import (
	"strings"
	"testing"
)

// FuzzPlainAddIsReadAsDecodeReadsIt compares the quick way with the strict one.
func FuzzPlainAddIsReadAsDecodeReadsIt(f *testing.F) {
	for _, seed := range []string{
		`{"sku":"85123A","quantity":1}`, " {\t\"quantity\" : 0 ,\r\n\"country\":\"GB\" , \"sku\":\"\"} \n", `{"sku":"a","quantity":-7}`,
		`{"sku":"a","quantity":-0}`, `{"sku":"a","quantity":01}`, `{"sku":"a","quantity":1.0}`, `{"sku":"a","quantity":1e3}`, `{"sku":"a","quantity":-}`,
		`{"sku":"a","quantity":999999999999999999}`, `{"sku":"a","quantity":9223372036854775808}`, `{"sku":"a","quantity":"1"}`,
		`{"sku":"a","sku":"b","quantity":1}`, `{"sku":"a","quantity":1,"quantity":1}`, `{"sku":"a","quantity":1,"country":"","country":""}`,
		`{"sku":"\u0061","quantity":1}`, "{\"sku\":\"\xff\",\"quantity\":1}", `{"sku":"é","quantity":1}`, "{\"sku\":\"\x7f\",\"quantity\":1}", "{\"sku\":\"\n\",\"quantity\":1}",
		`{"SKU":"a","quantity":1}`, `{"sku":null,"quantity":1}`, `{"sku":"a","quantity":1}x`, `{"sku":"a","quantity":1},`, `{"sku":"a","quantity":1,}`,
		`{"sku":"a" "quantity":1}`, `{"sku":"a","quantity":1`, `{"sku":"a"`, `{"sku`, `{`, ``, `{}`, `[]`, `null`, `{"quantity":1}`, `{"sku":"a"}`, `{,"sku":"a","quantity":1}`,
		`{"sku":"a","quantity":1,"storeId":"s"}`, `{"items":[]}`, `{"sku":"a","quantity":+1}`, `{"sku":"a","quantity":1 2}`, "\ufeff{\"sku\":\"a\",\"quantity\":1}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		add, ok := decodePlainAdd(body(text))
		if !ok {
			return
		}
		var want addBody
		switch err := body(text).decode(&want); {
		case err != nil:
			t.Errorf("%q is taken; decode refuses it: %v", text, err)
		case want.SKU == nil || *want.SKU != add.sku || want.Quantity == nil || *want.Quantity != add.quantity || want.Country != add.country:
			t.Errorf("%q is read as %+v, by decode as %+v", text, add, want)
		case want.StoreID != nil || want.ParentID != nil || want.Attributes != nil || want.Items != nil:
			t.Errorf("%q: decode finds more: %+v", text, want)
		}
	})
}

func TestPlainAddIsReadTheQuickWay(t *testing.T) {
	for text, want := range map[string]plainAdd{
		`{"sku":"85123A","quantity":1}`:                           {sku: "85123A", quantity: 1},
		` { "quantity" : -20 , "sku" : "" , "country" : "gb" } `:  {country: "gb", quantity: -20},
		`{"quantity":` + strings.Repeat("9", 18) + `,"sku":"~ "}`: {sku: "~ ", quantity: 999_999_999_999_999_999},
	} {
		if got, ok := decodePlainAdd(body(text)); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, ok, want)
		}
	}
}
