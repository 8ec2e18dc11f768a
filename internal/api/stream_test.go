package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/sse"
)

// events is a stream that is being read.
type events struct {
	t    testing.TB
	body io.ReadCloser
	r    *sse.Reader
}

// stream opens a stream, which must be answered with 200.
func (s *shop) stream(path string, headers ...string) *events {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute) // far more than anything takes
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s: %d %s %s, want a stream", path, resp.StatusCode, got, b)
	}
	return &events{s.t, resp.Body, sse.NewReader(resp.Body)}
}

// streamEvent is what a stream tells of an event.
type streamEvent struct {
	Position, Version    uint64
	CartID, Branch, Type string
	id                   string
	data                 []byte
}

func (e *events) next() streamEvent {
	e.t.Helper()
	got, err := e.r.Next()
	if err != nil {
		e.t.Fatal(err)
	}
	ev := streamEvent{id: got.ID, data: append([]byte(nil), got.Data...)}
	if err := json.Unmarshal(ev.data, &ev); err != nil {
		e.t.Fatalf("%q: %v", got.Data, err)
	}
	if got.Type != "feed" && got.Type != ev.Type {
		e.t.Errorf("event: %s, in data: %s", got.Type, ev.Type)
	}
	return ev
}

// want reads events and wants these versions.
func (e *events) want(versions ...uint64) {
	e.t.Helper()
	for _, v := range versions {
		if ev := e.next(); ev.Version != v || ev.id != fmt.Sprint(v) {
			e.t.Fatalf("got version %d, id %s; want %d", ev.Version, ev.id, v)
		}
	}
}

// ends wants the stream to end cleanly, and nothing more in it.
func (e *events) ends() {
	e.t.Helper()
	if ev, err := e.r.Next(); err != io.EOF {
		e.t.Errorf("got %s %v, want the end", ev.Data, err)
	}
}

func TestStreamReplaysAndGoesOn(t *testing.T) {
	s := openShop(t, nil)
	cart, other := s.newCart(), s.newCart()
	add := func(cart string) { s.want(s.request("POST", cart+"/items", addLantern), 200, "") }
	add(cart)
	add(cart)
	all, behind, marks := s.stream(cart+"/events"), s.stream(cart+"/events?after=1", "Last-Event-ID", "2"), s.stream(cart+"/events?type=LineItemMarking&branch=main")
	all.want(1, 2, 3)
	behind.want(3)
	add(other)
	add(cart)
	all.want(4)
	behind.want(4)
	s.want(s.request("PATCH", cart+"/items/1", `{"marking":{"type":1,"text":"To Ada"}}`), 200, "")
	ev := marks.next()
	all.want(5)
	if ev.Version != 5 {
		t.Errorf("got version %d of %s, want 5 alone", ev.Version, ev.Type)
	}
	page := s.want(s.request("GET", cart+"/events?after=4", ""), 200, "")
	if want := `{"events":[` + string(ev.data) + `],"next":5,"head":5}`; string(page.body) != want {
		t.Errorf("the page is %s, the stream %s", page.body, ev.data)
	}
	few := s.stream(cart + "/events?limit=2")
	few.want(1, 2)
	few.ends()
}

func TestStreamIsForWhoAsksForOne(t *testing.T) {
	s := openShop(t, nil)
	path := s.newCart() + "/events"
	for _, accept := range []string{"text/event-stream", "Text/Event-Stream", "text/event-stream, */*;q=0.1", "application/json;q=0.5,text/event-stream",
		"application/json, text/event-stream", "text/event-stream;q=0.9;x=y", "text/event-stream;q=much"} {
		t.Run(accept, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
				t.Errorf("the answer is %s", got)
			}
		})
	}
	for _, accept := range []string{"", "*/*", "text/*", "application/json", "text/event-stream;q=0", "text/event-stream; Q=0.0, */*", "application/json, text/event-stream;q=0.1",
		"text/event-streams"} {
		if a := s.request("GET", path+"?limit=1", "", "Accept", accept); a.field("head") != "1" {
			t.Errorf("Accept %q is answered with %s", accept, a.body)
		}
	}
}

