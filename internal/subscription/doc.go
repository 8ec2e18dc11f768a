// Package subscription keeps durable subscriptions to the feed of all carts' events, and carries the events of those that
// have a webhook to its receiver.
//
// # Promise
//
// A subscription's checkpoint is a position of the log; it is on stable storage before an acknowledgement is answered, and
// moves over nothing that was not acknowledged, delivered or made a dead letter. So every event that a subscription selects
// is told at least once, through restarts and kills, and a cart's events in their order. What ends that is told: events that
// are not kept any more (docs/feeds.md says how long they are) are an error for who polls, and counted for a webhook.
//
// Nothing here is waited for by a commit: a subscription reads the feed at its own pace, with a bounded window in memory.
//
// # Buckets of the database
//
//	subscriptions  name                    → JSON: record
//	dead/<name>    position (8, big-endian) → JSON: DeadLetter
//
//	subs := subscription.Open("data/subscriptions.db", subscription.Options{Log: log, Event: api.AppendEvent})
//	info, made, err := subs.Create(subscription.Definition{Name: "mail"}, nil)
package subscription
