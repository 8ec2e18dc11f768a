package catalog_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cartd/internal/catalog"
)

func TestDemoVouchersHaveWhatTheDocumentsUse(t *testing.T) {
	vouchers, err := catalog.OpenVouchers(t.Context(), "demo", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer vouchers.Close()
	for _, typed := range []string{"WELCOME10", "welcome10", " Welcome10 "} {
		if v, err := vouchers.Voucher(t.Context(), typed); err != nil || v.Code != "WELCOME10" || v.Kind != catalog.KindPercent || v.Value != 1000 {
			t.Errorf("%q is %+v, %v, want 10 %% off", typed, v, err)
		}
	}
	for _, typed := range []string{"", "WELCOME", "a\x00", strings.Repeat("x", 65), "\xff"} {
		if v, err := vouchers.Voucher(t.Context(), typed); !errors.Is(err, catalog.ErrUnknownVoucher) {
			t.Errorf("%q is %+v, %v, want ErrUnknownVoucher", typed, v, err)
		}
	}
}

func openVouchers(t *testing.T, list string) (*catalog.Vouchers, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vouchers.json")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	return catalog.OpenVouchers(t.Context(), file, catalog.Options{})
}

func TestVouchersOfAFileAreReadWhole(t *testing.T) {
	vouchers, err := openVouchers(t, `[{"code":"x-Mas","kind":"amount","value":500,"description":"d","currency":"SEK","minTotal":9,
		"skus":["b","a"],"validFrom":"2026-12-01T00:00:00+01:00","validTo":"2026-12-25T00:00:00Z","oncePerUser":true,"usageLimit":3,"note":"ignored"}]`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vouchers.Voucher(t.Context(), "X-MAS")
	if err != nil {
		t.Fatal(err)
	}
	if v.Code != "x-Mas" || v.Value != 500 || v.Currency != "SEK" || v.MinTotal != 9 || strings.Join(v.SKUs, ",") != "a,b" || !v.OncePerUser || v.UsageLimit != 3 ||
		!v.ValidFrom.Equal(time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)) || !v.ValidTo.Equal(time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", v)
	}
}

func TestBadVoucherFilesAreRefusedWithTheEntry(t *testing.T) {
	for list, want := range map[string]string{
		`{}`:                             "not a JSON array",
		`[{"code":"A"}]`:                 `entry 0 ("A"): kind`,
		`[{"kind":"x"}]`:                 "code is empty",
		`[{"code":" A"}]`:                "white space",
		`[{"code":"A","kind":"amount"}]`: "value 0 is not within 1",
		`[{"code":"A","kind":"percent","value":10001}]`:                                                                 "value 10001 is not within 1 and 10000",
		`[{"code":"A","kind":"freeDelivery","value":5}]`:                                                                "value 5",
		`[{"code":"A","kind":"percent","value":1.5}]`:                                                                   "value cannot be",
		`[{"code":"A","kind":"percent","value":1,"currency":"gbp"}]`:                                                    "currency",
		`[{"code":"A","kind":"percent","value":1,"minTotal":-1}]`:                                                       "minTotal",
		`[{"code":"A","kind":"percent","value":1,"usageLimit":-1}]`:                                                     "usageLimit",
		`[{"code":"A","kind":"percent","value":1,"skus":[""]}]`:                                                         "one of skus is empty",
		`[{"code":"A","kind":"percent","value":1,"validFrom":"2026-12-24"}]`:                                            "validFrom",
		`[{"code":"A","kind":"percent","value":1,"validTo":5}]`:                                                         "validTo cannot be number",
		`[{"code":"A","kind":"percent","value":1,"validFrom":"2026-12-24T00:00:00Z","validTo":"2026-12-24T00:00:00Z"}]`: "not after",
		`[{"code":"A","kind":"percent","value":1},{"code":"a","kind":"percent","value":1}]`:                             "that of entry 0 too",
	} {
		if _, err := openVouchers(t, list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", list, err, want)
		}
	}
}

func TestVouchersComeFromATemplateAsTheyWereTyped(t *testing.T) {
	base, n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.RequestURI {
		case "/v/Ten%2F1":
			_, _ = io.WriteString(w, `{"code":"TEN/1","kind":"percent","value":1000}`)
		case "/v/other":
			_, _ = io.WriteString(w, `{"code":"TEN","kind":"percent","value":1000}`)
		default:
			http.NotFound(w, r)
		}
	})
	vouchers, err := catalog.OpenVouchers(t.Context(), base+"/v/{code}", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer vouchers.Close()
	for range 2 {
		if v, err := vouchers.Voucher(t.Context(), "Ten/1"); err != nil || v.Code != "TEN/1" {
			t.Errorf("got %+v, %v", v, err)
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d requests, want 1", n.Load())
	}
	if _, err := vouchers.Voucher(t.Context(), "none"); !errors.Is(err, catalog.ErrUnknownVoucher) {
		t.Errorf("none is %v, want ErrUnknownVoucher", err)
	}
	if _, err := vouchers.Voucher(t.Context(), "other"); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("an answer for another code is %v, want ErrUnavailable", err)
	}
}

func TestVouchersComeFromAListAtAURL(t *testing.T) {
	base, n := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"code":"a","kind":"percent","value":1},{"code":"B","kind":"freeDelivery"}]`)
	})
	vouchers, err := catalog.OpenVouchers(t.Context(), base+"/vouchers.json", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer vouchers.Close()
	for _, code := range []string{"A", "b"} {
		if v, err := vouchers.Voucher(t.Context(), code); err != nil || !strings.EqualFold(v.Code, code) {
			t.Errorf("%s is %+v, %v", code, v, err)
		}
	}
	if _, err := vouchers.Voucher(t.Context(), "c"); !errors.Is(err, catalog.ErrUnknownVoucher) {
		t.Errorf("c is %v, want ErrUnknownVoucher", err)
	}
	if n.Load() != 1 {
		t.Errorf("%d requests, want 1 for all", n.Load())
	}
}
