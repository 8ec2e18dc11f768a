package grain

import (
	"slices"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

const (
	// MainBranch is the name of the branch that is always there.
	MainBranch = "main"
	// maxBranchBytes bounds the name of another one.
	maxBranchBytes = 32
	// maxBranches bounds the branches of a cart that are open, and maxBranchNames those that it ever had.
	maxBranches    = 32
	maxBranchNames = 256
	// maxForkedLines bounds the lines of all branches beside main when another one is forked: else a cart would grow by a
	// whole one with each small request.
	maxForkedLines = 20_000
)

// branch is a what-if cart beside main; see docs/history.md.
type branch struct {
	name    string
	from    string // what it was forked from: main or another branch
	version uint64 // of that

	// cart holds the branch's own part; what is the cart's (see common) is zero in it. nil: the branch is closed.
	cart *Cart
	// lent is true when a clone of the whole has the same cart: whoever changes it first makes a copy.
	lent bool
}

// common is what the branches of a cart have together: main holds it, and lends it to the others.
type common struct {
	userID                              string
	rounding                            Rounding
	lastLine, lastDelivery, lastVoucher uint32
}

func (c *Cart) common() common {
	return common{c.userID, c.rounding, c.lastLine, c.lastDelivery, c.lastVoucher}
}

func (c *Cart) setCommon(s common) {
	c.userID, c.rounding, c.lastLine, c.lastDelivery, c.lastVoucher = s.userID, s.rounding, s.lastLine, s.lastDelivery, s.lastVoucher
}

// ValidBranch reports whether name can name a branch beside main: it matches [a-z0-9][a-z0-9_-]{0,31}.
func ValidBranch(name string) bool {
	if name == "" || len(name) > maxBranchBytes || name == MainBranch {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case (c == '_' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}

// branch returns the open branch of a name, nil if there is none.
func (c *Cart) branch(name string) *branch {
	i := slices.IndexFunc(c.branches, func(b branch) bool { return b.name == name })
	if i < 0 || c.branches[i].cart == nil {
		return nil
	}
	return &c.branches[i]
}

// hiddenBranch says why a branch cannot be seen.
func hiddenBranch(c *Cart, name string) *actor.Refusal {
	if c.branch(name) == nil {
		return actor.Refuse(actor.CodeBranchNotFound, "The cart has no branch %q.", name)
	}
	return nil
}

// shown returns the branch as a cart of its own, only to be looked at: empty if there is none.
func (c *Cart) shown(name string) *Cart {
	if name == "" {
		return c
	}
	shown := Cart{}
	if b := c.branch(name); b != nil {
		shown = *b.cart
	}
	shown.setCommon(c.common())
	return &shown
}

// gone returns why the cart and its branches are no more; a cart that is ordered or merged still has them.
func (c *Cart) gone() error {
	switch c.status {
	case "":
		return actor.Refuse(codeNotFound, "There is no such cart.")
	case StatusOpen, StatusCheckout, StatusOrdered, StatusMerged:
		return nil
	}
	return c.closed()
}

// toChange returns an open branch whose cart may be changed.
func (c *Cart) toChange(name string) (*branch, error) {
	if err := c.gone(); err != nil {
		return nil, err
	}
	if r := hiddenBranch(c, name); r != nil {
		return nil, r
	}
	b := c.branch(name)
	if b.lent {
		b.cart, b.lent = b.cart.Clone(), false
	}
	return b, nil
}

// lendBranches returns the branches for a clone of the cart.
func (c *Cart) lendBranches() []branch {
	for i := range c.branches {
		c.branches[i].lent = true
	}
	return slices.Clone(c.branches)
}

// anywhere lets h change main or another branch, whichever the event is in.
func anywhere[M any](h handler[M]) handler[M] {
	return func(c *Cart, m *M, meta actor.Meta) error {
		if meta.Branch == "" {
			return h(c, m, meta)
		}
		b, err := c.toChange(meta.Branch)
		if err != nil {
			return err
		}
		b.cart.setCommon(c.common())
		err = h(b.cart, m, meta)
		if err == nil {
			c.setCommon(b.cart.common())
		}
		b.cart.setCommon(common{})
		return err
	}
}

// onMain lets h change main alone. Elsewhere it could never be: that is no conflict, which might pass.
func onMain[M any](name string, h handler[M]) handler[M] {
	return func(c *Cart, m *M, meta actor.Meta) error {
		if meta.Branch == "" {
			return h(c, m, meta)
		}
		if _, err := c.toChange(meta.Branch); err != nil {
			return err
		}
		return invalid("branch", "%s is for main alone.", name)
	}
}

// forkBranch begins the branch that the event is in.
func forkBranch(c *Cart, m *messages.BranchForked, meta actor.Meta) error {
	if err := c.gone(); err != nil {
		return err
	}
	if !ValidBranch(meta.Branch) {
		return invalid("name", "name must match [a-z0-9][a-z0-9_-]{0,31}, and not be main.")
	}
	if meta.Version != 1 || slices.ContainsFunc(c.branches, func(b branch) bool { return b.name == meta.Branch }) {
		return actor.Refuse(codeBranchExists, "The cart has a branch %q, or had one.", meta.Branch)
	}
	if m.From != MainBranch && !ValidBranch(m.From) || m.Version == 0 {
		return invalid("fromVersion", "A branch begins as a version of another one.")
	}
	open, lines := 0, len(m.Lines)
	for i := range c.branches {
		if b := c.branches[i].cart; b != nil {
			open++
			lines += len(b.lines)
		}
	}
	if open >= maxBranches {
		return invalid("name", "A cart has at most %d branches.", maxBranches)
	}
	if len(c.branches) >= maxBranchNames {
		return invalid("name", "A cart has at most %d branches in its life.", maxBranchNames)
	}
	if lines > maxForkedLines {
		return invalid("name", "The branches of a cart have at most %d lines together when another one is forked.", maxForkedLines)
	}
	cart, err := c.fromContent(m)
	if err != nil {
		return invalid("content", "The content of the branch is none that a cart can have: %v.", err)
	}
	cart.reckon(meta.Time)
	cart.setCommon(common{})
	c.branches = append(c.branches, branch{name: meta.Branch, from: m.From, version: m.Version, cart: cart})
	return nil
}

// promoteBranch gives main what the branch has now. Who owns the cart, which carts it has taken over and what vouchers
// have yet to be told stays main's.
func promoteBranch(c *Cart, m *messages.BranchPromoted, _ actor.Meta) error {
	if r := hiddenBranch(c, m.Branch); r != nil {
		return r
	}
	to := c.branch(m.Branch).cart
	if c.sameContent(to) {
		return actor.NoChange
	}
	to = to.Clone()
	c.currency, c.country = to.currency, to.country
	c.lines, c.index, c.children = to.lines, nil, to.children
	c.deliveries, c.vouchers, c.subscriptions = to.deliveries, to.vouchers, to.subscriptions
	c.items, c.freight = to.items, to.freight
	return nil
}

// deleteBranch closes the branch that the event is in. Its name stays taken.
func deleteBranch(c *Cart, _ *messages.BranchDeleted, meta actor.Meta) error {
	if meta.Branch == "" {
		return invalid("branch", "main cannot be closed.")
	}
	b, err := c.toChange(meta.Branch)
	if err != nil {
		return err
	}
	b.cart = nil
	return nil
}
