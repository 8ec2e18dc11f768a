// Package sweep goes through the carts that time alone has made something due for.
//
// A [Sweeper] is one goroutine that wakes up now and then and asks the list of carts, which neither lists directories nor
// activates carts, for four kinds:
//
//	checkouts   whose freeze is over             are asked to store CheckoutExpired
//	errands     open since more than a minute    are activated, which resumes them
//	carts       that have rested long enough     are asked to store CartExpired
//	expired     carts                            have their logs archived, and leave the list
//
// # Promise
//
// The list may be late, so it decides nothing: each cart's grain does, by its own clock and state, in the order of its
// mailbox. A cart that a shopper has changed meanwhile refuses, and that is no failure.
//
// Few carts are activated at once, and leave memory with their answer; between batches the sweeper rests. Nothing is kept
// but what the list says: a sweep that is cut off, by the end of the process too, goes on with the next one. None stays
// with one kind for longer than it is to the next sweep, so that checkouts do not wait for the last of a million expired
// carts. While the log cannot be written to, a full disk among the reasons, nothing is swept.
//
//	sweeper := sweep.Start(sweep.Options{Carts: grains, Rows: list, Logs: store, Lifetimes: lifetimes, Every: 5 * time.Minute})
//	defer sweeper.Close() // before the list, the grains and the log
package sweep
