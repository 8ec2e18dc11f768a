package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/eventlog"
)

// feedPage is a page of the feed of all carts.
type feedPage struct {
	Events []struct {
		Position, Version uint64
		CartID, Type      string
	}
	Next, Head  uint64
	Incarnation string
}

func (s *shop) feed(query string) (p feedPage) {
	s.t.Helper()
	a := s.want(s.request("GET", "/v1/events"+query, "", asBackend...), 200, "")
	if err := json.Unmarshal(a.body, &p); err != nil {
		s.t.Fatal(err)
	}
	if p.Incarnation == "" || a.header.Get("Cartd-Incarnation") != p.Incarnation {
		s.t.Errorf("incarnation %q, in the header %q", p.Incarnation, a.header.Get("Cartd-Incarnation"))
	}
	return p
}

// positions are those of the page's events.
func (p feedPage) positions() (all []uint64) {
	for _, ev := range p.Events {
		all = append(all, ev.Position)
	}
	return all
}

// threeCarts makes events at 1 to 8, of which 3 and 6 are a voucher's.
func (s *shop) threeCarts() (a, b string) {
	a, b = s.newCart(), s.newCart()
	s.reserve("LAUNCH", "x", "1", time.Now().Add(time.Hour).UnixMilli())
	s.want(s.request("POST", a+"/items", addLantern), 200, "")
	s.want(s.request("POST", b+"/items", addLantern), 200, "")
	s.release("LAUNCH", "x", "1")
	s.want(s.request("DELETE", a+"/items", ""), 200, "")
	s.newCart()
	return a, b
}

func TestFeedHasTheEventsOfAllCartsByPosition(t *testing.T) {
	s := openShop(t, nil)
	if p := s.feed(""); len(p.Events) != 0 || p.Next != 0 || p.Head != 0 {
		t.Errorf("the feed of nothing is %+v", p)
	}
	a, _ := s.threeCarts()
	id := strings.TrimPrefix(a, "/v1/carts/")
	for query, want := range map[string]string{
		"":                              "[1 2 4 5 7 8] 8",
		"?limit=3":                      "[1 2 4] 4",
		"?after=2":                      "[4 5 7 8] 8",
		"?after=2&limit=1":              "[4] 4",
		"?after=5&limit=1":              "[7] 7",
		"?after=8":                      "[] 8",
		"?type=AddItem":                 "[4 5] 8",
		"?type=AddItem,CartCreated":     "[1 2 4 5 8] 8",
		"?cart=" + id:                   "[1 4 7] 8",
		"?cart=" + id + "&type=AddItem": "[4] 8",
		"?cart=no-such-cart":            "[] 8",
		"?until=2020-01-01T00:00:00Z":   "[] 8",
		"?since=2020-01-01T00:00:00Z":   "[1 2 4 5 7 8] 8",
	} {
		p := s.feed(query)
		if got := fmt.Sprint(p.positions(), " ", p.Next); got != want || p.Head != 8 {
			t.Errorf("%s: got %s, head %d; want %s, 8", query, got, p.Head, want)
		}
	}
	for query, code := range map[string]string{
		"?after=x": "invalid_request", "?after=1&after=2": "invalid_request", "?cart=a&cart=b": "invalid_request", "?cart=a%2Fb": "validation_failed",
		"?limit=0": "validation_failed", "?limit=x": "invalid_request", "?since=yesterday": "invalid_request", "?%zz": "invalid_request",
	} {
		if got := s.request("GET", "/v1/events"+query, "", asBackend...).field("code"); got != code {
			t.Errorf("%s: code %s, want %s", query, got, code)
		}
	}
	s.want(s.request("GET", "/v1/events", ""), 401, "unauthorized")
	alone := openShop(t, func(o *api.Options) { o.BackendTokens = nil })
	alone.want(alone.request("GET", "/v1/events", "", asBackend...), 404, "not_found")
}

