package grain

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// timeFormat is RFC 3339 to the millisecond, of a time in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

// AppendView appends the branch of the cart that info is of to dst, as the JSON object that callers see, and returns the
// extended slice. It allocates nothing but what dst lacks (and a list of ids, if the cart has subscription details), and
// changes nothing.
func AppendView(dst []byte, c *Cart, info actor.Info) []byte {
	return appendView(dst, c, info, Lifetimes{})
}

// appendView is AppendView that tells when the cart expires, too, if it does.
func appendView(dst []byte, c *Cart, info actor.Info, life Lifetimes) []byte {
	dst = appendText(dst, `{"id":`, info.ID)
	if info.Branch == "" {
		dst = append(dst, `,"branch":"main"`...)
	} else {
		life = Lifetimes{} // how long the cart lives is main's
		dst = appendText(dst, `,"branch":`, info.Branch)
		c = c.shown(info.Branch)
	}
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendUint(dst, info.Version, 10)
	dst = appendText(dst, `,"status":`, string(c.status))
	dst = appendText(dst, `,"currency":`, c.currency)
	dst = appendText(dst, `,"country":`, c.country)
	dst = appendText(dst, `,"userId":`, c.userID)
	dst = append(dst, `,"items":[`...)
	for i := range c.lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLine(dst, &c.lines[i])
	}
	dst = append(dst, `],"deliveries":[`...)
	for i := range c.deliveries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendDelivery(dst, &c.deliveries[i])
	}
	dst = append(dst, `],"vouchers":[`...)
	for i := range c.vouchers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendVoucher(dst, &c.vouchers[i])
	}
	dst = c.appendTotal(append(dst, `],"totalPrice":`...))
	dst = appendNumber(dst, `,"totalTax":`, c.total().vat())
	dst = append(dst, `,"totalDiscount":`...)
	dst = appendTotals(dst, &c.discount)
	dst = append(dst, `,"processing":`...)
	dst = strconv.AppendBool(dst, c.unsettled())
	dst = append(dst, `,"paymentInProgress":`...)
	dst = strconv.AppendBool(dst, c.status == StatusCheckout)
	dst = appendText(dst, `,"orderReference":`, c.orderID)
	dst = appendText(dst, `,"paymentStatus":`, c.paymentStatus)
	if c.status == StatusCheckout {
		dst = appendTime(dst, `,"checkoutUntil":"`, c.checkoutUntil)
	}
	dst = append(dst, `,"warnings":[`...)
	dst = append(appendWarnings(dst, c.lines), ']')
	if len(c.subscriptions) > 0 {
		dst = appendSubscriptions(append(dst, `,"subscriptionDetails":{`...), c.subscriptions)
		dst = append(dst, '}')
	}
	dst = appendTime(dst, `,"createdAt":"`, info.Created)
	dst = appendTime(dst, `,"updatedAt":"`, info.Updated)
	if at, ok := life.expiry(c, &info); ok {
		dst = eventlog.AppendTime(append(dst, `,"expiresAt":"`...), at)
		dst = append(dst[:len(dst)-len(".000Z")], `Z"`...) // to the second
	}
	if info.Damaged {
		dst = append(dst, `,"damaged":true`...)
	}
	return append(dst, '}')
}

