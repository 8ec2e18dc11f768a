package eventlog

import (
	"context"
	"slices"
	"time"
)

// Query selects events of one stream.
type Query struct {
	Branch string    // "" is main
	After  uint64    // only versions above this one
	Types  []string  // empty: all
	Since  time.Time // inclusive; zero: from the beginning
	Until  time.Time // exclusive; zero: no end
	Limit  int       // at most so many events; must be positive
}

// Page is the answer to a Query.
type Page struct {
	Events []Event // their payloads are copies
	Next   uint64  // After of the query that goes on from here
	Head   uint64  // the branch's version when it was read
}

// ReadPage reads the stream once from the beginning and returns the events that q selects, oldest first.
// Damaged places are left out.
func ReadPage(ctx context.Context, s Store, id StreamID, q Query) (Page, error) {
	page := Page{Events: []Event{}, Next: q.After}
	full := false
	for ev, err := range s.Read(ctx, id) {
		if err != nil {
			return Page{}, err
		}
		if ev.Branch != q.Branch {
			continue
		}
		page.Head = ev.Version
		if full || ev.Version <= q.After {
			continue
		}
		if len(page.Events) == q.Limit {
			full = true // only the head is still wanted
			continue
		}
		page.Next = ev.Version
		if q.Selects(&ev) {
			ev.Payload = slices.Clone(ev.Payload)
			page.Events = append(page.Events, ev)
		}
	}
	return page, nil
}

// Selects reports whether q's types and times let ev through; branch and versions are not looked at. Damaged events are
// never let through.
func (q *Query) Selects(ev *Event) bool {
	switch {
	case ev.Damaged:
		return false
	case len(q.Types) > 0 && !slices.Contains(q.Types, ev.Type):
		return false
	case !q.Since.IsZero() && ev.Time.Before(q.Since):
		return false
	case !q.Until.IsZero() && !ev.Time.Before(q.Until):
		return false
	}
	return true
}
