package catalog

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzDecodeVouchers(f *testing.F) {
	f.Add(demoVouchers)
	f.Add([]byte(`[{"code":"a","kind":"amount","value":1,"skus":["b","a"],"validFrom":"2026-12-01T00:00:00.5+01:00","validTo":null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		vouchers, err := decodeVouchers(data)
		if err != nil {
			return
		}
		for _, v := range vouchers {
			if v.Code == "" || v.Value < 0 || v.Value > maxMoney || v.Kind == KindPercent && v.Value > maxTax || v.MinTotal < 0 || len(v.SKUs) > maxVoucherSKUs {
				t.Fatalf("accepted %+v, want only what doc.go allows", v)
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeVoucher(again, v.Code)
			if diff := cmp.Diff(v, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Fatalf("written and read again: %v, want the same (-want +got):\n%s", err, diff)
			}
		}
	})
}
