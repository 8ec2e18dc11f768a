package grain

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// voucher is one that the cart has, whether or not it takes anything off at present.
type voucher struct {
	id       uint32
	terms    *terms // never changed, only replaced
	eligible totals // of the lines that it is for; kept only if it is for some SKUs alone
	value    int64  // what it takes off, VAT included
	obstacle obstacle
	barred   obstacle // the one that the voucher itself has found, by its uses among all carts; mostly none
	reserved bool     // the checkout, or the order, has a use of it
}

// terms are a voucher's definition, as it was when the voucher was added.
type terms struct {
	code, kind, description string
	value                   int64 // minor units, or hundredths of a per cent
	currency                string
	minTotal                int64
	skus                    []string // sorted; empty: for all
	from, to                int64    // Unix time in milliseconds, the latter no longer valid; 0: no bound
	oncePerUser             bool
	usageLimit              int64 // 0: none
}

// The kinds of vouchers.
const (
	kindAmount       = "amount"
	kindPercent      = "percent"
	kindFreeDelivery = "freeDelivery"
)

// obstacle is why a voucher takes nothing off. The zero value is nothing: it applies.
type obstacle uint8

const (
	applies       obstacle = iota
	otherCurrency          // the cart's is not the voucher's
	tooEarly
	tooLate
	unknownUser  // once per user, and nobody knows whose cart it is
	belowMinimum // of the lines' total
	otherGoods   // no line is of a SKU that it is for
	noDelivery   // that could be free
	nothingLeft  // that it could be taken off
	usedUp       // as often as it may be, among all carts
	usedByUser   // once per user, and this one has
)

func (c *Cart) voucherAt(id uint32) (int, bool) {
	return slices.BinarySearchFunc(c.vouchers, id, func(v voucher, id uint32) int { return cmp.Compare(v.id, id) })
}

// covers reports whether the voucher is for some SKUs alone, and this is one of them.
func (v *voucher) covers(sku string) bool {
	if len(v.terms.skus) == 0 {
		return false
	}
	_, ok := slices.BinarySearch(v.terms.skus, sku)
	return ok
}

// obstacleTo returns which rule keeps v from being applied at a time.
func (c *Cart) obstacleTo(v *voucher, now time.Time) obstacle {
	t, at := v.terms, now.UnixMilli()
	switch {
	case v.barred != applies:
		return v.barred
	case t.currency != "" && t.currency != c.currency:
		return otherCurrency
	case t.from != 0 && at < t.from:
		return tooEarly
	case t.to != 0 && at >= t.to:
		return tooLate
	case t.oncePerUser && c.userID == "":
		return unknownUser
	case c.items.sum.inc < t.minTotal:
		return belowMinimum
	case len(t.skus) > 0 && len(v.eligible.rates) == 0:
		return otherGoods
	case t.kind == kindFreeDelivery && len(c.deliveries) == 0:
		return noDelivery
	}
	return applies
}

// appendVoucher appends a voucher as callers see it.
func (c *Cart) appendVoucher(dst []byte, v *voucher) []byte {
	t := v.terms
	dst = appendNumber(dst, `{"id":`, int64(v.id))
	dst = appendText(dst, `,"code":`, t.code)
	dst = appendNumber(dst, `,"value":`, v.value)
	dst = appendText(dst, `,"description":`, t.description)
	dst = append(dst, `,"applied":`...)
	dst = strconv.AppendBool(dst, v.obstacle == applies)
	dst = append(dst, `,"reason":"`...)
	dst = t.appendReason(dst, v.obstacle)
	dst = t.appendRules(append(dst, `","rules":[`...))
	return append(dst, ']', '}')
}

// What LimitedVouchers looks for.
const (
	reasonUsedUp     = "It has been used as often as it may be."
	reasonUsedByUser = "It is for one order of each customer."
	ruleOncePerUser  = "oncePerUser"
	ruleUsageLimit   = "usageLimit="
)

// appendReason appends a sentence that needs no escapes; nothing if there is no obstacle.
func (t *terms) appendReason(dst []byte, o obstacle) []byte {
	switch o {
	case applies:
		return dst
	case otherCurrency:
		return append(append(append(dst, "It is for carts in "...), t.currency...), '.')
	case tooEarly:
		return append(appendInstant(append(dst, "It is valid from "...), t.from), '.')
	case tooLate:
		return append(appendInstant(append(dst, "It was valid until "...), t.to), '.')
	case unknownUser:
		return append(dst, "It is for shoppers who have logged in."...)
	case belowMinimum:
		return append(appendMoney(append(dst, "The goods must come to "...), t.minTotal, t.currency), '.')
	case otherGoods:
		return append(dst, "None of the goods that it is for is in the cart."...)
	case noDelivery:
		return append(dst, "There is no delivery yet that could be free."...)
	case usedUp:
		return append(dst, reasonUsedUp...)
	case usedByUser:
		return append(dst, reasonUsedByUser...)
	default:
		return append(dst, "There is nothing left that it could be taken off."...)
	}
}

// appendRules appends the rules as a list of strings, name=value, without the brackets.
func (t *terms) appendRules(dst []byte) []byte {
	some := false
	rule := func(name string) {
		if some {
			dst = append(dst, ',')
		}
		some = true
		dst = append(append(dst, '"'), name...)
	}
	if t.currency != "" {
		rule("currency=")
		dst = append(append(dst, t.currency...), '"')
	}
	if t.minTotal > 0 {
		rule("minTotal=")
		dst = append(strconv.AppendInt(dst, t.minTotal, 10), '"')
	}
	for _, sku := range t.skus {
		rule("sku=")
		n := len(dst)
		dst = appendString(dst, sku)
		dst = slices.Delete(dst, n, n+1) // its opening quotation mark
	}
	if t.from != 0 {
		rule("validFrom=")
		dst = append(appendInstant(dst, t.from), '"')
	}
	if t.to != 0 {
		rule("validTo=")
		dst = append(appendInstant(dst, t.to), '"')
	}
	if t.oncePerUser {
		rule(ruleOncePerUser)
		dst = append(dst, '"')
	}
	if t.usageLimit > 0 {
		rule(ruleUsageLimit)
		dst = append(strconv.AppendInt(dst, t.usageLimit, 10), '"')
	}
	return dst
}

func appendInstant(dst []byte, millis int64) []byte {
	return time.UnixMilli(millis).UTC().AppendFormat(dst, timeFormat)
}
