package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cartd/internal/eventlog"
)

const (
	defaultEvents = 100
	maxEvents     = 1000
)

// window is what the queries of all pages by number have.
type window struct {
	after        uint64
	limit        int
	since, until time.Time
}

// windowOf reads the window of a query.
func windowOf(values url.Values) (w window, err error) {
	w.limit = defaultEvents
	for _, name := range []string{"after", "limit", "since", "until"} {
		if len(values[name]) > 1 {
			return w, fault("invalid_request", "%s is there more than once", name)
		}
	}
	if values.Has("after") {
		if w.after, err = strconv.ParseUint(values.Get("after"), 10, 63); err != nil {
			return w, fault("invalid_request", "after is not a number to begin behind")
		}
	}
	if values.Has("limit") {
		n, err := strconv.ParseInt(values.Get("limit"), 10, 64)
		if err != nil {
			return w, fault("invalid_request", "limit is not an integer")
		}
		if n < 1 || n > maxEvents {
			return w, invalid("limit", "must be 1 to %d", maxEvents)
		}
		w.limit = int(n)
	}
	if values.Has("since") {
		if w.since, err = parseTime("since", values.Get("since")); err != nil {
			return w, err
		}
	}
	if values.Has("until") {
		if w.until, err = parseTime("until", values.Get("until")); err != nil {
			return w, err
		}
	}
	return w, nil
}

// namesIn returns the names of a parameter that is a list, separated by commas or by repeating it.
func namesIn(values url.Values, parameter string) (names []string) {
	for _, list := range values[parameter] {
		for name := range strings.SplitSeq(list, ",") {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// eventsQuery reads the query of a request for events.
func eventsQuery(r *http.Request) (eventlog.Query, error) {
	values, err := parseQuery(r)
	if err != nil {
		return eventlog.Query{}, err
	}
	w, err := windowOf(values)
	return eventlog.Query{After: w.after, Limit: w.limit, Since: w.since, Until: w.until, Types: namesIn(values, "type")}, err
}

// appendPage writes a page of events. Payloads are JSON already.
func appendPage(b []byte, page eventlog.Page) []byte {
	b = append(b, `{"events":[`...)
	for i := range page.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendEvent(b, &page.Events[i])
	}
	b = append(b, `],"next":`...)
	b = strconv.AppendUint(b, page.Next, 10)
	b = append(b, `,"head":`...)
	b = strconv.AppendUint(b, page.Head, 10)
	return append(b, '}')
}

// AppendEvent appends an event as clients see it. Ids and names are made of characters that need no escapes.
func AppendEvent(b []byte, ev *eventlog.Event) []byte {
	b = append(b, '{')
	if ev.Position > 0 {
		b = append(b, `"position":`...)
		b = strconv.AppendUint(b, ev.Position, 10)
		b = append(b, ',')
	}
	branch := ev.Branch
	if branch == "" {
		branch = "main"
	}
	b = append(b, `"cartId":"`...)
	b = append(b, ev.Stream.Name()...)
	b = append(b, `","branch":"`...)
	b = append(b, branch...)
	b = append(b, `","version":`...)
	b = strconv.AppendUint(b, ev.Version, 10)
	b = append(b, `,"id":"`...)
	b = append(b, ev.ID.String()...)
	b = append(b, `","time":"`...)
	b = ev.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","type":`...)
	b, _ = appendMarshal(b, ev.Type) // a string always can be
	b = append(b, `,"payload":`...)
	b = append(b, ev.Payload...)
	return append(b, '}')
}
