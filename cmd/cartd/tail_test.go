//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cartd/internal/sse"
)

// lines lets a test wait for what is written.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestTailFollowsAllCartsOrOne(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.create(t, "c")
	s.do(t, http.StatusOK, "POST", "/v1/carts/c/mutations", `{"mutations":[{"type":"AddItem","payload":{"sku":"A","quantity":2,"price":100,"tax":0,"name":"Lan\u001b]0;tern\u202e"}}]}`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var trouble lines
	outs := map[string]*lines{}
	var wg sync.WaitGroup
	zero := new(uint64)
	for name, cmd := range map[string]tailCmd{
		"all": {After: zero, BackendToken: token + ",other"}, "one": {Cart: "c", After: zero}, "json": {Cart: "c", After: zero, JSON: true}, "new": {BackendToken: token},
	} {
		cmd.URL = s.api
		out := &lines{}
		outs[name] = out
		wg.Go(func() {
			if err := cmd.run(ctx, out, &trouble, name == "all"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	eventually(t, "all have begun", func() bool {
		m := s.metrics(t)
		return m[`cartd_streams_open{of="cart"}`] == 2 && m[`cartd_streams_open{of="feed"}`] == 2
	})
	s.create(t, "d")
	s.add(t, "c", "B")
	for name, want := range map[string][]string{
		"all": {"c" + plain + " v1 " + bold + "CartCreated", "sku=A quantity=2", "name=Lan?]0;tern?", cyan + "d" + plain},
		"one": {" v1 CartCreated currency=GBP\n", " v2 AddItem ", " v3 AddItem sku=B"}, "json": {`"version":3,`}, "new": {" 3 d v1 ", " 4 c v3 "},
	} {
		for _, text := range want {
			eventually(t, fmt.Sprintf("%s has %q", name, text), func() bool { return strings.Contains(outs[name].String(), text) })
		}
	}
	if n := strings.Count(outs["new"].String(), "\n"); n != 2 || strings.Contains(outs["one"].String(), "\x1b") || strings.Contains(outs["one"].String(), " d ") {
		t.Errorf("new: %q, one: %q", outs["new"], outs["one"])
	}
	for line := range strings.Lines(outs["json"].String()) {
		decodeAs[apiEvent](t, []byte(line))
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	eventually(t, "the end of the streams is told", func() bool { return strings.Count(trouble.String(), "trying again") >= 4 })
	cancel()
	wg.Wait()
}

// TestTailComesBackWithItsCursor: its server ends streams, is away, and answers 503.
func TestTailComesBackWithItsCursor(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards asked
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.RawQuery+" "+r.Header.Get("Authorization"))
		n := len(asked)
		mu.Unlock()
		if n == 2 || n == 6 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", sse.ContentType)
		switch n {
		case 1:
			io.WriteString(w, "event: feed\ndata: {\"incarnation\":\"abc\",\"head\":4}\n\n: \n\nid: 5\nevent: E\ndata: {}\n\nid: 9\n\nid: 10\nda")
		case 3:
			panic(http.ErrAbortHandler)
		case 4:
			io.WriteString(w, "id: 11\nevent: E\ndata: {}\n\n")
		case 5:
			io.WriteString(w, ": \n\n")
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusGone)
			io.WriteString(w, `{"code":"position_compacted","detail":"gone\u001b","earliest":20}`)
		}
	}))
	defer server.Close()
	var out lines
	cmd := tailCmd{URL: server.URL, After: new(uint64(4)), BackendToken: "t"}
	err := cmd.run(t.Context(), &out, io.Discard, false)
	if err == nil || !strings.Contains(err.Error(), "position_compacted: gone?; --after 19 has all that is kept") {
		t.Errorf("it ended with %v", err)
	}
	want := []string{"after=4 Bearer t", "after=9&incarnation=abc Bearer t", "after=9&incarnation=abc Bearer t", "after=9&incarnation=abc Bearer t", "after=11&incarnation=abc Bearer t", "after=11&incarnation=abc Bearer t", "after=11&incarnation=abc Bearer t"}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d events were printed: %q", n, out.String())
	}
}

func TestTailAndHistorySayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, args := range [][]string{
		{"tail", "--url", s.api}, {"tail", "--url", "nowhere", "--cart=c"}, {"tail", "--url", s.api, "--cart=no-such"}, {"tail", "--url", s.api, "--cart=a/b"}, {"tail", "--url", s.api, "--after=-1"},
		{"tail", "--url", s.ops, "--cart=c", "--after=0"}, {"history", "no-such", "--url", s.api}, {"history", "a/b", "--url", s.api}, {"history"},
	} {
		c := run(t, nil, args...)
		if state := c.wait(); state.ExitCode() <= 0 || c.log() == "" {
			t.Errorf("%q ended with %v: %s", args, state, c.log())
		}
	}
}

