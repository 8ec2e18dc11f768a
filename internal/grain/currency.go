package grain

import "strconv"

// exponents has the currencies of ISO 4217 whose minor unit is not the hundredth part.
var exponents = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"CLF": 4, "UYW": 4,
}

// Exponent returns how many decimal places the minor unit of a currency stands for: 2 for GBP, 0 for JPY, 3 for BHD.
// It is 2 for a code that ISO 4217 does not list. Amounts are integers everywhere; this is for showing them to people.
func Exponent(currency string) int {
	if e, ok := exponents[currency]; ok {
		return e
	}
	return 2
}

// appendMoney appends an amount that is not negative for people to read: 20.00 GBP, 2000 JPY, 1.250 BHD. Without a
// currency it is the bare number of minor units.
func appendMoney(dst []byte, n int64, currency string) []byte {
	if currency == "" {
		return strconv.AppendInt(dst, n, 10)
	}
	e := Exponent(currency)
	unit := int64(1)
	for range e {
		unit *= 10
	}
	dst = strconv.AppendInt(dst, n/unit, 10)
	if e > 0 {
		dst = append(dst, '.')
		for place := unit / 10; place > 0; place /= 10 {
			dst = append(dst, '0'+byte(n/place%10))
		}
	}
	return append(append(dst, ' '), currency...)
}
