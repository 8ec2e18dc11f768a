package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/api"
)

func TestRequestsBeyondTheRateAreToldWhenToComeAgain(t *testing.T) {
	s := openShop(t, func(o *api.Options) {
		o.RateLimit, o.TrustedProxies = 0.01, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	first, second := []string{"X-Forwarded-For", "203.0.113.1"}, []string{"X-Forwarded-For", "203.0.113.2"}
	s.want(s.request("GET", "/v1/carts/nobody", "", first...), 404, "cart_not_found")
	for _, path := range []string{"/v1/carts/nobody", "/nowhere"} {
		a := s.want(s.request("GET", path, "", first...), 429, "rate_limited")
		if got := a.header.Get("Retry-After"); got != "100" && got != "99" {
			t.Errorf("Retry-After is %q, want 100 s", got)
		}
	}
	s.want(s.request("POST", "/v1/carts", `{}`, append(first, "Authorization", "Bearer wrong")...), 429, "rate_limited") // guesses count
	s.want(s.request("GET", "/v1/carts/nobody", "", second...), 404, "cart_not_found")
	for range 3 {
		s.want(s.request("GET", "/v1/carts/nobody", "", append(first, asBackend...)...), 404, "cart_not_found")
	}
}

func TestRequestsBeyondWhatIsWorkedOnAreAnsweredAtOnce(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.MaxRequests = 2 })
	cart := s.newCart()
	s.store.Hold()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { s.want(s.request("POST", cart+"/items", addLantern), 200, "") })
	}
	s.waitInFlight(2)
	for range 3 { // also again: what is refused takes no place
		for _, tc := range [][3]string{{"GET", cart, ""}, {"GET", "/v1/carts/nobody", ""}, {"POST", cart + "/items", addLantern}, {"DELETE", cart, ""}} {
			if a := s.want(s.request(tc[0], tc[1], tc[2]), 503, "unavailable"); a.header.Get("Retry-After") == "" {
				t.Errorf("%s %s: no Retry-After", tc[0], tc[1])
			}
		}
	}
	s.store.Resume()
	wg.Wait()
	if a := s.want(s.request("GET", cart, ""), 200, ""); a.field("items.0.qty") != "12" {
		t.Errorf("the cart is %s, want the two adds and nothing of what was refused", a.body)
	}
}

// Who sends a byte now and then takes no place among those that are worked on.
func TestSlowBodyTakesNoPlace(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.MaxRequests = 1 })
	cart := s.newCart()
	slow, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST %s/items HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{", cart, len(addLantern))
	s.waitInFlight(1)
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("GET", cart, ""), 200, "")
	fmt.Fprint(slow, addLantern[1:]) // and it is served when it has sent all
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	resp.Body.Close()
}

// Who does not read the answer takes none either.
func TestSlowReaderTakesNoPlace(t *testing.T) {
	var h http.Handler
	s := openShop(t, func(o *api.Options) {
		o.MaxRequests = 1
		h = api.New(*o)
		o.Metrics = api.NewMetrics(prometheus.NewRegistry())
	})
	cart := s.newCart()
	stuck := &stuckWriter{header: http.Header{}, writing: make(chan struct{}), read: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(stuck, httptest.NewRequest("GET", cart, nil))
	}()
	<-stuck.writing
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest("GET", cart, nil)); w.Code != 200 {
		t.Errorf("while an answer is not read: %d %s, want 200", w.Code, w.Body)
	}
	close(stuck.read)
	<-done
}

// A stream takes one until its header goes out, however long it lasts.
func TestStreamGivesItsPlaceBackWhenItBegins(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.MaxRequests = 1 })
	cart := s.newCart()
	one, all := s.stream(cart+"/events"), s.stream("/v1/events", asBackend...)
	one.want(1)
	all.next()
	all.want(1)
	s.want(s.request("GET", cart, ""), 200, "")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	one.want(2)
	all.want(2)
}

// stuckWriter is a client that reads nothing until it is told to.
type stuckWriter struct {
	header        http.Header
	writing, read chan struct{}
}

func (w *stuckWriter) Header() http.Header { return w.header }

func (w *stuckWriter) WriteHeader(int) {}

func (w *stuckWriter) Write(b []byte) (int, error) {
	close(w.writing)
	<-w.read
	return len(b), nil
}

func TestBodyThatPromisesTooMuchIsNotRead(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s/items HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", cart)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) // nothing of the body was sent
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
		t.Errorf("got %v, %v, want 413 and the end of the connection", resp, err)
	}
	resp.Body.Close()
}

// Who may not ask does not keep a connection busy with a body that does not come.
func TestBodyOfARequestBeyondTheRateIsNotWaitedFor(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.RateLimit = 0.01 })
	s.want(s.request("GET", "/cart", ""), 404, "cart_not_found")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // or it would wait for ever
	fmt.Fprint(conn, "POST /cart HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests || !resp.Close {
		t.Fatalf("got %v, %v, want 429 and the end of the connection", resp, err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the connection does not end: %v", err)
	}

	// Whose body has come keeps the connection.
	if conn, err = net.Dial("tcp", strings.TrimPrefix(s.url, "http://")); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r.Reset(conn)
	for range 3 {
		fmt.Fprintf(conn, "POST /cart HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(addLantern), addLantern)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests || resp.Close {
			t.Fatalf("got %v, %v, want 429 and the connection kept", resp, err)
		}
		io.Copy(io.Discard, resp.Body) //nolint:errcheck // the next answer would tell
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.MaxDepth = 10 })
	cart := s.newCart()
	s.want(s.request("PUT", cart+"/subscription-details", `{"data":`+strings.Repeat("[", 9)+strings.Repeat("]", 9)+`}`), 200, "")
	s.want(s.request("PUT", cart+"/subscription-details", `{"data":`+strings.Repeat("[", 10)+strings.Repeat("]", 10)+`}`), 400, "invalid_request")
	s.want(s.request("POST", cart+"/items", strings.Repeat(`{"a":`, 100_000)), 400, "invalid_request")
	if got := s.events(cart); got != "2" {
		t.Errorf("the cart has %s events, want 2", got)
	}
}
