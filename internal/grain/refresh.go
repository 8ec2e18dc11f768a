package grain

import (
	"slices"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// refreshPrices gives lines the prices of the catalogue, and leaves a notice where something has changed for the
// worse or the better. Lines that have gone meanwhile are passed over: the shopper was faster than the catalogue. A cart
// without a currency gets that of the prices.
func refreshPrices(c *Cart, m *messages.RefreshPrices, meta actor.Meta) error {
	currency := c.currency
	lines := slices.Clone(c.lines)
	for i := range lines {
		lines[i].notice = nil
	}
	seen := make(map[uint32]struct{}, len(m.Lines))
	for _, r := range m.Lines {
		if r == nil {
			return invalid("lines", "lines must not hold null.")
		}
		if _, twice := seen[r.Id]; twice {
			return invalid("lines", "Line %d is named twice.", r.Id)
		}
		seen[r.Id] = struct{}{}
		at, ok := c.lineAt(r.Id)
		if !ok {
			continue
		}
		l, err := c.refreshed(lines[at], r, currency)
		if err != nil {
			return err
		}
		if currency == "" && !r.Gone {
			currency = r.Currency
		}
		lines[at] = l
	}
	total := c.freight.sum.inc
	same := true
	for i := range lines {
		if total += lines[i].total.inc; total > maxMoney { // each is at most maxMoney: no wrapping
			return invalid("lines", "The cart's total would exceed %d.", int64(maxMoney))
		}
		same = same && sameLine(&lines[i], &c.lines[i])
	}
	if same && currency == c.currency && c.reckonedAt(meta.Time) {
		return actor.NoChange
	}

	c.currency = currency
	for i := range c.lines {
		c.removeTotal(&c.lines[i])
	}
	c.lines, c.index = lines, nil // prices are part of the keys
	for i := range c.lines {
		c.addTotal(&c.lines[i])
	}
	return nil
}

func sameLine(a, b *line) bool {
	if (a.notice == nil) != (b.notice == nil) || a.notice != nil && *a.notice != *b.notice {
		return false
	}
	return a.total == b.total && a.discount == b.discount && (a.product == b.product || *a.product == *b.product)
}

// refreshed returns l as the catalogue has it now. currency is the cart's, "" if it has none yet.
func (c *Cart) refreshed(l line, r *messages.RefreshPrices_Line, currency string) (line, error) {
	old := l.product
	if r.Gone {
		l.notice = &notice{was: -1, gone: true}
		return l, nil
	}
	if err := checkCurrency(r.Currency); err != nil {
		return l, err
	}
	if r.Currency != "" && currency != "" && r.Currency != currency {
		return l, invalid("currency", "The cart is in %s, line %d now in %s.", currency, r.Id, r.Currency)
	}
	p := *old
	p.stocked, p.stock, p.exVat = r.Stock != nil, r.GetStock(), r.PriceExVat
	for _, text := range []struct {
		to   *string
		from *string
		field
	}{
		{&p.name, r.Name, field{"name", r.GetName(), maxNameBytes}},
		{&p.image, r.Image, field{"image", r.GetImage(), maxLongTextBytes}},
		{&p.saleStatus, r.SaleStatus, field{"saleStatus", r.GetSaleStatus(), maxTextBytes}},
	} {
		if text.from == nil {
			continue
		}
		if err := checkTexts(text.field); err != nil {
			return l, err
		}
		*text.to = *text.from
	}
	if err := c.rounding.price(&p, r.Price, r.OrgPrice, r.Tax); err != nil {
		return l, err
	}
	priced, err := c.rounding.priced(&p, l.qty)
	if err != nil {
		return l, err
	}
	priced.id, priced.delivery, priced.product = l.id, l.delivery, &p
	if p.unit.inc != old.unit.inc {
		priced.notice = &notice{was: old.unit.inc}
	}
	return priced, nil
}
