package grain

import (
	"math/bits"
	"strconv"
)

// maxMoney bounds every amount that a cart shows: the largest integer that a reader of JSON which keeps numbers as
// IEEE 754 doubles, such as a browser, takes exactly (RFC 8259, section 6).
const maxMoney = 1<<53 - 1

// fullRate is 100 % in hundredths of a per cent.
const fullRate = 10_000

// RoundingMode says what becomes of an amount of VAT that lies between two minor units.
type RoundingMode uint8

const (
	RoundHalfEven RoundingMode = iota // to the nearer one; half way to the even one
	RoundHalfUp                       // to the nearer one; half way to the greater one
	RoundHalfDown                     // to the nearer one; half way to the smaller one
)

// Rounding says how VAT is rounded. The zero value rounds half to even, on the line.
type Rounding struct {
	Mode    RoundingMode
	PerUnit bool // VAT is rounded on one unit and then multiplied, instead of on the whole line
}

// parseRounding returns what taxRounding and taxLevel of a mutation mean.
func parseRounding(mode, level string) (r Rounding, err error) {
	switch mode {
	case "", "half-even":
	case "half-up":
		r.Mode = RoundHalfUp
	case "half-down":
		r.Mode = RoundHalfDown
	default:
		return r, invalid("taxRounding", "taxRounding must be half-even, half-up or half-down.")
	}
	switch level {
	case "", "line":
	case "unit":
		r.PerUnit = true
	default:
		return r, invalid("taxLevel", "taxLevel must be line or unit.")
	}
	return r, nil
}

// names returns what parseRounding makes r of.
func (r Rounding) names() (mode, level string) {
	if r.PerUnit {
		level = "unit"
	}
	return [...]string{RoundHalfEven: "", RoundHalfUp: "half-up", RoundHalfDown: "half-down"}[r.Mode], level
}

// amount is a price at one rate of VAT; the VAT itself is the difference.
type amount struct{ ex, inc int64 }

func (a amount) vat() int64 { return a.inc - a.ex }

// quote is a price as it was entered: with VAT, or without.
type quote struct {
	price int64 // of one unit, not negative
	tax   int32 // hundredths of a per cent, 0 to fullRate
	exVat bool  // price is without VAT
}

// times returns what qty units come to, and false if that is more than maxMoney. Neither price nor qty is negative.
func (r Rounding) times(q quote, qty int64) (amount, bool) {
	if r.PerUnit {
		unit, ok := r.vat(q.price, q)
		if !ok {
			return amount{}, false
		}
		ex, fits := multiply(unit.ex, qty)
		inc, fitsInc := multiply(unit.inc, qty)
		return amount{ex, inc}, fits && fitsInc
	}
	entered, ok := multiply(q.price, qty)
	if !ok {
		return amount{}, false
	}
	return r.vat(entered, q)
}

// vat splits or completes the amount that was entered, at q's rate.
func (r Rounding) vat(entered int64, q quote) (amount, bool) {
	if entered > maxMoney {
		return amount{}, false
	}
	if q.exVat {
		inc := entered + r.share(entered, q.tax, fullRate) // at most twice maxMoney
		return amount{entered, inc}, inc <= maxMoney
	}
	return amount{entered - r.share(entered, q.tax, fullRate+int64(q.tax)), entered}, true
}

// share returns a·num/den, rounded. a is not negative and num not greater than den, so the result is at most a; the
// product has up to 67 bits.
func (r Rounding) share(a int64, num int32, den int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(num))
	quotient, rest := bits.Div64(hi, lo, uint64(den))
	switch double := 2 * rest; {
	case double > uint64(den),
		double == uint64(den) && (r.Mode == RoundHalfUp || r.Mode == RoundHalfEven && quotient%2 == 1):
		quotient++
	}
	return int64(quotient)
}

// multiply returns a·b, and false if that is more than maxMoney. Neither is negative.
func multiply(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo & maxMoney), hi == 0 && lo <= maxMoney
}

// appendRate appends a rate in per cent, written shortest: 2500 is 25, 550 is 5.5.
func appendRate(dst []byte, tax int32) []byte {
	dst = strconv.AppendInt(dst, int64(tax)/100, 10)
	cents := byte(tax % 100)
	if cents == 0 {
		return dst
	}
	dst = append(dst, '.', '0'+cents/10)
	if cents%10 != 0 {
		dst = append(dst, '0'+cents%10)
	}
	return dst
}
