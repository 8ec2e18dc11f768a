package grain

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// reckoned is what the vouchers come to at a time.
type reckoned struct {
	discount totals
	vouchers []verdict // in the order of the cart's
}

type verdict struct {
	value    int64
	obstacle obstacle
}

// reckon brings the vouchers and their discount up to date. It costs nothing without vouchers, and with some as much as
// there are rates, however many lines.
func (c *Cart) reckon(now time.Time) {
	if len(c.vouchers) == 0 && len(c.discount.rates) == 0 {
		return
	}
	c.settle(c.reckoned(now))
}

// reckonedAt reports whether the vouchers come to what they came to before: one may have run out.
func (c *Cart) reckonedAt(now time.Time) bool {
	for i, now := range c.reckoned(now).vouchers {
		if v := &c.vouchers[i]; now != (verdict{v.value, v.obstacle}) {
			return false
		}
	}
	return true
}

func (c *Cart) settle(r reckoned) {
	c.discount = r.discount
	for i, verdict := range r.vouchers {
		c.vouchers[i].value, c.vouchers[i].obstacle = verdict.value, verdict.obstacle
	}
}

// reckoned returns what the vouchers come to, and changes nothing. Each is reckoned on the prices before all
// discounts, in the order in which they came, and takes off what those before it have left at most: so together they
// never take off more than there is, at any rate of VAT.
func (c *Cart) reckoned(now time.Time) reckoned {
	return c.reckonedBy(func(v *voucher) obstacle { return c.obstacleTo(v, now) })
}

// reckonedBy is reckoned with the rules that keep vouchers from being applied given.
func (c *Cart) reckonedBy(obstacleTo func(*voucher) obstacle) reckoned {
	if len(c.vouchers) == 0 {
		return reckoned{}
	}
	r := reckoned{vouchers: make([]verdict, len(c.vouchers))}
	goods, freight := c.items.clone(), c.freight.clone() // what is left of them
	for i := range c.vouchers {
		v, verdict := &c.vouchers[i], &r.vouchers[i]
		if verdict.obstacle = obstacleTo(v); verdict.obstacle != applies {
			continue
		}
		switch v.terms.kind {
		case kindFreeDelivery:
			verdict.value = takeOff(&freight, &c.freight, c.freight.sum.inc, c.rounding, &r.discount)
		default:
			base := &c.items
			if len(v.terms.skus) > 0 {
				base = &v.eligible
			}
			value := v.terms.value
			if v.terms.kind == kindPercent {
				value = c.rounding.share(base.sum.inc, int32(value), fullRate)
			}
			verdict.value = takeOff(&goods, base, value, c.rounding, &r.discount)
		}
		if verdict.value == 0 {
			verdict.obstacle = nothingLeft
		}
	}
	return r
}

// takeOff takes up to value, VAT included, off those prices of left that base has, adds it to discount, and returns
// how much it was. It is split over the rates in proportion to what is left at each, to the unit by largest remainder
// (the lower rate first where they are equal). The VAT of each part is that of its rate, and never more than is left.
func takeOff(left, base *totals, value int64, rounding Rounding, discount *totals) int64 {
	type part struct {
		tax       int32
		left, off int64
		remainder uint64
	}
	parts := make([]part, 0, len(base.rates))
	sum := int64(0)
	for _, b := range base.rates {
		at, ok := left.find(b.tax)
		if !ok {
			continue
		}
		p := part{tax: b.tax, left: min(b.sum.inc, left.rates[at].sum.inc)}
		if p.left > 0 {
			parts = append(parts, p)
			sum += p.left
		}
	}
	value = min(value, sum)
	if value <= 0 {
		return 0
	}
	rest := value
	for i := range parts {
		p := &parts[i]
		hi, lo := bits.Mul64(uint64(value), uint64(p.left))
		quotient, remainder := bits.Div64(hi, lo, uint64(sum)) // not above p.left, for value is not above sum
		p.off, p.remainder = int64(quotient), remainder
		rest -= p.off
	}
	// What is left over is less than the number of parts with a remainder, and each of those has room for one more.
	byRemainder := make([]int, len(parts))
	for i := range byRemainder {
		byRemainder[i] = i
	}
	slices.SortStableFunc(byRemainder, func(a, b int) int { return cmp.Compare(parts[b].remainder, parts[a].remainder) })
	for _, i := range byRemainder[:rest] {
		parts[i].off++
	}
	for _, p := range parts {
		if p.off == 0 {
			continue
		}
		at, _ := left.find(p.tax)
		there := left.rates[at].sum
		vat := rounding.share(p.off, p.tax, fullRate+int64(p.tax))
		// Lines are rounded one by one, so a rate can have more VAT than its sum would, or less.
		vat = min(max(vat, p.off-there.ex), there.vat())
		off := amount{p.off - vat, p.off}
		left.replace(there, amount{there.ex - off.ex, there.inc - off.inc}, p.tax)
		if i, ok := discount.find(p.tax); ok {
			was := discount.rates[i].sum
			discount.replace(was, amount{was.ex + off.ex, was.inc + off.inc}, p.tax)
		} else {
			discount.add(off, p.tax)
		}
	}
	return value
}
