// Package readmodel keeps a row for each cart, so that carts can be listed without a look at their logs.
//
// The rows live in a bbolt database beside the event log. It holds nothing that the log has not, and may be deleted at any
// time: it is built again in the background.
//
// # Promise
//
// The database has the position up to which it knows the log, written in one transaction with the rows, and synced. So
// it is the state of some moment whenever it is opened, after a kill -9 or a power failure too, and the feed of all
// events tells which carts have changed since. What they are now is told by their activations, when a commit is on
// stable storage ([Model.Note]); of a cart that nobody has told of, such as those that changed before the process
// began, the log is read from its newest snapshot on, without an activation.
//
// Which positions all of this was told of is told too ([Model.Told]). As far as none is missing behind the position of the
// rows, the feed need not be read; where one is, because nobody has told of it or not yet, because there was too much, or
// because a round has failed, the feed decides. So both only save reading: they may be late, lost, out of order or
// repeated. But who calls Told has called Note before.
//
// A database is built anew when it is missing or does not check out, when it belongs to another incarnation of the log or
// knows more than the log has, and when the feed does not go back to its position any more. Until that is done
// [Model.List] returns ErrBuilding.
//
// Nothing here holds a commit or an answer up. A model that cannot keep pace falls behind and catches up by position;
// List waits a moment for what was acknowledged before it was called. While the disk is too full for the log to be written
// to, the rows stay as they are.
//
// # Buckets
//
//	meta      "state"                                    → JSON: schema, incarnation, position, head
//	carts     id                                         → row, see encodeRow
//	statuses  status 0x00 id                             →
//	users     user 0x00 id                               →
//	ages      status 0x00 class since (8, Unix ms) id    →
//
// Numbers in keys are big-endian. class is a [Class]; since is the time of the last change, or of the end of the checkout.
// A cart whose log was archived has no row.
//
//	model := readmodel.Open("data/readmodel.db", readmodel.Options{Store: store, Read: read})
//	page, err := model.List(ctx, readmodel.Query{Status: grain.StatusOpen, Limit: 100})
package readmodel
