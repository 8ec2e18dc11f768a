package grain

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// content returns what a branch that is forked from c begins with. It shares with c only what is never changed.
func (c *Cart) content() *messages.BranchForked {
	m := &messages.BranchForked{Currency: c.currency, Country: c.country, Lines: statesOfLines(c.lines),
		Deliveries: statesOfDeliveries(c.deliveries), Vouchers: statesOfVouchers(c.vouchers), Subscriptions: statesOfSubscriptions(c.subscriptions)}
	for _, v := range m.Vouchers { // the rest is reckoned, or main's
		v.Value, v.Obstacle, v.Reserved = 0, 0, false
	}
	return m
}

// sameContent reports whether both carts have the same content.
func (c *Cart) sameContent(other *Cart) bool { return proto.Equal(c.content(), other.content()) }

// fromContent returns the open cart that a branch of c begins as, its vouchers not reckoned. Every id in it has to be one
// that c has given.
func (c *Cart) fromContent(m *messages.BranchForked) (*Cart, error) {
	to := &Cart{status: StatusOpen, currency: m.Currency, userID: c.userID, rounding: c.rounding}
	err := checkCurrency(m.Currency)
	if err == nil {
		to.country, err = checkCountry("country", m.Country)
	}
	if err != nil {
		return nil, err
	}
	for _, l := range m.Lines {
		if l == nil {
			return nil, errNothing
		}
		if err := restoreLine(to, l); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.Id, err)
		}
	}
	for _, d := range m.Deliveries {
		if d == nil {
			return nil, errNothing
		}
		if err := restoreDelivery(to, d); err != nil {
			return nil, fmt.Errorf("delivery %d: %w", d.Id, err)
		}
	}
	for _, v := range m.Vouchers {
		if err := addVoucherAs(to, v); err != nil {
			return nil, err
		}
	}
	for _, s := range m.Subscriptions {
		if s == nil {
			return nil, errNothing
		}
	}
	if err := restoreSubscriptions(to, m.Subscriptions); err != nil {
		return nil, err
	}
	if to.lastLine > c.lastLine || to.lastDelivery > c.lastDelivery || to.lastVoucher > c.lastVoucher {
		return nil, fmt.Errorf("ids up to %d, %d and %d, the cart has given %d, %d and %d", to.lastLine, to.lastDelivery, to.lastVoucher,
			c.lastLine, c.lastDelivery, c.lastVoucher)
	}
	return to, nil
}

var errNothing = errors.New("a part of it has no content")

// addVoucherAs adds a voucher under the id that it has.
func addVoucherAs(c *Cart, s *messages.CartState_Voucher) error {
	if s == nil || s.Terms == nil {
		return errNothing
	}
	if s.Id <= c.lastVoucher {
		return fmt.Errorf("voucher %d comes after %d", s.Id, c.lastVoucher)
	}
	if s.Barred != 0 && (s.Barred < uint32(usedUp) || s.Barred > uint32(usedByUser)) {
		return fmt.Errorf("voucher %d: barred by %d", s.Id, s.Barred)
	}
	before := len(c.vouchers)
	c.lastVoucher = s.Id - 1
	if err := addVoucher(c, s.Terms, actor.Meta{}); err != nil {
		return fmt.Errorf("voucher %d: %w", s.Id, err)
	}
	if len(c.vouchers) == before {
		return fmt.Errorf("voucher %d: another has its code", s.Id)
	}
	c.vouchers[before].barred = obstacle(s.Barred)
	return nil
}

// statesOfBranches returns the branches as a snapshot has them.
func statesOfBranches(branches []branch) []*messages.CartState_Branch {
	states := make([]*messages.CartState_Branch, len(branches))
	for i, b := range branches {
		s := &messages.CartState_Branch{Name: b.name, From: b.from, Version: b.version, Closed: b.cart == nil}
		if c := b.cart; c != nil {
			s.Currency, s.Country, s.Lines, s.Deliveries = c.currency, c.country, statesOfLines(c.lines), statesOfDeliveries(c.deliveries)
			s.Vouchers, s.Subscriptions = statesOfVouchers(c.vouchers), statesOfSubscriptions(c.subscriptions)
			s.TotalExVat, s.TotalIncVat = c.total().ex, c.total().inc
		}
		states[i] = s
	}
	return states
}

// restoreBranches adds the branches, when the rest of the cart is there.
func restoreBranches(c *Cart, s *messages.CartState) error {
	if len(s.Branches) > maxBranchNames || len(s.Branches) > 0 && c.gone() != nil {
		return fmt.Errorf("status %q, and yet it has %d branches", c.status, len(s.Branches))
	}
	open := 0
	names := make(map[string]bool, len(s.Branches))
	for _, b := range s.Branches {
		if err := known(b); err != nil {
			return err
		}
		if !ValidBranch(b.Name) || names[b.Name] || b.From != MainBranch && !ValidBranch(b.From) || b.Version == 0 {
			return fmt.Errorf("branch %q, forked from %q at %d, or more than once", b.Name, b.From, b.Version)
		}
		names[b.Name] = true
		restored := branch{name: b.Name, from: b.From, version: b.Version}
		if b.Closed {
			if !proto.Equal(b, &messages.CartState_Branch{Name: b.Name, From: b.From, Version: b.Version, Closed: true}) {
				return fmt.Errorf("branch %q is closed, and yet there is something in it", b.Name)
			}
		} else {
			cart, err := cartFrom(&messages.CartState{Status: string(StatusOpen), UserId: s.UserId, Rounding: s.Rounding, PerUnit: s.PerUnit,
				Currency: b.Currency, Country: b.Country, Lines: b.Lines, Deliveries: b.Deliveries, Vouchers: b.Vouchers, Subscriptions: b.Subscriptions,
				LastLine: s.LastLine, LastDelivery: s.LastDelivery, LastVoucher: s.LastVoucher, TotalExVat: b.TotalExVat, TotalIncVat: b.TotalIncVat})
			if err != nil {
				return fmt.Errorf("branch %q: %w", b.Name, err)
			}
			cart.setCommon(common{})
			restored.cart = cart
			open++
		}
		c.branches = append(c.branches, restored)
	}
	if open > maxBranches {
		return fmt.Errorf("has %d open branches", open)
	}
	return nil
}
