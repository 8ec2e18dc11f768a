package grain

import (
	"cmp"
	"slices"
)

// totals is a sum of prices, kept by rate so that its VAT is the sum of theirs, to the unit. The zero value is the
// sum of nothing.
type totals struct {
	sum   amount
	rates []rateTotal // by ascending rate; only rates that something has
}

type rateTotal struct {
	tax   int32
	count int32 // how many prices there are at this rate; a rate is shown also when its VAT is 0
	sum   amount
}

func (t *totals) find(tax int32) (int, bool) {
	return slices.BinarySearchFunc(t.rates, tax, func(r rateTotal, tax int32) int { return cmp.Compare(r.tax, tax) })
}

// add counts one more price. The caller has made sure that the sum fits: see [Cart.fits].
func (t *totals) add(a amount, tax int32) {
	i, ok := t.find(tax)
	if !ok {
		t.rates = slices.Insert(t.rates, i, rateTotal{tax: tax})
	}
	t.rates[i].count++
	t.change(i, amount{}, a)
}

// remove takes a price off that was added.
func (t *totals) remove(a amount, tax int32) {
	i, _ := t.find(tax)
	t.change(i, a, amount{})
	if t.rates[i].count--; t.rates[i].count == 0 {
		t.rates = slices.Delete(t.rates, i, i+1)
	}
}

// replace puts the price to in place of from, at the same rate.
func (t *totals) replace(from, to amount, tax int32) {
	i, _ := t.find(tax)
	t.change(i, from, to)
}

func (t *totals) change(i int, from, to amount) {
	ex, inc := to.ex-from.ex, to.inc-from.inc
	t.sum.ex += ex
	t.sum.inc += inc
	t.rates[i].sum.ex += ex
	t.rates[i].sum.inc += inc
}

func (t *totals) clone() totals { return totals{t.sum, slices.Clone(t.rates)} }

// addTotal counts a line that has come.
func (c *Cart) addTotal(l *line) {
	c.items.add(l.total, l.product.tax)
	for i := range c.vouchers {
		if v := &c.vouchers[i]; v.covers(l.product.sku) {
			v.eligible.add(l.total, l.product.tax)
		}
	}
}

// removeTotal takes a line off that was counted, as it was then.
func (c *Cart) removeTotal(l *line) {
	c.items.remove(l.total, l.product.tax)
	for i := range c.vouchers {
		if v := &c.vouchers[i]; v.covers(l.product.sku) {
			v.eligible.remove(l.total, l.product.tax)
		}
	}
}

// replaceTotal counts a line as it is now in place of what it was; of the same product, at the same rate.
func (c *Cart) replaceTotal(from, to *line) {
	c.items.replace(from.total, to.total, to.product.tax)
	for i := range c.vouchers {
		if v := &c.vouchers[i]; v.covers(to.product.sku) {
			v.eligible.replace(from.total, to.total, to.product.tax)
		}
	}
}