func TestCursorThatThereIsNoGoingOnFromIsRecognised(t *testing.T) {
	s := openShop(t, nil)
	s.threeCarts()
	incarnation := s.feed("").Incarnation
	s.feed("?after=3&incarnation=" + incarnation)
	s.store.Compact(5)
	if p := s.feed(""); fmt.Sprint(p.positions()) != "[7 8]" {
		t.Errorf("without a position it begins with %v, want the earliest that is kept", p.positions())
	}
	s.feed("?after=5")
	for query, why := range map[string]string{
		"?after=4": "not kept", "?after=0": "not kept", "?after=9": "restored",
		"?after=7&incarnation=00000000-0000-0000-0000-000000000000": "restored",
	} {
		for _, accept := range []string{"application/json", "text/event-stream"} {
			a := s.want(s.request("GET", "/v1/events"+query, "", append(asBackend, "Accept", accept)...), 410, "position_compacted")
			if a.field("earliest") != "6" || a.field("incarnation") != incarnation || !strings.Contains(a.field("detail"), why) {
				t.Errorf("%s: %s, want earliest 6 and that it is %s", query, a.body, why)
			}
		}
	}
}

func TestFeedStreamReplaysAndGoesOn(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Streams.Heartbeat = 5 * time.Millisecond })
	a, b := s.threeCarts()
	all, adds := s.stream("/v1/events?after=0", asBackend...), s.stream("/v1/events?type=AddItem&cart="+strings.TrimPrefix(b, "/v1/carts/"), asBackend...)
	back := s.stream("/v1/events?after=0", append(asBackend, "Last-Event-ID", "5")...)
	var got []string
	for _, st := range []*events{all, adds, back} {
		first := st.next()
		if first.id != "" || !strings.Contains(string(first.data), `"incarnation":"`+s.feed("").Incarnation+`","head":8`) {
			t.Errorf("a stream begins with %s %s", first.id, first.data)
		}
	}
	s.want(s.request("POST", a+"/items", addLantern), 200, "")
	s.want(s.request("POST", b+"/items", addLantern), 200, "")
	for range 8 {
		got = append(got, all.next().id)
	}
	if want := []string{"1", "2", "4", "5", "7", "8", "9", "10"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, want := range []string{"7", "8", "9", "10"} {
		if ev := back.next(); ev.id != want || fmt.Sprint(ev.Position) != want {
			t.Errorf("behind 5: got %s at %d, want %s", ev.id, ev.Position, want)
		}
	}
	for _, want := range []string{"5", "10"} {
		if ev := adds.next(); ev.id != want || ev.Type != "AddItem" {
			t.Errorf("adds of one cart: got %s at %s, want AddItem at %s", ev.Type, ev.id, want)
		}
	}
	// The cursor moves over what is left out, or a client that comes back would have it all looked through again.
	s.want(s.request("DELETE", a, ""), 204, "")
	moved := make(chan string)
	go func() {
		raw, seen := make([]byte, 1<<10), ""
		for !strings.Contains(seen, "id: 11\n\n") {
			n, err := adds.body.Read(raw)
			if err != nil {
				seen = err.Error()
				break
			}
			seen += string(raw[:n])
		}
		moved <- seen
	}()
	if seen := <-moved; strings.Contains(seen, "data") || !strings.Contains(seen, "id: 11") {
		t.Errorf("behind a deletion that it does not want the stream has %q", seen)
	}
}

// forgetful is a log that at some time has lost what is behind its readers.
type forgetful struct {
	api.EventLog
	forgets atomic.Bool
}

func (f *forgetful) ReadAll(ctx context.Context, after uint64) iter.Seq2[eventlog.Event, error] {
	if !f.forgets.Load() || after == 0 {
		return f.EventLog.ReadAll(ctx, after)
	}
	return func(yield func(eventlog.Event, error) bool) {
		yield(eventlog.Event{}, &eventlog.CompactedError{After: after, Earliest: after + 2})
	}
}

// A stream whose reader is slower than the retention is told in the stream.
func TestFeedStreamIsToldWhatIsNotKept(t *testing.T) {
	log := &forgetful{}
	s := openShop(t, func(o *api.Options) { log.EventLog, o.Streams.Log = o.Streams.Log, log })
	cart := s.newCart()
	st := s.stream("/v1/events", asBackend...)
	st.next()
	if ev := st.next(); ev.Position != 1 {
		t.Fatalf("got position %d, want 1", ev.Position)
	}
	log.forgets.Store(true)
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	ev, err := st.r.Next()
	if err != nil || ev.Type != "position_compacted" || !strings.Contains(string(ev.Data), `"earliest":3`) {
		t.Fatalf("got %s %s, %v; want position_compacted", ev.Type, ev.Data, err)
	}
	if _, err := st.r.Next(); err != io.EOF {
		t.Errorf("the end is %v, want a clean one", err)
	}
}
