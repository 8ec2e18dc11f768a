package grain

import (
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

func createCart(c *Cart, m *messages.CartCreated, _ actor.Meta) error {
	switch c.status {
	case "":
	case StatusDeleted:
		return c.closed()
	default:
		return actor.Refuse(codeExists, "The cart exists already.")
	}
	if err := checkCurrency(m.Currency); err != nil {
		return err
	}
	country, err := checkCountry("country", m.Country)
	if err != nil {
		return err
	}
	if m.UserId != "" {
		if err := checkWord(field{"userId", m.UserId, maxUserBytes}); err != nil {
			return err
		}
	}
	c.status, c.currency, c.country, c.userID = StatusOpen, m.Currency, country, m.UserId
	return nil
}

func deleteCart(c *Cart, _ *messages.CartDeleted, _ actor.Meta) error {
	if c.status == "" {
		return actor.Refuse(codeNotFound, "There is no such cart.")
	}
	if err := c.frozen(); err != nil {
		return err
	}
	*c = Cart{status: StatusDeleted, userID: c.userID} // whose it was still tells who may hear that it is gone
	return nil
}

// setUser binds the cart. It is the handler that refuses a cart bound to somebody else, and not its caller, so that of
// two simultaneous bindings one is told.
func setUser(c *Cart, m *messages.SetUserId, _ actor.Meta) error {
	if err := checkWord(field{"userId", m.UserId, maxUserBytes}); err != nil {
		return err
	}
	if m.UserId == c.userID {
		return actor.NoChange
	}
	if c.userID != "" && !m.Rebind {
		return actor.Refuse(codeUserBound, "The cart belongs to another user.")
	}
	c.userID = m.UserId
	return nil
}

// initializeCheckout freezes the cart for one order. A repeat changes nothing, though it too must expect the total
// that is being paid.
func initializeCheckout(c *Cart, m *messages.InitializeCheckout, _ actor.Meta) error {
	if err := c.closed(); err != nil {
		return err
	}
	if err := checkWord(field{"orderId", m.OrderId, maxOrderBytes}); err != nil {
		return err
	}
	if err := checkTexts(field{"paymentProvider", m.PaymentProvider, maxTextBytes}); err != nil {
		return err
	}
	if c.status == StatusCheckout && m.OrderId != c.orderID {
		return c.frozen()
	}
	if c.Empty() {
		return actor.Refuse(codeEmpty, "An empty cart cannot be checked out.")
	}
	if total := c.total().inc; m.ExpectedTotal != nil && *m.ExpectedTotal != total {
		r := actor.Refuse(codeTotalChanged, "The cart's total is %d, not %d.", total, *m.ExpectedTotal)
		r.Field = "expectedTotal"
		return r
	}
	if c.status == StatusCheckout {
		return actor.NoChange
	}
	c.status, c.orderID = StatusCheckout, m.OrderId
	return nil
}

func notInCheckout() error { return actor.Refuse(codeNotInCheckout, "The cart is not in checkout.") }

func abortCheckout(c *Cart, _ *messages.AbortCheckout, _ actor.Meta) error {
	if err := c.closed(); err != nil {
		return err
	}
	if c.status != StatusCheckout {
		return notInCheckout()
	}
	c.status, c.orderID = StatusOpen, ""
	return nil
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
	c.status, c.paymentStatus = StatusOrdered, m.Status
	return nil
}
