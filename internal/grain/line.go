package grain

import (
	"cmp"
	"slices"
)

// line is one line of a cart.
type line struct {
	id       uint32
	delivery uint32 // the delivery that the line is in; 0: none
	qty      int64
	total    amount
	discount amount
	product  *product // never changed: a change makes a new one
	notice   *notice  // what the last refresh found; nil for nothing new. Never changed
}

// notice is what a refresh has found out about a line. It goes when the line changes, or with the next refresh.
type notice struct {
	was  int64 // the price of one unit before, VAT included, if it is another now; else -1
	gone bool  // the catalogue has the product no more
}

// product is what a line is of, as it was when it was added.
type product struct {
	lineKey
	itemID            uint32
	stocked           bool // stock is known
	stock             int64
	orgPrice          int64 // entered as price is; 0: not known
	unit, orgUnit     amount
	name, image, kind string
	disclaimer        string
	saleStatus        string
	brand, category   string
	sellerID, seller  string
}

// lineKey is what two additions must have in common to become one line.
type lineKey struct {
	quote
	sku, store string
	attributes string // a JSON object, its keys sorted; "" if there are none
	marking    marking
	parent     uint32 // 0: none
}

// marking is the text that is put on the product of a line. The zero value is no marking.
type marking struct {
	set  bool
	kind int32
	text string
}

func (c *Cart) lineAt(id uint32) (int, bool) {
	return slices.BinarySearchFunc(c.lines, id, func(l line, id uint32) int { return cmp.Compare(l.id, id) })
}

// addLine appends a line with the next id.
func (c *Cart) addLine(l line) {
	c.lastLine++
	l.id = c.lastLine
	c.lines = append(c.lines, l)
	if l.product.parent != 0 {
		c.children++
	}
	c.addTotal(&l)
	c.indexLine(l.id, l.product.lineKey)
}

// removeLine removes the line at i with all lines below it, and takes them out of their deliveries.
func (c *Cart) removeLine(i int) {
	gone := []line{c.lines[i]}
	if c.children == 0 {
		c.lines = slices.Delete(c.lines, i, i+1)
	} else {
		// A line comes after its parent, so one pass finds the children's children too; ids ascend in gone as well.
		kept := c.lines[:i]
		for _, l := range c.lines[i+1:] {
			if p := l.product.parent; p != 0 && containsLine(gone, p) {
				gone = append(gone, l)
				continue
			}
			kept = append(kept, l)
		}
		clear(c.lines[len(kept):]) // let go of the products
		c.lines = kept
	}
	for i := range gone {
		l := &gone[i]
		if l.product.parent != 0 {
			c.children--
		}
		c.removeTotal(l)
		c.unindexLine(l.id, l.product.lineKey)
	}
	c.undeliver(gone)
}

func containsLine(sorted []line, id uint32) bool {
	_, ok := slices.BinarySearchFunc(sorted, id, func(l line, id uint32) int { return cmp.Compare(l.id, id) })
	return ok
}

// rekeyLine gives the line at i another product, of the same price but with another key.
func (c *Cart) rekeyLine(i int, p *product) {
	l := &c.lines[i]
	old := l.product.lineKey
	l.product, l.notice = p, nil
	c.unindexLine(l.id, old)
	c.indexLine(l.id, p.lineKey)
}
