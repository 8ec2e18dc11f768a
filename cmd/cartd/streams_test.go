//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cartd/internal/sse"
)

// open opens a stream; nil when nobody answers.
func (s *server) open(ctx context.Context, path, last string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.api+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // a client's time-out would end it
	if err == nil && resp.StatusCode != http.StatusOK {
		a, _ := readAnswer(resp)
		return nil, fmt.Errorf("%s: %d %s", path, a.status, a.body)
	}
	return resp, err
}

// TestReadersJoinTheirSequenceThroughKills has 20 readers of one cart come, go and resume while it changes and its server is
// killed.
func TestReadersJoinTheirSequenceThroughKills(t *testing.T) {
	t.Parallel()
	const adds, readers = 500, 20
	data := t.TempDir()
	var now atomic.Pointer[server]
	now.Store(serve(t, data))
	now.Load().create(t, "c")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var reading sync.WaitGroup
	var resumed atomic.Int64
	for n := range readers {
		reading.Go(func() {
			last := 0
			for last < adds+1 && ctx.Err() == nil {
				resp, err := now.Load().open(ctx, "/v1/carts/c/events", fmt.Sprint(last))
				if err != nil {
					if strings.Contains(err.Error(), "events: 410 ") { // an address may have the digits too
						t.Errorf("reader %d behind %d: %v", n, last, err) // it was told what is gone now
						return
					}
					continue // nobody is there
				}
				resumed.Add(1)
				r := sse.NewReader(resp.Body)
				for left := 1 + rand.IntN(60); left > 0 && last < adds+1; left-- {
					ev, err := r.Next()
					if err != nil {
						break
					}
					var in struct{ Version int }
					if err := json.Unmarshal(ev.Data, &in); err != nil || ev.ID != fmt.Sprint(last+1) || in.Version != last+1 {
						t.Errorf("reader %d: %s %s behind %d, %v", n, ev.ID, ev.Data, last, err)
						cancel()
						break
					}
					last++
				}
				resp.Body.Close()
			}
			if last != adds+1 {
				t.Errorf("reader %d came to %d, want %d", n, last, adds+1)
			}
		})
	}
	for n := range adds {
		if n%150 == 149 {
			go now.Load().signal(syscall.SIGKILL) // while the next adds are on their way
		}
		for {
			s := now.Load()
			a, err := s.try("POST", "/v1/carts/c/mutations", addItem(fmt.Sprint("sku-", n%20), 1, 100, ""), "Idempotency-Key", fmt.Sprint(n))
			if err == nil && a.status == http.StatusOK {
				break
			}
			if err == nil {
				t.Fatalf("add %d: %d %s", n, a.status, a.body)
			}
			s.wait()
			now.Store(serve(t, data))
		}
	}
	reading.Wait()
	t.Logf("%d streams were opened", resumed.Load())
	if m := now.Load().metrics(t); m[`cartd_streams_open{of="cart"}`] > readers {
		t.Errorf("%v streams are open", m[`cartd_streams_open{of="cart"}`])
	}
}

