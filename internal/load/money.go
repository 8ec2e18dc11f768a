package load

import "strings"

// maxPence is the highest unit price that is sent: a thousand million pounds. Times maxQuantity it stays
// well inside 64 bits.
const maxPence = 100_000_000_000

// maxQuantity is the highest quantity that cartd takes in one row.
const maxQuantity = 1_000_000

// parsePence returns a decimal number of pounds ("2.55", "4", "-1.50", "2.550") in whole pence, exactly.
// The kind is kindAccepted, or says why there is no such amount: kindNumber, kindPrice (zero or negative),
// kindSubunit, kindRange; the amount is 0 then. Signs other than one leading minus, spaces, exponents,
// group separators and a missing digit on either side of the point make it no number.
func parsePence(s string) (int64, kind) {
	s, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(fraction) {
		return 0, kindNumber
	}
	rest := strings.TrimRight(fraction, "0") // "2.550" is 255 pence
	if negative || rest == "" && strings.Trim(whole, "0") == "" {
		return 0, kindPrice
	}
	if len(rest) > 2 {
		return 0, kindSubunit
	}
	for len(rest) < 2 {
		rest += "0"
	}
	pence, ok := parseDigits(whole+rest, maxPence)
	if !ok {
		return 0, kindRange
	}
	return pence, kindAccepted
}

// parseQuantity returns an integer of 1 to maxQuantity. The kind is kindAccepted, or kindNumber,
// kindQuantity (zero or negative) or kindRange; the quantity is 0 then.
func parseQuantity(s string) (int64, kind) {
	s, negative := strings.CutPrefix(s, "-")
	if !digits(s) {
		return 0, kindNumber
	}
	if negative || strings.Trim(s, "0") == "" {
		return 0, kindQuantity
	}
	n, ok := parseDigits(s, maxQuantity)
	if !ok {
		return 0, kindRange
	}
	return n, kindAccepted
}

// digits reports whether s is one or more ASCII digits.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseDigits returns the value of ASCII digits of any number, false when it is above limit. limit is
// below a tenth of 2^63, so that one more digit cannot overflow.
func parseDigits(s string, limit int64) (int64, bool) {
	var n int64
	for i := range len(s) {
		n = n*10 + int64(s[i]-'0')
		if n > limit {
			return 0, false
		}
	}
	return n, true
}
