package cluster_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/internal/cluster"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
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
	replayed                  atomic.Int64 // events
}

func newCarts(t testing.TB, store eventlog.Store, idle time.Duration) *carts {
	t.Helper()
	c := &carts{Single: cluster.NewSingle(slog.New(slog.DiscardHandler)), ended: make(chan struct{}, 1)}
	c.claims.Store = store
	c.Register(cartKind, func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.Config(&c.claims, grain.Limits{}, grain.Options{Idle: idle, Observer: c,
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

func (c *carts) Activated(_, _ string)                            { c.active.Add(1); c.activated.Add(1) }
func (c *carts) Passivated(_, _ string, _ uint64)                 { c.active.Add(-1) }
func (c *carts) EventSkipped(_, _ string, _ actor.Event, _ error) {}
func (c *carts) Panicked(string, string, any)                     { c.panics.Add(1) }
func (c *carts) CommitFailed(string, string, error)               {}
func (c *carts) Replayed(_, _ string, _ time.Duration, events int, _ error) {
	c.replayed.Add(int64(events))
}

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
