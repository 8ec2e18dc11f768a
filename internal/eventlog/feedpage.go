package eventlog

import (
	"context"
	"errors"
	"slices"
)

const (
	// ScanEvents is how many events a page of the feed looks at, at the most.
	ScanEvents = 50_000
	// pageBytes is how many bytes of payloads a page of the feed has, but for its last event.
	pageBytes = 4 << 20
)

// FeedQuery selects events of the feed of all streams of one kind.
type FeedQuery struct {
	Query          // After is a position; Branch means nothing
	Kind  Kind     // only streams of this kind
	Only  StreamID // only this stream; zero: all
}

// Selects reports whether q lets ev through; its position is not looked at.
func (q *FeedQuery) Selects(ev *Event) bool {
	return ev.Stream.Kind() == q.Kind && (q.Only == StreamID{} || ev.Stream == q.Only) && q.Query.Selects(ev)
}

// ReadFeed returns the events behind q.After that q selects, by position. Next is the position of the last event that was
// looked at: a page may be short, even empty, and not the last. It is when Next is Head. It looks at ScanEvents events at the
// most. Errors are those of ReadAll.
func ReadFeed(ctx context.Context, f Feed, q *FeedQuery) (Page, error) {
	page := Page{Events: []Event{}, Next: q.After, Head: f.Head()}
	seen, bytes := 0, 0
	for ev, err := range f.ReadAll(ctx, q.After) {
		if err != nil {
			return Page{}, err
		}
		page.Next = ev.Position
		if q.Selects(&ev) {
			ev.Payload = slices.Clone(ev.Payload)
			page.Events = append(page.Events, ev)
			bytes += len(ev.Payload)
		}
		if seen++; len(page.Events) == q.Limit || seen == ScanEvents || bytes >= pageBytes {
			break
		}
	}
	page.Head = max(page.Head, page.Next)
	return page, nil
}

// Earliest returns the position in front of the first event that is kept: 0 if all are.
func Earliest(ctx context.Context, f Feed) (uint64, error) {
	for _, err := range f.ReadAll(ctx, 0) {
		if c, ok := errors.AsType[*CompactedError](err); ok {
			return c.Earliest - 1, nil
		}
		return 0, err
	}
	return 0, nil
}
