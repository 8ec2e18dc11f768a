package grain

// index finds the line that an addition goes to. It is made when a cart has outgrown a look at each line, and is a
// hint about lines alone: nil means that it has not been made.
type index map[lineKey]lineGroup

// lineGroup is the lines with one key. There is mostly one: a line that is given another line's attributes or marking
// afterwards stays a line of its own.
type lineGroup struct {
	first uint32 // the lowest id
	count int32
}

// indexFrom is the number of lines from which an index is worth its memory; most carts never have as many.
const indexFrom = 16

// findLine returns the place of the first line with that key. It changes nothing.
func (c *Cart) findLine(key lineKey) (int, bool) {
	if c.index != nil {
		group, ok := c.index[key]
		if !ok {
			return 0, false
		}
		return c.lineAt(group.first)
	}
	for i := range c.lines {
		if c.lines[i].product.lineKey == key {
			return i, true
		}
	}
	return 0, false
}

// makeIndex makes the index if there is none and the cart is large enough for one.
func (c *Cart) makeIndex() {
	if c.index != nil || len(c.lines) < indexFrom {
		return
	}
	c.index = make(index, 2*len(c.lines))
	for i := range c.lines {
		c.indexLine(c.lines[i].id, c.lines[i].product.lineKey)
	}
}

// indexLine enters a line that is in c.lines.
func (c *Cart) indexLine(id uint32, key lineKey) {
	if c.index == nil {
		return
	}
	group := c.index[key]
	if group.count == 0 || id < group.first {
		group.first = id
	}
	group.count++
	c.index[key] = group
}

// unindexLine takes a line out that is no longer in c.lines under this key.
func (c *Cart) unindexLine(id uint32, key lineKey) {
	if c.index == nil {
		return
	}
	group := c.index[key]
	if group.count == 1 {
		delete(c.index, key)
		return
	}
	group.count--
	if group.first == id {
		for i := range c.lines {
			// Its companions may be going too, in one removal: then none is found, and they take the group with them.
			if c.lines[i].id != id && c.lines[i].product.lineKey == key {
				group.first = c.lines[i].id
				break
			}
		}
	}
	c.index[key] = group
}
