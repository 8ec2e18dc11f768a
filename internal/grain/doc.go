// Package grain is the cart: its state, the handlers of the mutations that change it, its money, and the JSON that
// callers see of it.
//
// A [Cart] is changed by nothing but a handler of [Registry]. A handler is pure (it sees the state, the mutation and
// the event's time, number and id; no clock, no catalogue, no random numbers) and total: it refuses with an
// [actor.Refusal] and leaves the cart as it was, or it changes the cart as a whole. So a cart is the same whenever its
// events are replayed.
//
//	registry := grain.Registry(grain.Limits{})
//	var cart grain.Cart // does not exist yet
//	err := registry.Apply(&cart, &messages.AddItem{Sku: "85123A", Quantity: 6, Price: 255, Tax: 2500}, meta)
//	body := grain.AppendView(nil, &cart, info)
//
// # Life of a cart
//
//	""        anything that adds something  -> open; no CartCreated is needed: logs of older services have none
//	open      InitializeCheckout            -> checkout
//	checkout  AbortCheckout                 -> open
//	checkout  CheckoutExpired               -> open
//	checkout  OrderCreated                  -> ordered
//	open      MergeStarted                  -> open, but frozen
//	open      MergeAborted                  -> open
//	open      CartMerged                    -> merged
//	open      CartDeleted                   -> deleted
//	open      CartExpired                   -> expired
//
// A cart in checkout takes nothing but its end; an ordered, merged or deleted one takes nothing at all, except that a
// repeat of what made it so changes nothing. A checkout has a deadline, which its event holds. Once it is over, the next
// mutation finds it so: CheckoutExpired is stored before it, in the same commit. A read stores nothing, and shows the
// cart as its version has it: in checkout, with "checkoutUntil" in the past.
//
// # Money
//
// Amounts are integers in the currency's minor unit. What a line, a delivery or a cart may come to is bounded by
// 2^53-1, the largest integer that every JSON reader takes exactly (RFC 8259, section 6); what would exceed it is
// refused. The cart's totals are kept by rate and brought up to date with each change, so that a change costs the same
// in a cart of thousands of lines as in a small one. How VAT is rounded is told by the event of the first line.
//
// Vouchers are reckoned on the prices before all discounts, by the time of the event, after each change of an open cart
// and as it is frozen; together they take off no more than there is. A discount is split over the rates of VAT in
// proportion, to the unit by largest remainder.
//
// # Other grains
//
// A [Voucher] is the second aggregate: which carts use a voucher that is limited among all of them. What carts and vouchers
// want of each other is in their states, as errands (actor.Errand); docs/protocols.md has the steps, and what a crash
// between two of them leaves.
//
// # Concurrency
//
// A Cart belongs to one goroutine. A [Cart.Clone] may be used by another one at the same time. A registry, [AppendView]
// and [AppendPayload] may be used by any number of goroutines.
package grain