// TestFeedEqualsTheCartsLogs compares the feed, in pages and as a stream, with the carts' own logs.
func TestFeedEqualsTheCartsLogs(t *testing.T) {
	t.Parallel()
	const events, carts, writers, batch = 10_000, 500, 64, 5
	s := serve(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	streamed := make(chan []apiEvent, 1)
	resp, err := s.open(ctx, "/v1/events?after=0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go func() {
		var all []apiEvent
		r := sse.NewReader(resp.Body)
		for len(all) < events {
			ev, err := r.Next()
			if err != nil {
				t.Error(err)
				break
			}
			var in apiEvent
			if err := json.Unmarshal(ev.Data, &in); err != nil {
				t.Error(err)
			}
			if ev.Type != "feed" {
				all = append(all, in)
			}
		}
		streamed <- all
	}()

	var mutations []string
	for n := range batch {
		mutations = append(mutations, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"s%d","quantity":1,"price":100,"tax":0}}`, n))
	}
	body := `{"mutations":[` + strings.Join(mutations, ",") + `]}`
	var next atomic.Int64
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for n := next.Add(1) - 1; n < carts*3 && !t.Failed(); n = next.Add(1) - 1 { // 1 + 19 events each
				cart := fmt.Sprint("c", n%carts)
				if n < carts {
					if a, err := s.try("POST", "/v1/carts", newCart(cart)); err != nil || a.status != http.StatusCreated {
						t.Errorf("%s: %d %s, %v", cart, a.status, a.body, err)
					}
				}
			}
		})
	}
	writing.Wait()
	next.Store(0)
	for range writers {
		writing.Go(func() {
			for n := next.Add(1) - 1; n < carts*4 && !t.Failed(); n = next.Add(1) - 1 {
				text := body
				if n < carts {
					text = `{"mutations":[` + strings.Join(mutations[:batch-1], ",") + `]}` // with the creation 20 each
				}
				if a, err := s.try("POST", fmt.Sprint("/v1/carts/c", n%carts, "/mutations"), text); err != nil || a.status != http.StatusOK {
					t.Errorf("cart %d: %d %s, %v", n%carts, a.status, a.body, err)
				}
			}
		})
	}
	writing.Wait()

	type page struct {
		Events     []apiEvent
		Next, Head uint64
	}
	var paged []apiEvent
	for after := uint64(0); len(paged) < events; {
		p := decodeAs[page](t, s.do(t, http.StatusOK, "GET", fmt.Sprint("/v1/events?limit=777&after=", after), "").body)
		if p.Head != events || p.Next <= after {
			t.Fatalf("behind %d: head %d, next %d", after, p.Head, p.Next)
		}
		paged = append(paged, p.Events...)
		after = p.Next
	}
	byCart := map[string][]apiEvent{}
	for which, all := range map[string][]apiEvent{"pages": paged, "stream": <-streamed} {
		if len(all) != events {
			t.Fatalf("%s: %d events, want %d", which, len(all), events)
		}
		for i, ev := range all {
			if ev.Position != uint64(i)+1 { // dense: there is nothing but carts here
				t.Fatalf("%s: event %d is at position %d", which, i+1, ev.Position)
			}
			if which == "pages" {
				byCart[ev.CartID] = append(byCart[ev.CartID], ev)
			} else if ev.CartID != paged[i].CartID || ev.Version != paged[i].Version {
				t.Fatalf("position %d is %s %d in the stream and %s %d in pages", ev.Position, ev.CartID, ev.Version, paged[i].CartID, paged[i].Version)
			}
		}
	}
	if len(byCart) != carts {
		t.Errorf("%d carts, want %d", len(byCart), carts)
	}
	for cart, got := range byCart {
		own := decodeAs[page](t, s.do(t, http.StatusOK, "GET", "/v1/carts/"+cart+"/events", "").body)
		if len(own.Events) != len(got) {
			t.Fatalf("cart %s has %d events, %d in the feed", cart, len(own.Events), len(got))
		}
		for i, ev := range own.Events {
			if ev.Version != uint64(i)+1 || ev.Version != got[i].Version || ev.Position != got[i].Position || ev.Type != got[i].Type || string(ev.Payload) != string(got[i].Payload) {
				t.Fatalf("cart %s: %+v in its log, %+v in the feed", cart, ev, got[i])
			}
		}
	}
}

// TestWebhooksLoseNothingThroughKills: the receiver fails in many ways, and the server is killed meanwhile.
func TestWebhooksLoseNothingThroughKills(t *testing.T) {
	t.Parallel()
	const carts, rounds = 10, 4
	var mu sync.Mutex // guards the following
	taken, calls := map[string]uint64{}, 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ev struct{ Data apiEvent }
		if b, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(b, &ev) != nil {
			return // its sender was killed
		}
		mu.Lock()
		calls++
		n, last := calls, taken[ev.Data.CartID]
		if ev.Data.Version > last+1 {
			t.Errorf("cart %s: %d came behind %d", ev.Data.CartID, ev.Data.Version, last)
		}
		if n%7 != 1 && n%7 != 3 {
			taken[ev.Data.CartID] = max(last, ev.Data.Version)
		}
		mu.Unlock()
		switch n % 7 {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 3, 5:
			panic(http.ErrAbortHandler) // dies half way through, before or after it has taken the event
		case 6:
			if n%42 == 6 {
				<-r.Context().Done() // hangs
			}
		}
	}))
	defer receiver.Close()
	data := t.TempDir()
	var s *server
	want := map[string]uint64{}
	for round := range rounds {
		s = serve(t, data, "--webhook-timeout=500ms")
		if round == 0 {
			s.do(t, http.StatusCreated, "POST", "/v1/subscriptions", `{"name":"hook","webhook":{"url":"`+receiver.URL+`"}}`)
		}
		for n := range carts {
			cart := fmt.Sprint("c", n)
			if round == 0 {
				s.create(t, cart)
				want[cart]++
			}
			for i := range 1 + n%4 {
				s.add(t, cart, fmt.Sprint("r", round, "i", i))
				want[cart]++
			}
		}
		if round < rounds-1 {
			s.kill()
		}
	}
	all := func() bool {
		mu.Lock()
		defer mu.Unlock()
		for cart, v := range want {
			if taken[cart] != v {
				return false
			}
		}
		return true
	}
	eventually(t, "all events are taken", all)
	type view struct {
		Position, Head uint64
		Webhook        struct {
			DeadLetters, Missed uint64
			Secret              string
		}
	}
	var hook view
	eventually(t, "the checkpoint is where the log ends", func() bool {
		hook = decodeAs[view](t, s.do(t, http.StatusOK, "GET", "/v1/subscriptions/hook", "").body)
		return hook.Position == hook.Head
	})
	if hook.Webhook.DeadLetters+hook.Webhook.Missed > 0 || hook.Webhook.Secret != "" {
		t.Errorf("got %+v", hook)
	}
	t.Logf("%d calls for %d events", calls, hook.Head)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	run(t, nil, "verify", data).wantExit(0) // the subscriptions' file belongs there
}

// TestSIGTERMEndsStreams: also those whose readers take nothing. The exit code says that nobody was waited for.
func TestSIGTERMEndsStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--shutdown-timeout=15s")
	s.create(t, "c")
	var attributes []string
	for a := range 32 {
		attributes = append(attributes, fmt.Sprintf(`"a%d":%q`, a, strings.Repeat("x", 250)))
	}
	big := make([]string, 100)
	for n := range big {
		big[n] = fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"big-%d","quantity":1,"price":1,"tax":0,"attributes":{%s}}}`, n, strings.Join(attributes, ","))
	}
	for range 10 { // 8 MB: more than sockets hold
		s.do(t, http.StatusOK, "POST", "/v1/carts/c/mutations", `{"mutations":[`+strings.Join(big, ",")+`]}`)
	}
	var bodies []io.ReadCloser
	for range 20 {
		for _, path := range []string{"/v1/carts/c/events?after=1001", "/v1/events?after=1001"} {
			resp, err := s.open(t.Context(), path, "")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			bodies = append(bodies, resp.Body)
		}
	}
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /v1/carts/c/events HTTP/1.1\r\nHost: cartd\r\nAccept: text/event-stream\r\n\r\n")
	}
	eventually(t, "all streams are open", func() bool { return s.metrics(t)[`cartd_streams_open{of="cart"}`] == 23 })
	s.signal(syscall.SIGTERM)
	for _, b := range bodies {
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Errorf("a stream ended with %v, want a clean end", err)
		}
	}
	s.wantExit(0)
}

