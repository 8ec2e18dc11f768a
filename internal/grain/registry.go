package grain

import "cartd/pkg/actor"

// Limits says how much a cart may hold. The zero value of each field is its default.
//
// A registry that replays a cart's events must not be stricter than the one that accepted them: what it refuses at
// replay is missing from the cart. What else an operator may set, such as how VAT is rounded, is in the events.
type Limits struct {
	MaxLines    int   // lines in a cart; 5,000
	MaxQuantity int64 // units on a line; 1,000,000
	// MaxMergeBytes bounds a cart that is merged into another one, or forked, by the size of the event that holds its lines:
	// stores bound the size of an event. 4 MiB.
	MaxMergeBytes int
	// Lifetimes are how long a cart may rest before CartExpired is accepted.
	Lifetimes Lifetimes
}

// maxMergeBytes is the default of Limits.MaxMergeBytes.
const maxMergeBytes = 4 << 20

// rules is Limits with the defaults in place; the handlers are its methods.
type rules struct {
	maxLines    int
	maxQuantity int64
	maxMerge    int
	lifetimes   Lifetimes
}

// Registry returns the handlers of every mutation that a cart takes. It is read-only from then on.
//
// AddRequest and SetCartRequest are not among them: they are requests, resolved into these mutations before they
// reach a cart.
func Registry(limits Limits) *actor.MutationRegistry[Cart] {
	h := rules{maxLines: 5_000, maxQuantity: 1_000_000, maxMerge: maxMergeBytes, lifetimes: limits.Lifetimes}
	if limits.MaxLines > 0 {
		h.maxLines = limits.MaxLines
	}
	if limits.MaxQuantity > 0 {
		h.maxQuantity = limits.MaxQuantity
	}
	if limits.MaxMergeBytes > 0 {
		h.maxMerge = limits.MaxMergeBytes
	}
	r := actor.NewMutationRegistry[Cart]()

	register(r, "CartCreated", createCart)
	register(r, "CartDeleted", deleteCart)
	register(r, "CartExpired", h.expireCart)
	register(r, "SetUserId", whenOpen(setUser))

	registerBranched(r, "AddItem", whenOpen(h.addItem))
	r.Shortcut("AddItem", readAddItem)
	registerBranched(r, "RemoveItem", whenOpen(removeItem))
	registerBranched(r, "ChangeQuantity", whenOpen(h.changeQuantity))
	registerBranched(r, "LineItemAttributes", whenOpen(setAttributes))
	registerBranched(r, "LineItemMarking", whenOpen(setMarking))
	registerBranched(r, "RemoveLineItemMarking", whenOpen(removeMarking))
	registerBranched(r, "ClearCart", whenOpen(clearCart))
	registerBranched(r, "UpsertSubscriptionDetails", whenOpen(upsertSubscription))

	registerBranched(r, "SetDelivery", whenOpen(setDelivery))
	registerBranched(r, "RemoveDelivery", whenOpen(removeDelivery))
	registerBranched(r, "SetPickupPoint", whenOpen(setPickupPoint))

	registerBranched(r, "AddVoucher", whenOpen(addVoucher))
	registerBranched(r, "RemoveVoucher", whenOpen(removeVoucher))

	registerBranched(r, "RefreshPrices", whenOpen(refreshPrices))

	register(r, "InitializeCheckout", initializeCheckout)
	register(r, "AbortCheckout", abortCheckout)
	register(r, "CheckoutExpired", expireCheckout)
	register(r, "OrderCreated", createOrder)

	register(r, "VoucherRefused", whenOpen(refuseVoucher))
	register(r, "VoucherSettled", endSettlement)
	register(r, "VoucherLapsed", lapsedVoucher)

	register(r, "MergeCart", h.mergeCart)
	register(r, "MergeStarted", h.startMerge)
	register(r, "CartMerged", endMerge)
	register(r, "MergeAborted", abortMerge)

	registerAs(r, "BranchForked", forkBranch)
	register(r, "BranchPromoted", whenOpen(promoteBranch))
	registerAs(r, "BranchDeleted", deleteBranch)
	return r
}

// Settles reports whether the mutation name is a step that carts, vouchers and the sweeper take among themselves, or one made of
// what a log says, which nobody else may ask for.
func Settles(name string) bool {
	switch name {
	case "MergeCart", "MergeStarted", "CartMerged", "MergeAborted", "VoucherRefused", "VoucherSettled", "VoucherLapsed", "CartExpired", "BranchForked":
		return true
	}
	return false
}

// handler is what actor.Register takes.
type handler[M any] = func(*Cart, *M, actor.Meta) error

// register registers h for main alone.
func register[M any](r *actor.MutationRegistry[Cart], name string, h handler[M]) {
	registerAs(r, name, onMain(name, h))
}

// registerBranched registers h for main and every other branch.
func registerBranched[M any](r *actor.MutationRegistry[Cart], name string, h handler[M]) {
	registerAs(r, name, anywhere(h))
}

// registerAs registers h, which sees to the branch itself, and never sees a nil mutation.
func registerAs[M any](r *actor.MutationRegistry[Cart], name string, h handler[M]) {
	actor.Register(r, name, func(c *Cart, m *M, meta actor.Meta) error {
		if m == nil {
			return invalid("", "%s has no content.", name)
		}
		return h(c, m, meta)
	})
}

// whenOpen refuses what a cart that is not open does not take, and opens a cart that did not exist: the first
// mutation makes the cart. Whatever has changed, the vouchers are reckoned anew.
func whenOpen[M any](h handler[M]) handler[M] {
	return func(c *Cart, m *M, meta actor.Meta) error {
		if err := c.frozen(); err != nil {
			return err
		}
		if err := h(c, m, meta); err != nil {
			return err
		}
		c.status = StatusOpen
		c.reckon(meta.Time)
		return nil
	}
}
