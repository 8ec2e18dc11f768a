package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/catalog"
)

func TestThoseWhoAskForTheSameShareOneRequest(t *testing.T) {
	s := &shop{price: 255, delay: time.Second}
	bubble(t, s, catalog.Options{TryTimeout: time.Minute, Timeout: time.Minute}, func(t *testing.T, p *catalog.Products) {
		impatient, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { // the first, who began the request
			if _, err := p.Product(impatient, "a", "GB"); !errors.Is(err, context.Canceled) || !errors.Is(err, catalog.ErrUnavailable) {
				t.Errorf("who left hears %v, want context.Canceled as ErrUnavailable", err)
			}
		})
		synctest.Wait()
		for range 20 {
			wg.Go(func() { wantPrice(t, p, "a", 255) })
		}
		synctest.Wait()
		leave()
		wg.Wait()
		wantRequests(t, s, 1)
	})
}

func TestRequestThatNobodyWaitsForEnds(t *testing.T) {
	s := &shop{price: 255, delay: time.Hour}
	bubble(t, s, catalog.Options{TryTimeout: 2 * time.Hour, Timeout: 2 * time.Hour}, func(t *testing.T, p *catalog.Products) {
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				if _, err := p.Product(ctx, "a", "GB"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("caller %d hears %v, want context.DeadlineExceeded", i, err)
				}
			})
		}
		time.Sleep(3*time.Second - time.Nanosecond)
		synctest.Wait()
		s.set(func(s *shop) {
			if s.ended != 0 {
				t.Error("request has ended while one waits, want it to go on")
			}
		})
		time.Sleep(time.Nanosecond)
		wg.Wait()
		synctest.Wait()
		s.set(func(s *shop) {
			if s.ended != 1 || s.asked != 1 {
				t.Errorf("%d of %d requests ended, want 1 of 1", s.ended, s.asked)
			}
			s.delay = 0
		})
		wantPrice(t, p, "a", 255) // and the next one gets a request of its own
	})
}

func TestWhoComesWhileARequestIsBeingGivenUpGetsAnother(t *testing.T) {
	s := &shop{price: 255, delay: time.Second, deaf: true}
	bubble(t, s, catalog.Options{}, func(t *testing.T, p *catalog.Products) {
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = p.Product(ctx, "a", "GB") })
		synctest.Wait()
		leave()
		wg.Wait()
		s.set(func(s *shop) { s.delay, s.price = 0, 300 })
		wantPrice(t, p, "a", 300)
	})
}

func TestWaitThatWouldPassTheTimeLimitIsNotBegun(t *testing.T) {
	s := &shop{status: 429, wait: "2"}
	bubble(t, s, catalog.Options{Timeout: 3 * time.Second, Tries: 9}, func(t *testing.T, p *catalog.Products) {
		begin := time.Now()
		_, err := p.Product(t.Context(), "a", "GB")
		if !errors.Is(err, catalog.ErrUnavailable) || !strings.Contains(err.Error(), "answered 429") {
			t.Errorf("look-up is %v, want ErrUnavailable with the 429", err)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("look-up took %s, want 2s: one wait of the two that the backend asks for", took)
		}
		wantRequests(t, s, 2)
	})
}

func TestTriesStopAtTheTimeLimit(t *testing.T) {
	s := &shop{status: 503, delay: 400 * time.Millisecond}
	bubble(t, s, catalog.Options{Timeout: time.Second, Tries: 100}, func(t *testing.T, p *catalog.Products) {
		begin := time.Now()
		wantError(t, p, "a", catalog.ErrUnavailable)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("look-up took %s, want at most 1s", took)
		}
		if n := s.requests(); n < 2 || n > 3 {
			t.Errorf("%d requests of 400ms within 1s, want 2 or 3", n)
		}
	})
}

func TestBackendIsNotAskedForMoreAtOnceThanAllowed(t *testing.T) {
	s := &shop{price: 255, delay: 100 * time.Millisecond}
	bubble(t, s, catalog.Options{Concurrency: 4}, func(t *testing.T, p *catalog.Products) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { wantPrice(t, p, fmt.Sprint("sku-", i), 255) })
		}
		wg.Wait()
		if s.most != 4 {
			t.Errorf("%d requests at once, want 4", s.most)
		}
	})
}

func TestLookUpThatFindsNoSlotInTimeIsUnavailable(t *testing.T) {
	s := &shop{price: 255, delay: 10 * time.Second, deaf: true}
	opts := catalog.Options{Concurrency: 1, Timeout: 3 * time.Second}
	bubble(t, s, opts, func(t *testing.T, p *catalog.Products) {
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = p.Product(t.Context(), "holds the slot", "GB") })
		synctest.Wait()
		begin := time.Now()
		wantError(t, p, "a", catalog.ErrUnavailable)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("look-up took %s, want 3s", took)
		}
		wg.Wait()
		wantRequests(t, s, 1)
	})
}
