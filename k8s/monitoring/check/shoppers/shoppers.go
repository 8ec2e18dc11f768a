// Package shoppers is a moderate load that has a bit of everything: carts that are made, filled, merged, paid and deleted,
// changes that are refused, pages that follow along, and a backend that reads. It goes to one cartd, whose catalogue has the
// demo's SKUs, and it is bounded: so many requests a second, at most eight at a time.
package shoppers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Load says what is asked of whom.
type Load struct {
	URL   string // of the public API
	Token string // the backend's; required
	// PerSecond is how many requests a second are sent at most, 1 to 1,000. 0: 50.
	PerSecond int
	// Client sends the requests; nil: one of its own.
	Client *http.Client

	mu   sync.Mutex // guards the following
	sent int
	odd  error // the first answer that was not as it should be
}

// workers is how many shoppers there are at a time.
const workers = 8

// answerBytes bounds what is read of an answer.
const answerBytes = 4 << 20

// Run shops until ctx ends. The error is the first answer that was not one of those that the step may have, nor one of a
// server that is busy, or the first request without one; it goes on all the same. sent counts the requests.
func (l *Load) Run(ctx context.Context) (sent int, err error) {
	switch {
	case l.PerSecond == 0:
		l.PerSecond = 50
	case l.PerSecond < 0 || l.PerSecond > 1000:
		return 0, fmt.Errorf("%d requests a second, must be 1 to 1000", l.PerSecond)
	}
	if l.Client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: 2 * workers}
		defer transport.CloseIdleConnections()
		l.Client = &http.Client{Transport: transport}
	}
	permits := make(chan struct{}) // no capacity: who is late makes nobody hurry
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(l.PerSecond))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			select {
			case permits <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	})
	for n := range workers {
		wg.Go(func() {
			for visit := n; ctx.Err() == nil; visit += workers {
				(&shopper{load: l, ctx: ctx, permits: permits, n: visit}).visit()
			}
		})
	}
	wg.Go(func() { l.follow(ctx, "/v1/events", true) })
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.odd
}

// note keeps the first error.
func (l *Load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.odd == nil {
		l.odd = err
	}
}