func appendLine(dst []byte, l *line) []byte {
	p := l.product
	dst = appendNumber(dst, `{"id":`, int64(l.id))
	dst = appendNumber(dst, `,"itemId":`, int64(p.itemID))
	dst = appendText(dst, `,"sku":`, p.sku)
	dst = appendNumber(dst, `,"qty":`, l.qty)
	dst = appendText(dst, `,"type":`, p.kind)
	dst = appendText(dst, `,"storeId":`, p.store)
	dst = append(dst, `,"parentId":`...)
	dst = appendIf(dst, p.parent != 0, int64(p.parent))
	dst = appendPrice(append(dst, `,"price":`...), p.unit, p.tax)
	dst = appendPrice(append(dst, `,"orgPrice":`...), p.orgUnit, p.tax)
	dst = append(dst, `,"discount":`...)
	if p.orgPrice > p.price {
		dst = appendPrice(dst, l.discount, p.tax)
	} else {
		dst = appendTotals(dst, &totals{})
	}
	dst = appendPrice(append(dst, `,"totalPrice":`...), l.total, p.tax)
	dst = append(dst, `,"stock":`...)
	dst = appendIf(dst, p.stocked, p.stock)
	dst = appendText(dst, `,"disclaimer":`, p.disclaimer)
	dst = appendText(dst, `,"saleStatus":`, p.saleStatus)
	if p.marking.set {
		dst = appendNumber(dst, `,"marking":{"type":`, int64(p.marking.kind))
		dst = appendText(dst, `,"text":`, p.marking.text)
		dst = append(dst, '}')
	} else {
		dst = append(dst, `,"marking":null`...)
	}
	dst = append(dst, `,"attributes":`...)
	if p.attributes == "" {
		dst = append(dst, '{', '}')
	} else {
		dst = append(dst, p.attributes...)
	}
	dst = appendText(dst, `,"meta":{"name":`, p.name)
	dst = appendText(dst, `,"brand":`, p.brand)
	dst = appendText(dst, `,"category":`, p.category)
	dst = appendText(dst, `,"sellerId":`, p.sellerID)
	dst = appendText(dst, `,"sellerName":`, p.seller)
	dst = appendText(dst, `,"image":`, p.image)
	return append(dst, '}', '}')
}

func appendDelivery(dst []byte, d *delivery) []byte {
	dst = appendNumber(dst, `{"id":`, int64(d.id))
	dst = appendText(dst, `,"provider":`, d.provider)
	dst = append(dst, `,"items":[`...)
	for i, id := range d.lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(id), 10)
	}
	dst = appendPrice(append(dst, `],"price":`...), d.price, d.tax)
	dst = appendAddress(append(dst, `,"address":`...), d.address)
	dst = appendPickupPoint(append(dst, `,"pickupPoint":`...), d.pickup)
	return append(dst, '}')
}

func appendAddress(dst []byte, a *messages.Address) []byte {
	if a == nil {
		return append(dst, "null"...)
	}
	dst = appendOptional(dst, `{"name":`, a.Name)
	dst = appendOptional(dst, `,"street":`, a.Street)
	dst = appendOptional(dst, `,"city":`, a.City)
	dst = appendOptional(dst, `,"zip":`, a.Zip)
	dst = appendOptional(dst, `,"country":`, a.Country)
	dst = appendOptional(dst, `,"phone":`, a.Phone)
	dst = appendOptional(dst, `,"email":`, a.Email)
	return append(dst, '}')
}

func appendPickupPoint(dst []byte, p *messages.PickupPoint) []byte {
	if p == nil {
		return append(dst, "null"...)
	}
	dst = appendText(dst, `{"id":`, p.Id)
	dst = appendOptional(dst, `,"name":`, p.Name)
	dst = appendOptional(dst, `,"address":`, p.Address)
	dst = appendOptional(dst, `,"city":`, p.City)
	dst = appendOptional(dst, `,"zip":`, p.Zip)
	dst = appendOptional(dst, `,"country":`, p.Country)
	return append(dst, '}')
}

// appendWarnings appends what the shopper should know of, in the order of the lines. Nothing of it stands in the way
// of an order.
func appendWarnings(dst []byte, lines []line) []byte {
	some := false
	warn := func(code string, l *line) {
		if some {
			dst = append(dst, ',')
		}
		some = true
		dst = append(append(append(dst, `{"code":"`...), code...), '"')
		dst = append(appendNumber(dst, `,"item":`, int64(l.id)), `,"message":"`...)
	}
	for i := range lines {
		l := &lines[i]
		if l.notice != nil && l.notice.gone {
			warn("discontinued", l)
			dst = append(dst, `no longer sold"}`...)
		}
		if l.notice != nil && l.notice.was >= 0 {
			warn("price_changed", l)
			dst = appendNumber(dst, `was `, l.notice.was)
			dst = append(appendNumber(dst, `, is `, l.product.unit.inc), '"', '}')
		}
		if l.product.stocked && l.qty > l.product.stock {
			warn("out_of_stock", l)
			dst = appendNumber(dst, ``, l.qty)
			dst = appendNumber(dst, ` wanted, `, max(l.product.stock, 0))
			dst = append(dst, ` in stock"}`...)
		}
	}
	return dst
}

