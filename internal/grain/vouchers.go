package grain

import (
	"reflect"
	"slices"
	"time"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// addVoucher adds a voucher by its definition, also one that takes nothing off at present. A code that is there
// already keeps its id and gets the new definition: shops change them.
func addVoucher(c *Cart, m *messages.AddVoucher, _ actor.Meta) error {
	t, err := checkVoucher(m)
	if err != nil {
		return err
	}
	barred := applies
	if m.UsedUp {
		barred = usedUp
	}
	at := slices.IndexFunc(c.vouchers, func(v voucher) bool { return v.terms.code == t.code })
	switch {
	case at >= 0 && reflect.DeepEqual(c.vouchers[at].terms, t) && c.vouchers[at].barred == barred:
		return actor.NoChange
	case at < 0 && (len(c.vouchers) >= maxVouchers || c.lastVoucher == ^uint32(0)):
		return invalid("", "A cart takes at most %d vouchers.", maxVouchers)
	}
	if at < 0 {
		c.lastVoucher++
		at = len(c.vouchers)
		c.vouchers = append(c.vouchers, voucher{id: c.lastVoucher})
	}
	v := &c.vouchers[at]
	v.terms, v.eligible, v.barred = t, totals{}, barred
	for i := range c.lines {
		if l := &c.lines[i]; v.covers(l.product.sku) {
			v.eligible.add(l.total, l.product.tax)
		}
	}
	return nil
}

func removeVoucher(c *Cart, m *messages.RemoveVoucher, _ actor.Meta) error {
	at, ok := c.voucherAt(m.Id)
	if !ok {
		return actor.Refuse(codeVoucherNotFound, "The cart has no voucher %d.", m.Id)
	}
	c.vouchers = slices.Delete(c.vouchers, at, at+1)
	return nil
}

// checkVoucher returns the definition that m holds.
func checkVoucher(m *messages.AddVoucher) (*terms, error) {
	t := &terms{code: m.Code, kind: m.Kind, description: m.Description, value: m.Value, currency: m.Currency,
		minTotal: m.MinTotal, oncePerUser: m.OncePerUser, usageLimit: m.UsageLimit}
	if err := checkWord(field{"code", m.Code, maxSKUBytes}); err != nil {
		return nil, err
	}
	if err := checkTexts(field{"description", m.Description, maxTextBytes}); err != nil {
		return nil, err
	}
	var highest int64
	switch m.Kind {
	case kindAmount:
		highest = maxPrice
	case kindPercent:
		highest = fullRate
	case kindFreeDelivery:
		if m.Value != 0 {
			return nil, invalid("value", "value must be 0: it is the whole delivery that is free.")
		}
	default:
		return nil, invalid("kind", "kind must be amount, percent or freeDelivery.")
	}
	if m.Kind != kindFreeDelivery && (m.Value < 1 || m.Value > highest) {
		return nil, invalid("value", "value must be between 1 and %d.", highest)
	}
	if err := checkCurrency(m.Currency); err != nil {
		return nil, err
	}
	if m.MinTotal < 0 || m.MinTotal > maxMoney {
		return nil, invalid("minTotal", "minTotal must be between 0 and %d.", int64(maxMoney))
	}
	if m.UsageLimit < 0 {
		return nil, invalid("usageLimit", "usageLimit must not be negative.")
	}
	if len(m.Skus) > maxVoucherSKUs {
		return nil, invalid("skus", "A voucher is for at most %d SKUs, or for all.", maxVoucherSKUs)
	}
	for _, sku := range m.Skus {
		if err := checkWord(field{"skus", sku, maxSKUBytes}); err != nil {
			return nil, err
		}
	}
	if len(m.Skus) > 0 {
		t.skus = slices.Compact(slices.Sorted(slices.Values(m.Skus)))
	}
	var err error
	if t.from, err = checkInstant("validFrom", m.ValidFrom); err != nil {
		return nil, err
	}
	if t.to, err = checkInstant("validTo", m.ValidTo); err != nil {
		return nil, err
	}
	if t.from != 0 && t.to != 0 && t.to <= t.from {
		return nil, invalid("validTo", "validTo must be after validFrom.")
	}
	return t, nil
}

// checkInstant returns a time in milliseconds since 1970, 0 for none. The years that it takes are those in which the
// view can write it.
func checkInstant(name, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1971 || t.Year() > 9998 {
		return 0, invalid(name, "%s must be a time like 2026-11-21T02:26:22Z.", name)
	}
	return t.UnixMilli(), nil
}