func TestStreamIsForWhoMayReadTheCart(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	accept := []string{"Accept", "text/event-stream"}
	s.want(s.request("GET", "/v1/carts/no-such-cart/events", "", accept...), 404, "cart_not_found")
	s.want(s.request("GET", cart+"/events?limit=0", "", accept...), 422, "validation_failed")
	for _, id := range []string{"x", "-1", "1.5", "18446744073709551616"} {
		s.want(s.request("GET", cart+"/events", "", append(accept, "Last-Event-ID", id)...), 400, "invalid_request")
	}
	// A cursor from before a restore, say: to wait for version 8 would leave 2 to 8 out in silence.
	s.want(s.request("GET", cart+"/events", "", append(accept, "Last-Event-ID", "7")...), 410, "position_compacted")
	s.stream(cart+"/events", "Last-Event-ID", "").want(1) // browsers may send an empty one
}

func TestStreamEndsWithItsCartAndWithItsUser(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	bound := s.stream(cart + "/events?after=1")
	s.want(s.request("PUT", cart+"/user", `{"userId":"u-1"}`), 200, "")
	bound.want(2)
	bound.ends()
	again := s.stream(cart+"/events", "Last-Event-ID", "0") // what is past ends nothing
	filtered := s.stream(cart + "/events?after=2&type=AddItem")
	again.want(1, 2)
	s.want(s.request("DELETE", cart, ""), 204, "")
	again.want(3)
	again.ends()
	filtered.ends()
	s.want(s.request("GET", cart+"/events", "", "Accept", "text/event-stream", "Last-Event-ID", "3"), 410, "cart_deleted")
}

func TestStreamsAreBounded(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Streams.MaxCarts = 2 })
	cart := s.newCart()
	one := s.stream(cart + "/events")
	s.stream(cart + "/events")
	a := s.want(s.request("GET", cart+"/events", "", "Accept", "text/event-stream"), 503, "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	s.stream("/v1/events", asBackend...) // has places of its own
	one.body.Close()
	for { // until the server knows
		if a := s.request("HEAD", cart+"/events", "", "Accept", "text/event-stream"); a.status == 200 {
			break
		}
	}
	s.eventually("all streams but two are given back", func() bool {
		return s.gauge("cartd_streams_open") == 2 && s.gauge("cartd_http_requests_in_flight") == 0
	})
}

func TestIdleStreamGivesSignsOfLifeAndOutlivesTheRequestTimeout(t *testing.T) {
	s := openShop(t, func(o *api.Options) {
		o.Streams.Heartbeat = 5 * time.Millisecond
		o.Timeout = 20 * time.Millisecond
	})
	cart := s.newCart()
	st := s.stream(cart + "/events")
	st.want(1)
	raw := bufio.NewReader(st.body)
	for beats := 0; beats < 10; {
		line, err := raw.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, ":") {
			beats++
		}
	}
}

func TestStreamOfABoundCartIsForItsUserAlone(t *testing.T) {
	s, issuer := openLogins(t)
	cart, ada := s.newCart(), issuer.Token("ada")
	guest := s.stream(cart + "/events")
	guest.want(1)
	s.want(s.request("PUT", cart+"/user", `{"userId":"ada"}`, as(ada)...), 200, "")
	guest.want(2)
	guest.ends()
	for who, header := range map[string][]string{"bob": as(issuer.Token("bob")), "nobody": nil} {
		if a := s.request("GET", cart+"/events", "", append(header, "Accept", "text/event-stream", "Last-Event-ID", "2")...); a.status != 404 || a.field("code") != "cart_not_found" {
			t.Errorf("%s: %d %s, want 404", who, a.status, a.body)
		}
	}
	bound, backend := s.stream(cart+"/events", as(ada)...), s.stream(cart+"/events", asBackend...)
	s.want(s.request("POST", cart+"/items", addLantern, as(ada)...), 200, "")
	bound.want(1, 2, 3)
	backend.want(1, 2, 3)
}

// What bounds a request on its connection does not bound a stream, whatever the protocol.
func TestStreamOutlivesTheTimeoutsOfItsConnection(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Streams.Heartbeat = 10 * time.Millisecond })
	cart := s.newCart()
	for major := 1; major <= 2; major++ {
		t.Run(fmt.Sprint("HTTP/", major), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(conforming(t, s.handler))
			server.EnableHTTP2 = major == 2
			server.Config.ReadTimeout, server.Config.WriteTimeout, server.Config.IdleTimeout = time.Second, time.Second, time.Second
			server.StartTLS()
			defer server.Close()
			req, err := http.NewRequestWithContext(timeout(t), "GET", server.URL+cart+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", "text/event-stream")
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.ProtoMajor != major {
				t.Fatalf("the connection speaks %s", resp.Proto)
			}
			lines := bufio.NewReader(resp.Body)
			for beats := 0; beats < 150; { // 1.5 s at least
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("behind %d signs of life: %v", beats, err)
				}
				if strings.HasPrefix(line, ":") {
					beats++
				}
			}
		})
	}
}

