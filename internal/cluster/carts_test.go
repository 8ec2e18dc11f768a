package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/internal/cluster"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/memlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

const cartKind = string(eventlog.KindCart)

// carts are real carts on a store that counts the claims on its streams.
type carts struct {
	*cluster.Single
	claims claims
	ended  chan struct{} // capacity 1: activations have left the table since it was last read

	active, activated, panics atomic.Int64
}

func newCarts(t testing.TB, store eventlog.Store, idle time.Duration) *carts {
	t.Helper()
	c := &carts{Single: cluster.NewSingle(slog.New(slog.DiscardHandler)), ended: make(chan struct{}, 1)}
	c.claims.Store = store
	registry := grain.Registry(grain.Limits{})
	c.Register(cartKind, func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.Config(&c.claims, registry, grain.Options{Idle: idle, Observer: c,
			Stopped: func(id string, self *protoactor.PID) {
				stopped(id, self)
				select {
				case c.ended <- struct{}{}:
				default: // somebody else's end is still to be heard of
				}
			}}))
	})
	return c
}

func (c *carts) Activated(string)                                   { c.active.Add(1); c.activated.Add(1) }
func (c *carts) Passivated(string)                                  { c.active.Add(-1) }
func (c *carts) Replayed(string, string, time.Duration, int, error) {}
func (c *carts) EventSkipped(_, _ string, _ actor.Event, _ error)   {}
func (c *carts) Panicked(string, string, any)                       { c.panics.Add(1) }
func (c *carts) CommitFailed(string, string, error)                 {}

// await returns when done says so, which is asked each time that activations have ended.
func (c *carts) await(t testing.TB, ctx context.Context, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-c.ended:
		case <-ctx.Done():
			t.Fatalf("%d activations are left: %v", c.Active(), ctx.Err())
		}
	}
}

// nothingLeft checks that there are no activations, and nothing that belongs to one.
func (c *carts) nothingLeft(t testing.TB) {
	t.Helper()
	if table, active, claims := c.Active(), c.active.Load(), c.claims.open.Load(); table != 0 || active != 0 || claims != 0 {
		t.Errorf("%d activations in the table, %d that have not ended, %d claims on streams, want none", table, active, claims)
	}
	if n := c.panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

func (c *carts) shutdown(t testing.TB) {
	t.Helper()
	shutdown(t, c.Single)
	c.nothingLeft(t)
}

// ask asks a cart and wants a reply that is no refusal.
func (c *carts) ask(t testing.TB, ctx context.Context, id string, msg any) *actor.Reply {
	answer, err := c.Ask(ctx, cartKind, id, msg)
	if err != nil {
		t.Errorf("ask cart %s: %v", id, err)
		return &actor.Reply{}
	}
	reply := answer.(*actor.Reply)
	if reply.Refusal != nil {
		t.Errorf("cart %s refused: %v", id, reply.Refusal)
	}
	return reply
}

// add makes a command that puts n pieces of one product into a cart.
func add(n int64) *actor.Command {
	return &actor.Command{Steps: []actor.Step{{Mutation: &messages.AddItem{Sku: "A", Quantity: n, Price: 255, Tax: 2500}}}}
}

// pieces returns the version that a view shows, and how many pieces are in the cart.
func pieces(t testing.TB, view []byte) (version uint64, n int64) {
	t.Helper()
	var cart struct {
		Version uint64
		Items   []struct{ Qty int64 }
	}
	if err := json.Unmarshal(view, &cart); err != nil {
		t.Errorf("view %s: %v", view, err)
	}
	for _, item := range cart.Items {
		n += item.Qty
	}
	return cart.Version, n
}

func events(t testing.TB, store eventlog.Store, id string) (all []eventlog.Event) {
	t.Helper()
	stream, err := eventlog.ParseStreamID(eventlog.KindCart, id)
	if err != nil {
		t.Fatal(err)
	}
	for ev, err := range store.Read(context.Background(), stream) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ev)
	}
	return all
}

func openFiles(t testing.TB, durability filelog.Durability) *filelog.Log {
	t.Helper()
	store, err := filelog.Open(t.TempDir(), filelog.Options{Durability: durability})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// claims is a store that counts the activations that hold a stream, and watches how long it takes itself.
type claims struct {
	eventlog.Store
	open    atomic.Int64
	slowest atomic.Int64 // longest time for a claim or a commit, in nanoseconds
}

func (c *claims) Activate(ctx context.Context, id eventlog.StreamID) (eventlog.Activation, error) {
	start := time.Now()
	act, err := c.Store.Activate(ctx, id)
	c.took(start)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &claim{Activation: act, all: c}, nil
}

func (c *claims) took(start time.Time) {
	d := int64(time.Since(start))
	for old := c.slowest.Load(); d > old && !c.slowest.CompareAndSwap(old, d); old = c.slowest.Load() {
	}
}

type claim struct {
	eventlog.Activation
	all  *claims
	once sync.Once
}

func (c *claim) Append(commit eventlog.Commit, decided func(eventlog.Receipt, error)) {
	start := time.Now()
	c.Activation.Append(commit, func(r eventlog.Receipt, err error) {
		c.all.took(start)
		decided(r, err)
	})
}

func (c *claim) Release() {
	c.Activation.Release()
	c.once.Do(func() { c.all.open.Add(-1) })
}

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