// follow reads a stream of events until ctx ends, and comes back when it is cut.
func (l *Load) follow(ctx context.Context, path string, backend bool) {
	for ctx.Err() == nil {
		req, err := l.request(ctx, http.MethodGet, path, "", backend)
		if err != nil {
			l.note(err)
			return
		}
		req.Header.Set("Accept", "text/event-stream")
		if resp, err := l.Client.Do(req); err == nil {
			io.Copy(io.Discard, resp.Body) //nolint:errcheck // until it is cut
			resp.Body.Close()
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (l *Load) request(ctx context.Context, method, path, body string, backend bool) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if backend {
		req.Header.Set("Authorization", "Bearer "+l.Token)
	}
	return req, nil
}

// shopper is one visit to the shop.
type shopper struct {
	load    *Load
	ctx     context.Context
	permits <-chan struct{}
	n       int
	jar     http.CookieJar // nil: no cookies
}

// ask sends a request, and wants one of the statuses. It returns the answer's body and header; nil if there is no answer.
func (s *shopper) ask(method, path, body string, backend bool, want ...int) ([]byte, http.Header) {
	return s.askWith(method, path, body, backend, nil, want...)
}

func (s *shopper) askWith(method, path, body string, backend bool, header map[string]string, want ...int) ([]byte, http.Header) {
	select {
	case <-s.permits:
	case <-s.ctx.Done():
		return nil, nil
	}
	// What was begun is brought to its end: a shop that closes cuts nobody off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 30*time.Second)
	defer cancel()
	req, err := s.load.request(ctx, method, path, body, backend)
	if err != nil {
		s.load.note(err)
		return nil, nil
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	client := *s.load.Client
	client.Jar = s.jar
	resp, err := client.Do(req)
	if err != nil {
		s.load.note(err)
		select { // the server may be starting again
		case <-time.After(time.Second):
		case <-s.ctx.Done():
		}
		return nil, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		s.load.note(fmt.Errorf("%s %s: %w", method, path, err))
		return nil, nil
	}
	s.load.mu.Lock()
	s.load.sent++
	s.load.mu.Unlock()
	if slices.Contains(want, resp.StatusCode) || resp.StatusCode > http.StatusInternalServerError { // a busy machine's 502, 503 and 504
		return b, resp.Header
	}
	s.load.note(fmt.Errorf("%s %s: %s %.300s", method, path, resp.Status, b))
	return b, resp.Header
}

// cart makes a cart and returns its path; "" if there is none.
func (s *shopper) cart() string {
	_, h := s.ask("POST", "/v1/carts", `{"country":"GB","currency":"GBP"}`, false, 201)
	return h.Get("Location")
}

// visit is one of the ways in which people shop, and backends ask.
func (s *shopper) visit() {
	switch s.n % 8 {
	case 0, 1, 2:
		s.buy()
	case 3:
		s.browse()
	case 4:
		s.merge()
	case 5:
		s.err()
	case 6:
		s.compare()
	case 7:
		s.manage()
	}
}

// buy fills a cart and pays.
func (s *shopper) buy() {
	cart := s.cart()
	if cart == "" {
		return
	}
	watching, stop := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.load.follow(watching, cart+"/events", false) })
	defer wg.Wait()
	defer stop()
	key := map[string]string{"Idempotency-Key": "click-1"}
	for range 2 { // a double click
		s.askWith("POST", cart+"/items", `{"sku":"85123A","quantity":2}`, false, key, 200)
	}
	s.ask("POST", cart+"/items", `{"items":[{"sku":"71053","quantity":3},{"sku":"21730","quantity":1}]}`, false, 200)
	s.ask("PATCH", cart+"/items/1", `{"quantity":3}`, false, 200)
	s.ask("POST", cart+"/vouchers", `{"code":"WELCOME10"}`, false, 200)
	s.ask("POST", cart+"/deliveries", `{"provider":"postnord","items":[1]}`, false, 200)
	s.ask("GET", cart, "", false, 200)
	s.ask("POST", cart+"/refresh", "", false, 200)
	s.ask("POST", cart+"/checkout", fmt.Sprintf(`{"orderId":"o-%d"}`, s.n), false, 200)
	s.ask("POST", cart+"/order", fmt.Sprintf(`{"orderId":"o-%d","status":"completed"}`, s.n), true, 200, 422)
}

// browse is a visitor with a cookie, who goes away.
func (s *shopper) browse() {
	s.jar, _ = cookiejar.New(nil) // never fails
	defer func() { s.jar = nil }()
	s.ask("POST", "/cart", `{"sku":"85123A","quantity":6,"country":"GB"}`, false, 200, 201)
	s.ask("PUT", "/cart", `{"id":1,"quantity":2}`, false, 200)
	s.ask("GET", "/cart", "", false, 200)
}

// merge logs in: the guest's cart becomes a part of the user's, with a voucher that only three may use.
func (s *shopper) merge() {
	guest, user := s.cart(), s.cart()
	if guest == "" || user == "" {
		return
	}
	s.ask("POST", guest+"/items", `{"sku":"71053","quantity":9}`, false, 200)
	s.ask("POST", guest+"/vouchers", `{"code":"FIRST3"}`, false, 200, 409, 422)
	s.ask("PUT", user+"/user", fmt.Sprintf(`{"userId":"u-%d"}`, s.n), false, 200)
	s.ask("POST", user+"/merge", `{"from":"`+guest[strings.LastIndexByte(guest, '/')+1:]+`"}`, false, 200)
	s.ask("DELETE", user, "", false, 200, 204)
}

// err does what is refused.
func (s *shopper) err() {
	cart := s.cart()
	if cart == "" {
		return
	}
	s.ask("POST", cart+"/items", `{"sku":"no-such-thing","quantity":1}`, false, 404, 422)
	s.ask("POST", cart+"/items", `{"sku":"85123A","quantity":-1}`, false, 400, 422)
	s.ask("POST", cart+"/vouchers", `{"code":"NONE"}`, false, 404, 422)
	s.askWith("POST", cart+"/items", `{"sku":"85123A","quantity":1}`, false, map[string]string{"If-Match": `"main-77"`}, 412)
	s.ask("GET", "/v1/carts/"+url.PathEscape("nobody-s"), "", false, 404)
	s.ask("GET", "/nowhere", "", false, 404)
}

// compare keeps a cart in two branches, and looks at how it was.
func (s *shopper) compare() {
	cart := s.cart()
	if cart == "" {
		return
	}
	s.ask("POST", cart+"/items", `{"sku":"85123A","quantity":1}`, false, 200)
	s.ask("POST", cart+"/branches", `{"name":"gift"}`, false, 200, 201)
	s.ask("POST", cart+"/items?branch=gift", `{"sku":"71053","quantity":1}`, false, 200)
	s.ask("GET", cart+"/branches", "", false, 200)
	s.ask("GET", cart+"?version=1", "", false, 200)
	s.ask("GET", cart+"/events", "", false, 200)
}

// manage is the shop's backend.
func (s *shopper) manage() {
	s.ask("GET", "/v1/carts?limit=10", "", true, 200, 503)
	s.ask("GET", "/v1/events?limit=10", "", true, 200)
	s.ask("GET", "/v1/operations?limit=10", "", true, 200)
	s.ask("GET", "/v1/subscriptions", "", true, 200)
}

// Subscribe makes a webhook of the backend, with the name and the receiver's URL, if it is not there.
func (l *Load) Subscribe(ctx context.Context, name, receiver string) error {
	body, err := json.Marshal(map[string]any{"name": name, "webhook": map[string]string{"url": receiver}})
	if err != nil {
		return err
	}
	req, err := l.request(ctx, http.MethodPost, "/v1/subscriptions", string(body), true)
	if err != nil {
		return err
	}
	client := l.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return errors.New("subscription " + name + ": " + resp.Status)
	}
	return nil
}
