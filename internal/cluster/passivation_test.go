package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/memlog"
	"cartd/pkg/actor"
)

func TestAskFindsTheNextActivationWhenOneEnds(t *testing.T) {
	c := newCarts(t, memlog.New(), time.Hour)
	ctx := within(t, time.Minute)
	// Asking for a cart that does not exist leaves nothing in memory: each answer ends its activation.
	for range 200 {
		if r := c.ask(t, ctx, "c", &actor.Query{}); r.Version != 0 {
			t.Fatalf("version %d of a cart without events", r.Version)
		}
	}
	c.shutdown(t)
}

// Carts that are asked about as often as they go idle: requests meet activations in every stage of their end.
func TestNothingIsLostWhenCartsAreAskedWhileTheyPassivate(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) eventlog.Store{
		"memlog":  func(*testing.T) eventlog.Store { return memlog.New() },
		"filelog": func(t *testing.T) eventlog.Store { return openFiles(t, filelog.SyncNever) },
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			c := newCarts(t, store, 2*time.Millisecond)
			ctx := within(t, 100*time.Second)
			const callers, ids = 32, 60
			asks := 250 // more would measure replays: each activation reads all that was added before
			if testing.Short() {
				asks = 100
			}
			var added [ids]atomic.Int64
			var wg sync.WaitGroup
			for i := range callers {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				wg.Go(func() {
					for range asks {
						id := random.IntN(ids)
						if random.IntN(4) == 0 {
							before := added[id].Load()
							if r := c.ask(t, ctx, fmt.Sprint("c", id), &actor.Query{}); r.View != nil && r.Version > 0 {
								if _, qty := pieces(t, r.View); qty < before {
									t.Errorf("cart %d shows %d pieces after %d were answered", id, qty, before)
								}
							}
							continue
						}
						c.ask(t, ctx, fmt.Sprint("c", id), add(1))
						added[id].Add(1)
					}
				})
			}
			wg.Wait()
			for id := range ids {
				want := added[id].Load()
				if version, qty := pieces(t, c.ask(t, ctx, fmt.Sprint("c", id), &actor.Query{}).View); qty != want || int64(version) != want {
					t.Errorf("cart %d: %d pieces at version %d, want %d", id, qty, version, want)
				}
			}
			t.Logf("%d activations for %d requests to %d carts", c.activated.Load(), callers*asks, ids)
			c.shutdown(t)
		})
	}
}

func TestAllIdleCartsPassivateAndLeaveNothing(t *testing.T) {
	carts := 20_000
	if testing.Short() {
		carts = 2000
	}
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		c := newCarts(t, store, time.Minute)
		ctx := within(t, time.Hour)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < carts; i += 8 {
					c.ask(t, ctx, fmt.Sprint("c", i), add(1))
				}
			})
		}
		wg.Wait()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if n := c.Active(); n != carts {
			t.Errorf("%d activations before the idle time, want %d", n, carts)
		}
		// Carts that are made while the others passivate, some of them for the second time.
		for i := range 100 {
			time.Sleep(200 * time.Millisecond)
			c.ask(t, ctx, fmt.Sprint("c", i*carts/90), add(1))
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := c.Active(); n < 1 || n > 100 {
			t.Errorf("%d activations when all but the last carts were idle, want 1 to 100", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		c.nothingLeft(t)
		if got := c.activated.Load(); got < int64(carts) {
			t.Errorf("%d activations in all, want at least %d", got, carts)
		}
		c.shutdown(t)
		// The bubble fails the test if a goroutine is left.
	})
}
