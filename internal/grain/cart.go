package grain

import (
	"maps"
	"slices"
	"time"

	"cartd/pkg/actor"
)

// Status is where a cart stands in its life.
type Status string

const (
	StatusOpen     Status = "open"
	StatusCheckout Status = "checkout" // frozen while an order is paid
	StatusOrdered  Status = "ordered"
	StatusMerged   Status = "merged" // another cart has taken over what was in it
	StatusDeleted  Status = "deleted"
	StatusExpired  Status = "expired" // nobody has changed it for as long as it may rest
)

// Cart is the state of one cart. The zero value is the cart that does not exist.
//
// What is here is main; branches are beside it, and hold the same of theirs.
//
// What its slices and maps hold by value belongs to this Cart; what stands behind a pointer or in a slice of a
// delivery is never changed, only replaced, and so may be shared with clones and with the mutations it came from.
//
// A field that is new here or below goes into CartState, snapshot.go and restore.go too; see stateVersion.
type Cart struct {
	status                    Status
	currency, country, userID string

	lines    []line // by ascending id
	lastLine uint32 // the highest line id ever given
	children int    // how many lines have a parent
	index    index

	deliveries   []delivery // by ascending id
	lastDelivery uint32     // the highest delivery id ever given

	vouchers    []voucher // by ascending id
	lastVoucher uint32    // the highest voucher id ever given

	items, freight totals // of the lines, and of the deliveries
	discount       totals // of the vouchers, to be taken off

	rounding Rounding // as the first line said

	orderID, paymentStatus string
	checkoutUntil          time.Time // when a freeze ends by itself; zero if the cart is not in checkout

	subscriptions map[string]subscription // values are never changed, only replaced

	reservation string       // under which vouchers have kept uses for the checkout or the order; "" if none has
	settlements []settlement // which vouchers are to be told of; never changed, only replaced

	merging    *merging // this cart's lines are on their way into another one; never changed, only replaced
	mergedInto string   // the cart that has them; set with StatusMerged
	takenOver  []string // the carts whose lines this one has taken over; never changed, only appended to

	branches []branch // those beside main, closed ones too, in the order in which they were forked
}

// Status returns where the cart stands; "" if it does not exist.
func (c *Cart) Status() Status { return c.status }

// Currency returns the ISO 4217 code, "" if the cart has none yet.
func (c *Cart) Currency() string { return c.currency }

// Country returns the two letters of where the cart is sold to, "" if that is not known yet.
func (c *Cart) Country() string { return c.country }

// UserID returns the user that the cart is bound to, "" if none.
func (c *Cart) UserID() string { return c.userID }

// Empty reports whether the cart has no lines.
func (c *Cart) Empty() bool { return len(c.lines) == 0 }

// Clone returns a copy that shares nothing with c that may change.
func (c *Cart) Clone() *Cart {
	clone := *c
	clone.lines = slices.Clone(c.lines)
	clone.index = nil // made again when an item is added: most batches on a clone look up few lines
	clone.deliveries = slices.Clone(c.deliveries)
	clone.vouchers = slices.Clone(c.vouchers)
	for i := range clone.vouchers {
		clone.vouchers[i].eligible = c.vouchers[i].eligible.clone()
	}
	clone.items, clone.freight, clone.discount = c.items.clone(), c.freight.clone(), c.discount.clone()
	clone.subscriptions = maps.Clone(c.subscriptions)
	clone.takenOver = slices.Clip(c.takenOver)
	if len(c.branches) > 0 {
		clone.branches = c.lendBranches()
	}
	return &clone
}

// closed returns why the cart is no longer there to be changed, and nil if it is open, in checkout, or yet to be.
func (c *Cart) closed() error {
	switch c.status {
	case StatusDeleted:
		return actor.Refuse(codeDeleted, "The cart was deleted.")
	case StatusExpired:
		return expired()
	case StatusOrdered:
		return actor.Refuse(codeOrdered, "The cart was ordered and can no longer be changed.")
	case StatusMerged:
		return actor.Refuse(codeMerged, "The cart was merged into another one and can no longer be changed.")
	}
	return nil
}

// frozen returns why the cart cannot be changed now, and nil if it can.
func (c *Cart) frozen() error {
	if c.status == StatusCheckout {
		return actor.Refuse(codeFrozen, "The cart cannot be changed while order %q is being paid.", c.orderID)
	}
	if c.merging != nil {
		return actor.Refuse(codeFrozen, "The cart cannot be changed while it is being merged into another one.")
	}
	return c.closed()
}

// total is what the cart costs: its lines and deliveries, less its discounts.
func (c *Cart) total() amount {
	return amount{c.items.sum.ex + c.freight.sum.ex - c.discount.sum.ex, c.items.sum.inc + c.freight.sum.inc - c.discount.sum.inc}
}

// fits returns nil if the cart's total, before discounts, stays within bounds when to takes the place of from.
func (c *Cart) fits(from, to amount, field string) error {
	if c.items.sum.inc+c.freight.sum.inc-from.inc+to.inc > maxMoney { // each is at most maxMoney: no wrapping
		return invalid(field, "The cart's total would exceed %d.", int64(maxMoney))
	}
	return nil
}
