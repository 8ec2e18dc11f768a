package api_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/eventlog"
)

// Whatever a client asks while a commit is held back, nothing may tell of it before it is on stable storage.
func TestNothingTellsOfAVersionThatACrashCouldTakeBack(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.store.Hold()
	const asked = 6
	var resumed atomic.Bool
	var wg sync.WaitGroup
	ask := func(what, method, path, body string, headers ...string) {
		wg.Go(func() {
			s.request(method, cart+path, body, headers...)
			if !resumed.Load() {
				t.Errorf("%s was answered while the commit was held back", what)
			}
		})
	}
	ask("add", "POST", "/items", addLantern, "Idempotency-Key", "k")
	s.waitQueued()
	ask("read", "GET", "", "")
	ask("conditional read", "GET", "", "", "If-None-Match", `"main-2"`)
	ask("repeat", "POST", "/items", addLantern, "Idempotency-Key", "k")
	ask("stale change", "DELETE", "/items/1", "", "If-Match", `"main-1"`)
	ask("refused change", "PATCH", "/items/9", `{"quantity":1}`)

	// Reads of the log itself do not wait: they show what is there.
	if page, err := eventlog.ReadPage(t.Context(), s.store, streamOf(t, cart), eventlog.Query{Limit: 10}); err != nil || page.Head != 1 {
		t.Errorf("the log shows version %d, %v, want 1", page.Head, err)
	}
	s.waitInFlight(asked)
	resumed.Store(true)
	s.store.Resume()
	wg.Wait()
	if got := s.events(cart); got != "2" {
		t.Errorf("%s events, want 2", got)
	}
}

func TestAnswerThatDoesNotComeInTimeIsAnUnknownOutcome(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Timeout = 50 * time.Millisecond })
	cart := s.newCart()
	s.store.Hold()
	s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 504, "outcome_unknown")
	s.want(s.request("GET", cart, ""), 503, "unavailable") // a read has no outcome to be unknown
	s.store.Resume()
	a := s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, "")
	if a.header.Get("Idempotent-Replayed") != "true" || a.field("result.items.0.qty") != "6" {
		t.Errorf("the repeat of an add that was stored: %s", a.body)
	}
}

func TestLostAnswerOfTheStoreIsAnUnknownOutcomeAndTheRepeatIsExact(t *testing.T) {
	for _, stored := range []bool{true, false} {
		s := openShop(t, nil)
		cart := s.newCart()
		s.store.LoseNext(stored)
		s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 504, "outcome_unknown")
		a := s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, "")
		if got := a.header.Get("Idempotent-Replayed") == "true"; got != stored {
			t.Errorf("stored %t: replayed %t", stored, got)
		}
		if a.field("result.items.0.qty") != "6" || s.events(cart) != "2" {
			t.Errorf("stored %t: quantity %s in %s events", stored, a.field("result.items.0.qty"), s.events(cart))
		}
	}
}

func TestFailedStoreTakesNothingMore(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.store.FailNext(errors.New("input/output error"))
	s.want(s.request("POST", cart+"/items", addLantern), 504, "outcome_unknown")
	a := s.want(s.request("POST", cart+"/items", addLantern), 503, "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestLowSpaceRefusesChangesAndNothingElse(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.store.Refuse(eventlog.ErrLowSpace)
	for range 3 {
		a := s.want(s.request("POST", cart+"/items", addLantern), 503, "unavailable")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	s.want(s.request("POST", "/v1/carts", `{}`), 503, "unavailable")
	s.want(s.request("GET", cart, ""), 200, "")
	s.store.Refuse(nil)
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
}

func TestClientThatHangsUpDoesNotUndoItsChange(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.store.Hold()
	s.hangUp("POST", cart+"/items", addLantern)
	s.store.Resume()
	if a := s.request("GET", cart, ""); a.field("items.0.qty") != "6" {
		t.Errorf("cart is %s, want the item that was on its way", a.body)
	}
}
