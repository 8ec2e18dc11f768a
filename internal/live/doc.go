// Package live tells the streams of carts what their carts' logs get, as it gets there.
//
// A [Hub] follows the feed of all events while somebody watches, with one goroutine for all. Who watches a stream first, and
// reads its log then, misses nothing: the hub begins at a head whose events every later read of a log shows. It may be told
// of events that it has read already.
//
//	watch, err := hub.Watch(id)
//	defer watch.Close()
//	… read the log …
//	for range watch.News() {
//		events, behind := watch.Take()
//		… if behind, read the log again; else the events are all that came …
//	}
//
// Nobody waits for who watches: what is put down for them is bounded, and who has more than that is behind.
package live
