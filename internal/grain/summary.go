package grain

import (
	"context"
	"fmt"
	"iter"
	"time"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
)

// Summary is what a list of carts shows of one.
type Summary struct {
	ID               string
	Status           Status
	UserID, Currency string
	Total            int64 // with VAT, in minor units
	Lines            int
	Version          uint64 // 0: there is no such cart
	Created, Updated time.Time
	CheckoutUntil    time.Time // when the freeze ends; zero if the cart is not in checkout
	Unsettled        bool      // it has errands that are not done
	Foreign          bool      // another service has changed it last: it does not expire
}

func (c *Cart) summary(info actor.Info) Summary {
	return Summary{ID: info.ID, Status: c.status, UserID: c.userID, Currency: c.currency, Total: c.total().inc,
		Lines: len(c.lines), Version: info.Version, Created: info.Created, Updated: info.Updated,
		CheckoutUntil: c.checkoutUntil, Unsettled: c.unsettled(), Foreign: info.Foreign}
}

// ReadSummary reads a cart as it is on stable storage, from its newest snapshot on, without an activation. cfg is what
// Config has returned.
func ReadSummary(ctx context.Context, cfg actor.Config[Cart], store eventlog.Store, id eventlog.StreamID) (Summary, error) {
	cart, info, err := actor.Rebuild(cfg, id.Name(), func(load func([]byte) error) iter.Seq2[actor.Event, error] {
		return recall(ctx, store, id, load)
	})
	if err != nil {
		return Summary{}, fmt.Errorf("summary of %s: %w", id, err)
	}
	return cart.summary(info), nil
}
