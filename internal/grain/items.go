package grain

import (
	"maps"
	"slices"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

func itemNotFound(id uint32) error {
	return actor.Refuse(codeItemNotFound, "The cart has no line %d.", id)
}

// addItem raises the quantity of the first line that is the same in all but quantity, and makes a new line if there
// is none. Either way the line then shows the product as it is in the mutation.
func (h rules) addItem(c *Cart, m *messages.AddItem, _ actor.Meta) error {
	_, err := h.putItem(c, m, m.ParentId, marking{})
	return err
}

// putItem is addItem for a product that may be marked already, with its parent beside. It returns the id of the line.
func (h rules) putItem(c *Cart, m *messages.AddItem, parent *uint32, marked marking) (uint32, error) {
	rounding, err := parseRounding(m.TaxRounding, m.TaxLevel)
	if err != nil {
		return 0, err
	}
	if c.lastLine > 0 {
		rounding = c.rounding
	}
	p, err := rounding.product(m)
	if err != nil {
		return 0, err
	}
	p.marking, p.parent = marked, 0
	country, err := checkCountry("country", m.Country)
	if err != nil {
		return 0, err
	}
	if err := checkCurrency(m.Currency); err != nil {
		return 0, err
	}
	if m.Currency != "" && c.currency != "" && m.Currency != c.currency {
		return 0, invalid("currency", "The cart is in %s, not in %s.", c.currency, m.Currency)
	}
	if parent != nil {
		if _, ok := c.lineAt(*parent); !ok {
			return 0, invalid("parentId", "The cart has no line %d.", *parent)
		}
		p.parent = *parent
	}
	if m.Quantity < 1 || m.Quantity > h.maxQuantity {
		return 0, invalid("quantity", "quantity must be between 1 and %d.", h.maxQuantity)
	}
	at, known := c.findLine(p.lineKey)
	var old line
	if known {
		if old = c.lines[at]; m.Quantity > h.maxQuantity-old.qty {
			return 0, invalid("quantity", "With the %d there are, quantity would exceed %d.", old.qty, h.maxQuantity)
		}
	} else if len(c.lines) >= h.maxLines || c.lastLine == ^uint32(0) {
		return 0, invalid("", "A cart holds at most %d lines.", h.maxLines)
	}
	l, err := rounding.priced(&p, old.qty+m.Quantity)
	if err != nil {
		return 0, err
	}
	if err := c.fits(old.total, l.total, "quantity"); err != nil {
		return 0, err
	}

	c.rounding = rounding
	if c.currency == "" {
		c.currency = m.Currency
	}
	if c.country == "" {
		c.country = country
	}
	if known && *old.product == p {
		l.product = old.product
	} else {
		kept := p // on the heap, where p itself need not be for the sake of this
		l.product = &kept
	}
	if known {
		l.id, l.delivery = old.id, old.delivery
		c.lines[at] = l
		c.replaceTotal(&old, &l)
	} else {
		c.addLine(l)
		l.id = c.lastLine
	}
	c.makeIndex()
	return l.id, nil
}

// product returns what m is about, checked.
func (r Rounding) product(m *messages.AddItem) (p product, err error) {
	p = product{
		itemID: m.ItemId, stocked: m.Stock != nil, stock: m.GetStock(),
		name: m.Name, image: m.Image, kind: m.Type, disclaimer: m.Disclaimer, saleStatus: m.SaleStatus,
		brand: m.Brand, category: m.Category, sellerID: m.SellerId, seller: m.SellerName,
		lineKey: lineKey{sku: m.Sku, store: m.GetStoreId(), parent: m.GetParentId()},
	}
	if err := checkWord(field{"sku", m.Sku, maxSKUBytes}); err != nil {
		return p, err
	}
	err = checkTexts(
		field{"name", m.Name, maxNameBytes}, field{"image", m.Image, maxLongTextBytes},
		field{"disclaimer", m.Disclaimer, maxLongTextBytes}, field{"storeId", p.store, maxStoreBytes},
		field{"type", m.Type, maxTextBytes}, field{"saleStatus", m.SaleStatus, maxTextBytes},
		field{"brand", m.Brand, maxTextBytes}, field{"category", m.Category, maxTextBytes},
		field{"sellerId", m.SellerId, maxTextBytes}, field{"sellerName", m.SellerName, maxTextBytes})
	if err != nil {
		return p, err
	}
	if p.attributes, err = canonical(m.Attributes); err != nil {
		return p, err
	}
	p.exVat = m.PriceExVat
	return p, r.price(&p, m.Price, m.OrgPrice, m.Tax)
}

// price gives p its price and what one unit of it comes to, if they are within bounds. Whether the price is with VAT
// is in p already.
func (r Rounding) price(p *product, price, orgPrice, tax int64) error {
	if err := checkPrice(price, tax); err != nil {
		return err
	}
	if orgPrice < 0 || orgPrice > maxPrice {
		return invalid("orgPrice", "orgPrice must be between 0 and %d minor units.", int64(maxPrice))
	}
	if p.stock > maxMoney || p.stock < -maxMoney {
		return invalid("stock", "stock is out of bounds.")
	}
	p.quote.price, p.tax, p.orgPrice = price, int32(tax), orgPrice
	original := p.quote
	if orgPrice > 0 {
		original.price = orgPrice
	}
	var ok, okOriginal bool
	p.unit, ok = r.times(p.quote, 1)
	p.orgUnit, okOriginal = r.times(original, 1)
	if !ok || !okOriginal {
		return invalid("price", "price is out of bounds.") // not reached: maxPrice is far below maxMoney
	}
	return nil
}

// priced returns a line of qty units of p, without an id, and without p: who calls it may have an equal one already.
func (r Rounding) priced(p *product, qty int64) (line, error) {
	l := line{qty: qty}
	var ok bool
	if l.total, ok = r.times(p.quote, qty); !ok {
		return l, invalid("quantity", "The line's total would exceed %d.", int64(maxMoney))
	}
	if p.orgPrice > p.price {
		reduction := quote{p.orgPrice - p.price, p.tax, p.exVat}
		if l.discount, ok = r.times(reduction, qty); !ok {
			return l, invalid("quantity", "The line's discount would exceed %d.", int64(maxMoney))
		}
	}
	return l, nil
}

// canonical returns attributes as a JSON object whose keys are sorted, and "" if there are none: equal attributes are
// equal strings.
func canonical(attributes map[string]string) (string, error) {
	if len(attributes) == 0 {
		return "", nil
	}
	if len(attributes) > maxAttributes {
		return "", invalid("attributes", "A line has at most %d attributes.", maxAttributes)
	}
	keys := slices.Sorted(maps.Keys(attributes))
	for _, key := range keys {
		if key == "" {
			return "", invalid("attributes", "The key of an attribute must not be empty.")
		}
		if err := checkTexts(field{"attributes", key, maxKeyBytes}, field{"attributes", attributes[key], maxTextBytes}); err != nil {
			return "", err
		}
	}
	return string(appendAttributes(nil, keys, attributes)), nil
}

func removeItem(c *Cart, m *messages.RemoveItem, _ actor.Meta) error {
	at, ok := c.lineAt(m.Id)
	if !ok {
		return itemNotFound(m.Id)
	}
	c.removeLine(at)
	return nil
}

func (h rules) changeQuantity(c *Cart, m *messages.ChangeQuantity, _ actor.Meta) error {
	if m.Quantity < 0 || m.Quantity > h.maxQuantity {
		return invalid("quantity", "quantity must be between 0 and %d.", h.maxQuantity)
	}
	at, ok := c.lineAt(m.Id)
	if !ok {
		return itemNotFound(m.Id)
	}
	old := c.lines[at]
	if m.Quantity == old.qty {
		return actor.NoChange
	}
	if m.Quantity == 0 {
		c.removeLine(at)
		return nil
	}
	l, err := c.rounding.priced(old.product, m.Quantity)
	if err != nil {
		return err
	}
	if err := c.fits(old.total, l.total, "quantity"); err != nil {
		return err
	}
	l.id, l.delivery, l.product = old.id, old.delivery, old.product
	c.lines[at] = l
	c.replaceTotal(&old, &l)
	return nil
}

func setAttributes(c *Cart, m *messages.LineItemAttributes, _ actor.Meta) error {
	attributes, err := canonical(m.Attributes)
	if err != nil {
		return err
	}
	return c.changeProduct(m.Id, func(p *product) { p.attributes = attributes })
}

func setMarking(c *Cart, m *messages.LineItemMarking, _ actor.Meta) error {
	if err := checkTexts(field{"marking", m.Marking, maxTextBytes}); err != nil {
		return err
	}
	return c.changeProduct(m.Id, func(p *product) { p.marking = marking{true, m.Type, m.Marking} })
}

func removeMarking(c *Cart, m *messages.RemoveLineItemMarking, _ actor.Meta) error {
	return c.changeProduct(m.Id, func(p *product) { p.marking = marking{} })
}

// changeProduct changes the key of the line id, though not what it costs. The line stays one of its own, also when
// it becomes the same as another: ids that a shopper's browser knows stay valid.
func (c *Cart) changeProduct(id uint32, change func(*product)) error {
	at, ok := c.lineAt(id)
	if !ok {
		return itemNotFound(id)
	}
	p := *c.lines[at].product
	change(&p)
	if p == *c.lines[at].product {
		return actor.NoChange
	}
	c.rekeyLine(at, &p)
	return nil
}

func clearCart(c *Cart, _ *messages.ClearCart, _ actor.Meta) error {
	if c.Empty() {
		return actor.NoChange // and no deliveries either: each has a line
	}
	c.lines, c.index, c.children = nil, nil, 0
	c.deliveries = nil
	c.items, c.freight = totals{}, totals{}
	for i := range c.vouchers {
		c.vouchers[i].eligible = totals{}
	}
	return nil
}
