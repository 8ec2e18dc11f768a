package load

import (
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPriceIsWholePenceOrRefusedWithItsReason(t *testing.T) {
	for _, tt := range []struct {
		in    string
		pence int64
		kind  kind
	}{
		{"2.55", 255, kindAccepted},
		{"4", 400, kindAccepted},
		{"0.1", 10, kindAccepted},
		{"0.01", 1, kindAccepted},
		{"002.550", 255, kindAccepted},
		{"2.5500000000000000000000000000000000000", 255, kindAccepted},
		{"1000000000.00", maxPence, kindAccepted},
		{"1000000000.01", 0, kindRange},
		{"92233720368547758.08", 0, kindRange},
		{strings.Repeat("9", 400), 0, kindRange},
		{"0", 0, kindPrice},
		{"0.00", 0, kindPrice},
		{"-0", 0, kindPrice},
		{"-2.55", 0, kindPrice},
		{"-0.001", 0, kindPrice},
		{"0.001", 0, kindSubunit},
		{"2.555", 0, kindSubunit},
		{strings.Repeat("9", 400) + ".001", 0, kindSubunit},
		{"", 0, kindNumber},
		{"-", 0, kindNumber},
		{".", 0, kindNumber},
		{".5", 0, kindNumber},
		{"5.", 0, kindNumber},
		{"+5", 0, kindNumber},
		{"--5", 0, kindNumber},
		{" 5", 0, kindNumber},
		{"5\n", 0, kindNumber},
		{"1e2", 0, kindNumber},
		{"1,000", 0, kindNumber},
		{"1.0.0", 0, kindNumber},
		{"0x10", 0, kindNumber},
		{"NaN", 0, kindNumber},
		{"٣", 0, kindNumber},
	} {
		if pence, kind := parsePence(tt.in); pence != tt.pence || kind != tt.kind {
			t.Errorf("parsePence(%.50q) = %d, %v; want %d, %v", tt.in, pence, kind, tt.pence, tt.kind)
		}
	}
}

func TestQuantityIsAPositiveIntegerOrRefusedWithItsReason(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int64
		kind kind
	}{
		{"1", 1, kindAccepted},
		{"006", 6, kindAccepted},
		{"1000000", 1_000_000, kindAccepted},
		{"1000001", 0, kindRange},
		{"2147483648", 0, kindRange},
		{"9223372036854775808", 0, kindRange},
		{"18446744073709551617", 0, kindRange},
		{"0", 0, kindQuantity},
		{"-0", 0, kindQuantity},
		{"-1", 0, kindQuantity},
		{"-99999999999999999999", 0, kindQuantity},
		{"", 0, kindNumber},
		{"1.5", 0, kindNumber},
		{"6.0", 0, kindNumber},
		{"+6", 0, kindNumber},
		{"6 ", 0, kindNumber},
		{"six", 0, kindNumber},
	} {
		if n, kind := parseQuantity(tt.in); n != tt.n || kind != tt.kind {
			t.Errorf("parseQuantity(%q) = %d, %v; want %d, %v", tt.in, n, kind, tt.n, tt.kind)
		}
	}
}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// exactPence is parsePence by way of rational numbers.
func exactPence(s string) (int64, kind) {
	if !decimal.MatchString(s) {
		return 0, kindNumber
	}
	r, _ := new(big.Rat).SetString(s)
	r.Mul(r, big.NewRat(100, 1))
	switch {
	case r.Sign() <= 0:
		return 0, kindPrice
	case !r.IsInt():
		return 0, kindSubunit
	case r.Cmp(big.NewRat(maxPence, 1)) > 0:
		return 0, kindRange
	}
	return r.Num().Int64(), kindAccepted
}

func TestPriceAgreesWithRationalNumbers(t *testing.T) {
	gen := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,14}(\.[0-9]{1,5})?`), rapid.StringMatching(`-?0{0,3}[0-9]{0,3}\.?[0-9]{0,2}0{0,4}`))
	rapid.Check(t, func(t *rapid.T) {
		s := gen.Draw(t, "price")
		got, kind := parsePence(s)
		if want, wantKind := exactPence(s); got != want || kind != wantKind {
			t.Fatalf("parsePence(%q) = %d, %v; want %d, %v", s, got, kind, want, wantKind)
		}
	})
}

func FuzzPriceAgreesWithRationalNumbers(f *testing.F) {
	for _, s := range []string{"2.55", "-1", "0.001", "1e9", "", "0.", "00.10", "1000000000.01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 {
			return
		}
		got, kind := parsePence(s)
		if want, wantKind := exactPence(s); got != want || kind != wantKind {
			t.Errorf("parsePence(%q) = %d, %v; want %d, %v", s, got, kind, want, wantKind)
		}
	})
}