// A branch has a stream of its own, which ends with it.
func TestStreamOfABranchHasItsEventsAlone(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/branches", `{"name":"gift"}`), 201, "")
	main, gift := s.stream(cart+"/events?after=2"), s.stream(cart+"/events?branch=gift")
	gift.want(1)
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/items?branch=gift", addLantern), 200, "")
	s.want(s.request("DELETE", cart+"/branches/gift", ""), 204, "")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	main.want(3, 4)
	gift.want(2, 3)
	gift.ends()
	s.want(s.request("GET", cart+"/events?branch=gift", "", "Accept", "text/event-stream", "Last-Event-ID", "3"), 404, "branch_not_found")
}

// A client that is there and takes nothing is cut off, and holds nobody up meanwhile.
func TestClientThatTakesNothingIsCutOff(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Streams.Patience = 20 * time.Millisecond })
	cart := s.newCart()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:errcheck // then it takes more
	fmt.Fprintf(conn, "GET %s/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", cart)
	s.eventually("the stream is open", func() bool { return s.gauge("cartd_streams_open") == 1 })
	body := bigBatch()
	s.eventually("the stream is cut", func() bool {
		s.want(s.request("POST", cart+"/mutations", body, asBackend...), 200, "")
		return s.gauge("cartd_streams_open") == 0
	})
}

// TestReadersThatComeAndGoSeeEachEventOnce has readers that leave and come back while a cart changes.
func TestReadersThatComeAndGoSeeEachEventOnce(t *testing.T) {
	s := openShop(t, nil)
	const adds, readers = 200, 8
	cart := s.newCart()
	var wg sync.WaitGroup
	for n := range readers {
		wg.Go(func() {
			for last := uint64(0); last < adds+1; {
				st := s.stream(cart+"/events", "Last-Event-ID", fmt.Sprint(last))
				for range 1 + (int(last)+n)%17 {
					if last == adds+1 {
						break
					}
					ev, err := st.r.Next()
					if err != nil {
						if !errors.Is(err, io.EOF) {
							t.Error(err)
						}
						return
					}
					if ev.ID != fmt.Sprint(last+1) {
						t.Errorf("reader %d: got %s behind %d", n, ev.ID, last)
						return
					}
					last++
				}
				st.body.Close()
			}
		})
	}
	for range adds {
		s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	}
	wg.Wait()
}

// A reader that reads nothing while its cart changes goes back to the log when it reads again, and gets everything.
func TestReaderThatReadsNothingThenGetsEverything(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	silent, feed := s.stream(cart+"/events"), s.stream("/v1/events", asBackend...)
	silent.want(1)
	feed.next()
	body := bigBatch()
	for range 10 { // 8 MB: more than sockets hold
		s.want(s.request("POST", cart+"/mutations", body, asBackend...), 200, "")
	}
	for v := uint64(2); v <= 1001; v++ {
		silent.want(v)
	}
	for p := uint64(1); p <= 1001; p++ {
		if ev := feed.next(); ev.Position != p {
			t.Fatalf("the feed has %d, want %d", ev.Position, p)
		}
	}
	if n := s.gauge("cartd_stream_fallbacks_total"); n == 0 {
		t.Error("the reader was never behind: this shows nothing")
	}
}

// bigBatch is a request of 100 mutations with 8 KB each.
func bigBatch() string {
	var big []string
	for n := range 100 {
		var attributes []string
		for a := range 32 {
			attributes = append(attributes, fmt.Sprintf(`"a%d":%q`, a, strings.Repeat("x", 240)))
		}
		big = append(big, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"big-%d","quantity":1,"price":1,"tax":0,"attributes":{%s}}}`, n, strings.Join(attributes, ",")))
	}
	return `{"mutations":[` + strings.Join(big, ",") + `]}`
}
