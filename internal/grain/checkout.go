package grain

import (
	"time"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

const (
	// defaultFreeze is how long a checkout lasts at most whose event does not say. It is part of the log's meaning and
	// never changed.
	defaultFreeze = 30 * time.Minute
	maxFreeze     = 365 * 24 * time.Hour
)

// initializeCheckout freezes the cart for one order, until it is created, or given up, or the time is over. A repeat
// changes nothing, though it too must expect the total that is being paid. Vouchers are reckoned once more as the cart
// is frozen, and then no more: what is paid stays what was frozen.
func initializeCheckout(c *Cart, m *messages.InitializeCheckout, meta actor.Meta) error {
	if err := c.closed(); err != nil {
		return err
	}
	if err := checkWord(field{"orderId", m.OrderId, maxOrderBytes}); err != nil {
		return err
	}
	if err := checkTexts(field{"paymentProvider", m.PaymentProvider, maxTextBytes}); err != nil {
		return err
	}
	if m.TtlMillis < 0 || m.TtlMillis > maxFreeze.Milliseconds() {
		return invalid("ttlMillis", "ttlMillis must be between 0 and %d.", maxFreeze.Milliseconds())
	}
	if c.status == StatusCheckout && m.OrderId != c.orderID || c.merging != nil {
		return c.frozen()
	}
	if c.Empty() {
		return actor.Refuse(codeEmpty, "An empty cart cannot be checked out.")
	}
	if c.status == StatusCheckout {
		if err := expect(m, c.total().inc); err != nil {
			return err
		}
		if m.Reservation != "" && m.Reservation != c.reservation {
			return reservationNeeded() // rather none: this one is for nothing
		}
		return actor.NoChange
	}
	now := c.reckoned(meta.Time)
	if err := expect(m, c.items.sum.inc+c.freight.sum.inc-now.discount.sum.inc); err != nil {
		return err
	}
	if err := c.checkReserved(m, now); err != nil {
		return err
	}
	freeze := defaultFreeze
	if m.TtlMillis > 0 {
		freeze = time.Duration(m.TtlMillis) * time.Millisecond
	}
	c.settle(now)
	c.holdReserved(m)
	c.status, c.orderID, c.checkoutUntil = StatusCheckout, m.OrderId, meta.Time.Add(freeze)
	return nil
}

// expect returns nil if m expects the total, or none.
func expect(m *messages.InitializeCheckout, total int64) error {
	if m.ExpectedTotal == nil || *m.ExpectedTotal == total {
		return nil
	}
	r := actor.Refuse(codeTotalChanged, "The cart's total is %d, not %d.", total, *m.ExpectedTotal)
	r.Field = "expectedTotal"
	return r
}

func notInCheckout() error { return actor.Refuse(codeNotInCheckout, "The cart is not in checkout.") }

func abortCheckout(c *Cart, _ *messages.AbortCheckout, meta actor.Meta) error {
	if err := c.closed(); err != nil {
		return err
	}
	if c.status != StatusCheckout {
		return notInCheckout()
	}
	c.thaw(meta.Time)
	return nil
}

// dueCheckout returns CheckoutExpired if the time of the checkout is over, to be stored before m. There is no need of it
// before what ends the checkout anyway. An order is not such a thing: whatever was kept for this checkout, the last use of
// a voucher say, may be another's since.
func dueCheckout(c *Cart, m actor.Mutation, now time.Time) actor.Mutation {
	if c.status != StatusCheckout || now.Before(c.checkoutUntil) {
		return nil
	}
	switch m.(type) {
	case *messages.AbortCheckout, *messages.CheckoutExpired:
		return nil
	}
	return &messages.CheckoutExpired{}
}

// expireCheckout unfreezes a cart whose payment nobody has brought to an end.
func expireCheckout(c *Cart, _ *messages.CheckoutExpired, meta actor.Meta) error {
	if err := c.closed(); err != nil {
		return err
	}
	if c.status != StatusCheckout {
		return notInCheckout()
	}
	if meta.Time.Before(c.checkoutUntil) {
		return c.frozen()
	}
	c.thaw(meta.Time)
	return nil
}

func (c *Cart) thaw(now time.Time) {
	c.settleUses(false)
	c.status, c.orderID, c.checkoutUntil = StatusOpen, "", time.Time{}
	c.reckon(now)
}

// createOrder ends the checkout of the order. It happens once: whoever comes after the first caller with the same
// order, say the payment provider after the shopper's browser, changes nothing, whatever status he brings. What
// becomes of an order is not the cart's to keep.
func createOrder(c *Cart, m *messages.OrderCreated, _ actor.Meta) error {
	if c.status == StatusOrdered && m.OrderId == c.orderID {
		return actor.NoChange
	}
	if err := c.closed(); err != nil {
		return err
	}
	if err := checkWord(field{"orderId", m.OrderId, maxOrderBytes}); err != nil {
		return err
	}
	if err := checkTexts(field{"status", m.Status, maxStatusBytes}); err != nil {
		return err
	}
	if c.status != StatusCheckout {
		return notInCheckout()
	}
	if m.OrderId != c.orderID {
		return c.frozen()
	}
	c.settleUses(true)
	c.status, c.paymentStatus, c.checkoutUntil = StatusOrdered, m.Status, time.Time{}
	return nil
}
