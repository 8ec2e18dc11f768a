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
	// Whose it was still tells who may hear that it is gone, and what others keep for it is still given back.
	*c = Cart{status: StatusDeleted, userID: c.userID, settlements: c.settlements}
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