func TestHistoryTellsWhatEachStepChanged(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.do(t, http.StatusCreated, "POST", "/v1/carts", `{"id":"c","country":"GB"}`)
	for _, step := range []struct{ method, path, body string }{
		{"POST", "/items", `{"items":[{"sku":"85123A","quantity":6},{"sku":"71053","quantity":1}]}`},
		{"PATCH", "/items/1", `{"quantity":2}`},
		{"PATCH", "/items/1", `{"marking":{"type":1,"text":"To Ada"}}`},
		{"DELETE", "/items/2", ``},
		{"POST", "/deliveries", `{"provider":"postnord","items":[1]}`},
		{"POST", "/vouchers", `{"code":"WELCOME10"}`},
		{"DELETE", "/deliveries/1", ``},
		{"DELETE", "/vouchers/1", ``},
		{"PUT", "/user", `{"userId":"u-17"}`},
		{"POST", "/checkout", `{"orderId":"o-1"}`},
		{"POST", "/order", `{"orderId":"o-1","status":"paid"}`},
	} {
		s.do(t, http.StatusOK, step.method, "/v1/carts/c"+step.path, step.body)
	}
	c := run(t, nil, "history", "c", "--url", s.api, "--json")
	c.wantExit(0)
	told := decodeAs[story](t, c.stdout.Bytes())
	cart := s.cart(t, "c")
	last := told.Steps[len(told.Steps)-1]
	if told.CartID != "c" || told.Currency != "GBP" || last.Version != cart.Version || last.Total != cart.Total.IncVAT || last.Status != "ordered" || last.Units != 2 || last.Lines != 1 {
		t.Errorf("it ends with %+v, the cart is %+v", last, cart)
	}
	sum := int64(0)
	for _, st := range told.Steps {
		if sum += st.Delta; sum != st.Total {
			t.Errorf("version %d: the steps come to %d, the total is %d", st.Version, sum, st.Total)
		}
	}
	c = run(t, nil, "history", "c", "--url", s.api)
	c.wantExit(0)
	text := c.stdout.String()
	for _, want := range []string{"made", "+ 6 × 85123A White hanging heart", "2 × 85123A, was 6", "LineItemMarking", "nothing that shows", "- 1 × 71053", "+ delivery by postnord (1)", "+ voucher WELCOME10 (1)", "- delivery by postnord (1)",
		"- voucher WELCOME10 (1)", "user u-17", "checkout, was open", "ordered, was checkout", "order o-1", "GBP (+"} {
		if !strings.Contains(text, want) {
			t.Errorf("the story lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// What is done to a branch is not among main's events, and shows in main all the same.
func TestHistoryOfACartWithBranches(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.do(t, http.StatusCreated, "POST", "/v1/carts", `{"id":"c","country":"GB"}`)
	add := func(path, sku string) {
		s.do(t, http.StatusOK, "POST", "/v1/carts/c/items"+path, `{"sku":"`+sku+`","quantity":2}`)
	}
	add("", "85123A")
	s.do(t, http.StatusCreated, "POST", "/v1/carts/c/branches", `{"name":"gift"}`)
	add("?branch=gift", "71053")
	add("", "84406B")
	s.do(t, http.StatusOK, "PATCH", "/v1/carts/c/items/3", `{"quantity":4}`)
	s.do(t, http.StatusOK, "POST", "/v1/carts/c/branches/gift/promote", ``)
	s.do(t, http.StatusOK, "PATCH", "/v1/carts/c/items/2", `{"quantity":5}`)
	c := run(t, nil, "history", "c", "--url", s.api, "--json")
	c.wantExit(0)
	told := decodeAs[story](t, c.stdout.Bytes())
	var got []string
	for _, st := range told.Steps[2:] {
		got = append(got, strings.Join(st.Changes, "; "))
	}
	want := []string{"+ 2 × 84406B", "4 × 84406B, was 2", "+ 2 × 71053", "5 × 71053, was 2"}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("the steps are %q, want those that begin with %q", got, want)
	}
	if last, cart := told.Steps[len(told.Steps)-1], s.cart(t, "c"); last.Total != cart.Total.IncVAT || last.Version != cart.Version {
		t.Errorf("it ends with %+v, the cart is %+v", last, cart)
	}
}

func TestMoneyIsWrittenAsItsCurrencyHasIt(t *testing.T) {
	for _, tc := range []struct {
		n        int64
		currency string
		want     string
	}{{0, "GBP", "0.00 GBP"}, {5, "GBP", "0.05 GBP"}, {-5, "GBP", "-0.05 GBP"}, {123456, "SEK", "1234.56 SEK"}, {1234, "JPY", "1234 JPY"}, {1234, "KWD", "1.234 KWD"}, {100, "", "1.00"}, {-1 << 63, "JPY", "-9223372036854775808 JPY"}} {
		if got := money(tc.n, tc.currency); got != tc.want {
			t.Errorf("money(%d, %q) is %q, want %q", tc.n, tc.currency, got, tc.want)
		}
	}
}

// FuzzTailLine: whatever an event holds, its line is one line, and means nothing to a terminal.
func FuzzTailLine(f *testing.F) {
	f.Add([]byte(`{"position":1,"cartId":"c","branch":"main","version":1,"time":"2026-11-21T02:26:22.123Z","type":"AddItem","payload":{"sku":"A","quantity":1}}`))
	f.Add([]byte(`{"type":"\u001b[2J","branch":"\n","payload":{"\u0007":"\u202e","a":{},"b":[1],"c":null,"d":1e999}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		line, err := tailLine(b, true, false)
		if err != nil {
			return
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }); i != len(line)-1 {
			t.Errorf("%q became %q", b, line)
		}
	})
}
