package grain

import (
	"math"
	"time"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// Lifetimes are how long an open cart may rest, from its last change on. 0: for ever.
type Lifetimes struct {
	Empty time.Duration // without lines
	Guest time.Duration // bound to no user
	User  time.Duration
}

// anyLifetime lets whatever rests expire.
var anyLifetime = Lifetimes{math.MinInt64, math.MinInt64, math.MinInt64}

// Of returns how long a cart with so many lines and such a user may rest.
func (l Lifetimes) Of(lines int, user string) time.Duration {
	switch {
	case lines == 0:
		return l.Empty
	case user == "":
		return l.Guest
	}
	return l.User
}

// expiry returns when the cart expires if nobody changes it: to the second, as it is shown. Only an open cart does, and
// none that waits for another grain, or that another service has changed last.
func (l Lifetimes) expiry(c *Cart, info *actor.Info) (at time.Time, ok bool) {
	if info.Foreign {
		return time.Time{}, false
	}
	return l.expiryAfter(c, info.Updated)
}

// expiryAfter is expiry for a cart that was changed last at changed.
func (l Lifetimes) expiryAfter(c *Cart, changed time.Time) (at time.Time, ok bool) {
	life := l.Of(len(c.lines), c.userID)
	if life == 0 || c.status != StatusOpen || c.unsettled() || changed.IsZero() {
		return time.Time{}, false
	}
	return changed.Add(life).Truncate(time.Second), true
}

// hidden says why a cart is not shown any more. One whose time is over is gone from that moment on, whether it was swept
// or not: the view said when. A read stores nothing.
func (l Lifetimes) hidden(c *Cart, info actor.Info, now time.Time) *actor.Refusal {
	switch c.status {
	case StatusDeleted:
		return actor.Refuse(codeDeleted, "The cart was deleted.")
	case StatusExpired:
		return expired()
	}
	if l.over(c, &info, now) {
		return expired()
	}
	return nil
}

func expired() *actor.Refusal {
	return actor.Refuse(codeExpired, "The cart has expired: nobody had changed it for a long time.")
}

// over reports whether the cart has rested for as long as it may.
func (l Lifetimes) over(c *Cart, info *actor.Info, now time.Time) bool {
	at, ok := l.expiry(c, info)
	return ok && !now.Before(at)
}

// due returns what time alone has made due before m. Of a cart whose time is over m finds that it has expired: it is
// refused with that, and then nothing is stored; or it is one of those that a cart takes whatever it has become, and then
// both are.
func (l Lifetimes) due(c *Cart, info actor.Info, m actor.Mutation, now time.Time) actor.Mutation {
	if _, is := m.(*messages.CartExpired); !is && l.over(c, &info, now) {
		return &messages.CartExpired{}
	}
	return dueCheckout(c, m, now)
}

// expireCart ends a cart that has rested for as long as it may, by the clock of its grain: whoever asks for it, the
// sweeper that has read of it a while ago, cannot know what has changed since.
func (h rules) expireCart(c *Cart, _ *messages.CartExpired, meta actor.Meta) error {
	if c.status == "" {
		return actor.Refuse(codeNotFound, "There is no such cart.")
	}
	if c.status == StatusExpired {
		return actor.NoChange
	}
	if err := c.frozen(); err != nil {
		return err
	}
	if at, ok := h.lifetimes.expiryAfter(c, meta.Last); h.lifetimes != anyLifetime && (!ok || meta.Time.Before(at)) {
		return actor.Refuse(codeNotExpired, "The cart has not rested for long enough.")
	}
	if c.unsettled() {
		return actor.Refuse(codeFrozen, "The cart waits for others.")
	}
	*c = Cart{status: StatusExpired, userID: c.userID} // as a deleted one
	return nil
}