func appendSubscriptions(dst []byte, subscriptions map[string]subscription) []byte {
	for i, id := range slices.Sorted(maps.Keys(subscriptions)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		s := subscriptions[id]
		dst = appendString(dst, id)
		dst = appendText(dst, `:{"id":`, id)
		dst = appendText(dst, `,"offeringCode":`, s.offeringCode)
		dst = appendText(dst, `,"signingType":`, s.signingType)
		dst = append(dst, `,"data":`...)
		if s.data == "" {
			dst = append(dst, "null"...)
		} else {
			dst = append(dst, s.data...) // a JSON document, checked when it came
		}
		dst = append(dst, '}')
	}
	return dst
}

// appendPrice appends a price at one rate.
func appendPrice(dst []byte, a amount, tax int32) []byte {
	dst = appendNumber(dst, `{"exVat":`, a.ex)
	dst = appendNumber(dst, `,"incVat":`, a.inc)
	dst = appendRate(append(dst, `,"vat":{"`...), tax)
	dst = appendNumber(dst, `":`, a.vat())
	return append(dst, '}', '}')
}

// appendTotal appends what the cart costs, by rate: every rate that a line or a delivery has is there.
func (c *Cart) appendTotal(dst []byte) []byte {
	total := c.total()
	dst = appendNumber(dst, `{"exVat":`, total.ex)
	dst = appendNumber(dst, `,"incVat":`, total.inc)
	dst = append(dst, `,"vat":{`...)
	items, freight, discount := c.items.rates, c.freight.rates, c.discount.rates
	for some := false; len(items) > 0 || len(freight) > 0; some = true {
		if some {
			dst = append(dst, ',')
		}
		var tax int32
		if len(freight) == 0 || len(items) > 0 && items[0].tax <= freight[0].tax {
			tax = items[0].tax
		} else {
			tax = freight[0].tax
		}
		vat := int64(0)
		take := func(rates *[]rateTotal, sign int64) {
			if len(*rates) > 0 && (*rates)[0].tax == tax {
				vat += sign * (*rates)[0].sum.vat()
				*rates = (*rates)[1:]
			}
		}
		take(&items, 1)
		take(&freight, 1)
		take(&discount, -1) // of rates that a line or a delivery has
		dst = appendRate(append(dst, '"'), tax)
		dst = appendNumber(dst, `":`, vat)
	}
	return append(dst, '}', '}')
}

// appendTotals appends a price at any number of rates.
func appendTotals(dst []byte, t *totals) []byte {
	dst = appendNumber(dst, `{"exVat":`, t.sum.ex)
	dst = appendNumber(dst, `,"incVat":`, t.sum.inc)
	dst = append(dst, `,"vat":{`...)
	for i := range t.rates {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRate(append(dst, '"'), t.rates[i].tax)
		dst = appendNumber(dst, `":`, t.rates[i].sum.vat())
	}
	return append(dst, '}', '}')
}

func appendIf(dst []byte, known bool, n int64) []byte {
	if !known {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, n, 10)
}

func appendOptional(dst []byte, prefix string, s *string) []byte {
	dst = append(dst, prefix...)
	if s == nil {
		return append(dst, "null"...)
	}
	return appendString(dst, *s)
}

func appendTime(dst []byte, prefix string, t time.Time) []byte {
	return append(eventlog.AppendTime(append(dst, prefix...), t), '"')
}
