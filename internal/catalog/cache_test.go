package catalog_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/catalog"
)

// shop is a backend inside a synctest bubble, where sockets cannot be.
type shop struct {
	mu     sync.Mutex // guards what follows
	status int        // 0: 200
	price  int
	delay  time.Duration
	deaf   bool   // does not hear that a request was given up
	wait   string // Retry-After
	asked  int
	now    int // requests being served
	most   int // most of them at once
	ended  int // requests whose context ended before the answer
}

func (s *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked++
	s.now++
	s.most = max(s.most, s.now)
	status, price, delay, givenUp := s.status, s.price, s.delay, r.Context().Done()
	if s.deaf {
		givenUp = nil
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(delay):
	case <-givenUp:
		s.mu.Lock()
		s.ended++
		s.mu.Unlock()
		return nil, r.Context().Err()
	}
	if status == 0 {
		status = http.StatusOK
	}
	header := make(http.Header)
	if s.wait != "" {
		header.Set("Retry-After", s.wait)
	}
	body := fmt.Sprintf(`{"sku":%q,"name":"N","price":%d,"tax":0}`, strings.TrimPrefix(r.URL.Path, "/"), price)
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: header, Request: r}, nil
}

func (s *shop) set(change func(*shop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *shop) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func openShop(t *testing.T, s *shop, opts catalog.Options) *catalog.Products {
	t.Helper()
	opts.Transport = s
	return open(t, "http://shop.example/{sku}?country={country}", opts)
}

func wantPrice(t *testing.T, p *catalog.Products, sku string, want int64) {
	t.Helper()
	got, err := p.Product(t.Context(), sku, "GB")
	if err != nil || got.Price != want {
		t.Errorf("%s costs %d, %v, want %d", sku, got.Price, err, want)
	}
}

func wantError(t *testing.T, p *catalog.Products, sku string, want error) {
	t.Helper()
	if got, err := p.Product(t.Context(), sku, "GB"); !errors.Is(err, want) {
		t.Errorf("%s is %+v, %v, want %v", sku, got, err, want)
	}
}

func wantRequests(t *testing.T, s *shop, want int) {
	t.Helper()
	if got := s.requests(); got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

// bubble runs f in a synctest bubble in which p is closed before the bubble ends.
func bubble(t *testing.T, s *shop, opts catalog.Options, f func(t *testing.T, p *catalog.Products)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, openShop(t, s, opts)) })
}

func TestAnswerIsKeptForItsTime(t *testing.T) {
	s := &shop{price: 255}
	bubble(t, s, catalog.Options{TTL: time.Minute}, func(t *testing.T, p *catalog.Products) {
		wantPrice(t, p, "a", 255)
		s.set(func(s *shop) { s.price = 300 })
		time.Sleep(time.Minute - time.Nanosecond)
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 1)
		time.Sleep(time.Nanosecond)
		wantPrice(t, p, "a", 300)
		wantRequests(t, s, 2)
	})
}

func TestCountriesAreKeptApart(t *testing.T) {
	s := &shop{price: 255}
	bubble(t, s, catalog.Options{}, func(t *testing.T, p *catalog.Products) {
		for _, country := range []string{"GB", "gb", "SE", "", "se"} {
			if _, err := p.Product(t.Context(), "a", country); err != nil {
				t.Errorf("a in %q is %v, want no error", country, err)
			}
		}
		wantRequests(t, s, 3)
	})
}

func TestTemplateWithoutCountryHasOneAnswerForAll(t *testing.T) {
	s := &shop{price: 255}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, "http://shop.example/{sku}", catalog.Options{Transport: s})
		for _, country := range []string{"GB", "SE", ""} {
			if _, err := p.Product(t.Context(), "a", country); err != nil {
				t.Errorf("a in %q is %v, want no error", country, err)
			}
		}
		wantRequests(t, s, 1)
	})
}

func TestUnknownSKUIsBelievedForAShortTime(t *testing.T) {
	s := &shop{price: 255, status: 404}
	bubble(t, s, catalog.Options{UnknownTTL: 5 * time.Second}, func(t *testing.T, p *catalog.Products) {
		wantError(t, p, "a", catalog.ErrUnknownSKU)
		s.set(func(s *shop) { s.status = 0 })
		time.Sleep(5*time.Second - time.Nanosecond)
		wantError(t, p, "a", catalog.ErrUnknownSKU)
		wantRequests(t, s, 1)
		time.Sleep(time.Nanosecond)
		wantPrice(t, p, "a", 255)
	})
}

func TestProductThatIsGoneIsNotSoldFromMemory(t *testing.T) {
	s := &shop{price: 255}
	bubble(t, s, catalog.Options{TTL: time.Minute}, func(t *testing.T, p *catalog.Products) {
		wantPrice(t, p, "a", 255)
		time.Sleep(time.Minute)
		s.set(func(s *shop) { s.status = 404 })
		wantError(t, p, "a", catalog.ErrUnknownSKU)
		s.set(func(s *shop) { s.status = 500 })
		time.Sleep(time.Minute)
		wantError(t, p, "a", catalog.ErrUnavailable)
	})
}

func TestKnownPriceOutlivesAnOutageUntilItIsTooOld(t *testing.T) {
	s := &shop{price: 255}
	opts := catalog.Options{TTL: time.Minute, MaxStale: 10 * time.Minute, Tries: 1}
	bubble(t, s, opts, func(t *testing.T, p *catalog.Products) {
		wantPrice(t, p, "a", 255)
		s.set(func(s *shop) { s.status = 500 })
		time.Sleep(time.Minute)
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 2)
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 2) // the failing backend is left alone for a second
		time.Sleep(time.Second)
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 3)
		wantError(t, p, "b", catalog.ErrUnavailable) // was never known

		time.Sleep(9*time.Minute - 2*time.Second + time.Second/2) // half a second before the end
		wantPrice(t, p, "a", 255)
		time.Sleep(time.Second / 2) // exactly too old: no second of grace
		wantError(t, p, "a", catalog.ErrUnavailable)

		s.set(func(s *shop) { s.status, s.price = 0, 300 })
		wantPrice(t, p, "a", 300)
	})
}

func TestCacheIsBoundedAndMadeUpSKUsDoNotEmptyIt(t *testing.T) {
	s := &shop{price: 255}
	bubble(t, s, catalog.Options{CacheEntries: 2, TTL: time.Hour}, func(t *testing.T, p *catalog.Products) {
		wantPrice(t, p, "a", 255)
		wantPrice(t, p, "b", 255)
		s.set(func(s *shop) { s.status = 404 })
		for i := range 10 {
			wantError(t, p, fmt.Sprint("made-up-", i), catalog.ErrUnknownSKU)
		}
		s.set(func(s *shop) { s.status = 0 })
		wantPrice(t, p, "b", 255)
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 12)
		wantPrice(t, p, "c", 255) // pushes b out, which was not used for longest
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 13)
		wantPrice(t, p, "b", 255)
		wantRequests(t, s, 14)
	})
}
