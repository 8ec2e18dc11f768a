package cluster_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/memlog"
	"cartd/pkg/actor"
)

func TestConcurrentAddsToOneCartAreExact(t *testing.T) {
	store := openFiles(t, filelog.SyncAlways)
	c := newCarts(t, store, time.Hour)
	ctx := within(t, time.Minute)
	const n = 64
	var mu sync.Mutex
	seen := map[uint64]int64{} // pieces at each version
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range int64(n) {
		wg.Go(func() {
			<-start
			reply := c.ask(t, ctx, "c", add(i+1))
			version, qty := pieces(t, reply.View)
			if version != reply.Version {
				t.Errorf("a view of version %d came with version %d", version, reply.Version)
			}
			mu.Lock()
			defer mu.Unlock()
			if _, twice := seen[version]; twice {
				t.Errorf("version %d was given twice", version)
			}
			seen[version] = qty
		})
	}
	close(start)
	wg.Wait()
	for v := uint64(1); v <= n; v++ {
		qty, ok := seen[v]
		if !ok {
			t.Errorf("version %d was given to nobody", v)
		} else if before := seen[v-1]; qty <= before {
			t.Errorf("version %d has %d pieces after %d", v, qty, before)
		}
	}
	if version, qty := pieces(t, c.ask(t, ctx, "c", &actor.Query{}).View); version != n || qty != n*(n+1)/2 {
		t.Errorf("%d pieces at version %d, want %d at %d", qty, version, n*(n+1)/2, n)
	}
	c.shutdown(t)
	for i, ev := range events(t, store, "c") {
		if ev.Version != uint64(i+1) {
			t.Errorf("event %d has version %d", i+1, ev.Version)
		}
	}
}

// While commits are held back, readers and writers ask without a break. What any of them is shown must be in the log
// already, as it would be read after a crash at that moment.
func TestNothingIsShownBeforeItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		c := newCarts(t, store, time.Hour)
		ctx := within(t, time.Hour)
		stored := func() uint64 { return uint64(len(events(t, store, "c"))) }

		var mu sync.Mutex // guards answers; taken by who was answered before it looks at the log
		answers, behind := 0, 0
		watch := func(msg any) {
			reply := c.ask(t, ctx, "c", msg)
			version := reply.Version
			if q, ok := msg.(*actor.Query); !ok || !q.Minimal {
				var qty int64
				if version, qty = pieces(t, reply.View); version != reply.Version || qty != int64(version) {
					t.Errorf("%d pieces in a view of version %d that came with version %d", qty, version, reply.Version)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			answers++
			if version > stored() {
				behind++
			}
		}
		c.ask(t, ctx, "c", add(1))
		store.Hold()
		const writes = 20
		asked := 1
		var wg sync.WaitGroup
		ask := func(msg any) {
			wg.Go(func() { watch(msg) })
			synctest.Wait() // it is in the mailbox
			asked++
		}
		ask(add(1))
		for range writes - 1 {
			ask(&actor.Query{})
			ask(&actor.Query{Minimal: true})
			ask(add(1))
		}
		mu.Lock()
		if answers != 0 {
			t.Errorf("%d answers while the first of %d commits was held back", answers, writes)
		}
		mu.Unlock()
		for i := range writes {
			store.Release(1)
			synctest.Wait()
			// The commit itself and the two queries behind it; the last commit has none.
			want := 3 * (i + 1)
			if i == writes-1 {
				want = asked - 1
			}
			mu.Lock()
			if answers != want {
				t.Errorf("%d answers after %d commits, want %d", answers, i+1, want)
			}
			if got := stored(); got != uint64(i+2) {
				t.Errorf("%d events are stored after %d commits, want %d", got, i+1, i+2)
			}
			mu.Unlock()
		}
		wg.Wait()
		if behind != 0 {
			t.Errorf("%d of %d answers showed a version that was not stored", behind, answers)
		}
		c.shutdown(t)
	})
}

// A cart that is thrown away because a commit's outcome is unknown shows after that what the log holds.
func TestCommitThatIsLostIsNeverShown(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored=%t", stored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memlog.New()
				c := newCarts(t, store, time.Hour)
				ctx := within(t, time.Hour)
				c.ask(t, ctx, "c", add(1))
				store.Hold()
				var wg sync.WaitGroup
				var codes [3]string
				for i := range codes {
					wg.Go(func() {
						answer, err := c.Ask(ctx, cartKind, "c", add(10))
						if err != nil {
							t.Error(err)
							return
						}
						if r := answer.(*actor.Reply); r.Refusal != nil {
							codes[i] = r.Refusal.Code
						}
					})
					synctest.Wait()
				}
				var view []byte
				wg.Go(func() { view = c.ask(t, ctx, "c", &actor.Query{}).View })
				synctest.Wait()
				store.LoseNext(stored)
				store.Resume()
				wg.Wait()
				for i, code := range codes {
					if code != actor.CodeOutcomeUnknown {
						t.Errorf("command %d: code %q, want outcome_unknown", i+1, code)
					}
				}
				want := int64(1)
				if stored {
					want = 11
				}
				if _, qty := pieces(t, view); qty != want {
					t.Errorf("the query behind the lost commit shows %d pieces, want %d", qty, want)
				}
				c.shutdown(t)
			})
		})
	}
}