// TestCursorFromBeforeARestoreIsRecognised restores a backup that is older than what a reader has seen.
func TestCursorFromBeforeARestoreIsRecognised(t *testing.T) {
	t.Parallel()
	data, dir := t.TempDir(), t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	s.do(t, http.StatusCreated, "POST", "/v1/subscriptions", `{"name":"mail","after":0}`)
	run(t, []string{"CARTD_BACKEND_TOKEN=" + token}, "backup", "--url", s.ops, "--to", dir+"/backup").wantExit(0)
	s.add(t, "c", "A")
	before := s.do(t, http.StatusOK, "GET", "/v1/events", "").header.Get("Cartd-Incarnation")
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	run(t, nil, "restore", "--from", dir+"/backup", "--to", dir+"/data").wantExit(0)
	s = serve(t, dir+"/data")
	for _, path := range []string{"/v1/events?after=2", "/v1/events?after=1&incarnation=" + before} {
		wantProblem(t, s.do(t, http.StatusGone, "GET", path, ""), http.StatusGone, "position_compacted")
	}
	wantProblem(t, s.do(t, http.StatusGone, "GET", "/v1/carts/c/events", "", "Accept", "text/event-stream", "Last-Event-ID", "2"), http.StatusGone, "position_compacted")
	s.add(t, "c", "B")
	if a := s.do(t, http.StatusOK, "GET", "/v1/events?after=1", ""); a.header.Get("Cartd-Incarnation") == before || !strings.Contains(string(a.body), `"position":2`) {
		t.Errorf("got %s of %s", a.body, a.header.Get("Cartd-Incarnation"))
	}
	wantProblem(t, s.do(t, http.StatusNotFound, "GET", "/v1/subscriptions/mail", ""), http.StatusNotFound, "not_found") // no backup has them
}
