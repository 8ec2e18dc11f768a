package grain

import (
	"cmp"
	"slices"

	"cartd/pkg/messages"
)

// delivery is how some lines reach the shopper. A line is in one delivery at most, and every delivery has a line.
type delivery struct {
	id       uint32
	provider string
	lines    []uint32 // never changed in place
	price    amount
	tax      int32
	address  *messages.Address     // never changed
	pickup   *messages.PickupPoint // never changed
}

func (c *Cart) deliveryAt(id uint32) (int, bool) {
	return slices.BinarySearchFunc(c.deliveries, id, func(d delivery, id uint32) int { return cmp.Compare(d.id, id) })
}

// undeliver takes lines, ascending by id and as they were, out of their deliveries; a delivery that is left without
// lines goes away.
func (c *Cart) undeliver(lines []line) {
	from := make([]uint32, 0, 1)
	for _, l := range lines {
		if l.delivery != 0 {
			from = append(from, l.delivery)
		}
	}
	slices.Sort(from)
	for _, id := range slices.Compact(from) {
		i, _ := c.deliveryAt(id)
		d := &c.deliveries[i]
		rest := make([]uint32, 0, len(d.lines)-1)
		for _, id := range d.lines {
			if !containsLine(lines, id) {
				rest = append(rest, id)
			}
		}
		d.lines = rest
		if len(rest) == 0 {
			c.freight.remove(d.price, d.tax)
			c.deliveries = slices.Delete(c.deliveries, i, i+1)
		}
	}
}

// removeDelivery removes the delivery at i; its lines stay, in no delivery.
func (c *Cart) removeDelivery(i int) {
	d := c.deliveries[i]
	for _, id := range d.lines {
		if at, ok := c.lineAt(id); ok {
			c.lines[at].delivery = 0
		}
	}
	c.freight.remove(d.price, d.tax)
	c.deliveries = slices.Delete(c.deliveries, i, i+1)
}
