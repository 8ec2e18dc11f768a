package catalog_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/catalog"
)

func wantPriceIn(ctx context.Context, t *testing.T, p *catalog.Products, sku string, want int64) {
	t.Helper()
	got, err := p.Product(ctx, sku, "GB")
	if err != nil || got.Price != want {
		t.Errorf("%s costs %d, %v, want %d", sku, got.Price, err, want)
	}
}

func TestWhoAsksAnewGetsNoAnswerThatWasKept(t *testing.T) {
	s := &shop{price: 255}
	bubble(t, s, catalog.Options{}, func(t *testing.T, p *catalog.Products) {
		wantPrice(t, p, "a", 255)
		s.set(func(s *shop) { s.price = 300 })
		time.Sleep(time.Nanosecond)
		wantPrice(t, p, "a", 255)
		anew := catalog.Anew(t.Context())
		wantPriceIn(anew, t, p, "a", 300)
		wantPriceIn(anew, t, p, "a", 300) // asked for no earlier than the context says
		wantPrice(t, p, "a", 300)         // and kept for the others
		wantRequests(t, s, 2)
	})
}

func TestWhoAsksAnewGetsNo404ThatWasKept(t *testing.T) {
	s := &shop{status: http.StatusNotFound}
	bubble(t, s, catalog.Options{}, func(t *testing.T, p *catalog.Products) {
		wantError(t, p, "a", catalog.ErrUnknownSKU)
		s.set(func(s *shop) { s.status, s.price = 0, 300 })
		time.Sleep(time.Nanosecond)
		wantError(t, p, "a", catalog.ErrUnknownSKU)
		wantPriceIn(catalog.Anew(t.Context()), t, p, "a", 300)
	})
}

// A request that was begun before may bring what was true before. The backend still gets one at a time for a product.
func TestWhoAsksAnewDoesNotShareAnEarlierRequest(t *testing.T) {
	s := &shop{price: 255, delay: time.Second}
	bubble(t, s, catalog.Options{TryTimeout: time.Minute, Timeout: time.Minute}, func(t *testing.T, p *catalog.Products) {
		var wg sync.WaitGroup
		wg.Go(func() { wantPrice(t, p, "a", 255) })
		synctest.Wait()
		time.Sleep(time.Millisecond)
		s.set(func(s *shop) { s.price = 300 })
		for range 20 {
			wg.Go(func() { wantPriceIn(catalog.Anew(t.Context()), t, p, "a", 300) })
		}
		wg.Wait()
		wantRequests(t, s, 2)
		s.set(func(s *shop) {
			if s.most != 1 {
				t.Errorf("%d requests at once, want 1", s.most)
			}
		})
	})
}

func TestWhileTheBackendFailsWhoAsksAnewIsTold(t *testing.T) {
	s := &shop{price: 255, delay: time.Second}
	bubble(t, s, catalog.Options{Tries: 1, TTL: time.Second, TryTimeout: time.Minute, Timeout: time.Minute}, func(t *testing.T, p *catalog.Products) {
		wantPrice(t, p, "a", 255)
		s.set(func(s *shop) { s.status = http.StatusServiceUnavailable })
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { wantPrice(t, p, "a", 255) })
		wg.Go(func() {
			if got, err := p.Product(catalog.Anew(t.Context()), "a", "GB"); !errors.Is(err, catalog.ErrUnavailable) {
				t.Errorf("a is %+v, %v, want ErrUnavailable", got, err)
			}
		})
		wg.Wait()
		wantPrice(t, p, "a", 255)
		wantRequests(t, s, 2)
	})
}

func TestWhoAsksAnewMayLeave(t *testing.T) {
	s := &shop{price: 255, delay: time.Second}
	bubble(t, s, catalog.Options{TryTimeout: time.Minute, Timeout: time.Minute}, func(t *testing.T, p *catalog.Products) {
		var wg sync.WaitGroup
		wg.Go(func() { wantPrice(t, p, "a", 255) })
		synctest.Wait()
		time.Sleep(time.Millisecond)
		ctx, leave := context.WithCancel(catalog.Anew(t.Context()))
		wg.Go(func() {
			if _, err := p.Product(ctx, "a", "GB"); !errors.Is(err, context.Canceled) {
				t.Errorf("who left hears %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		leave()
		wg.Wait() // the one who was there first goes on
		wantRequests(t, s, 1)
	})
}
