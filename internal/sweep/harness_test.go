package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/internal/cluster"
	"cartd/internal/courier"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/grain"
	"cartd/internal/readmodel"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// lives are the defaults of the flags.
var lives = grain.Lifetimes{Empty: 48 * time.Hour, Guest: 30 * 24 * time.Hour, User: 90 * 24 * time.Hour}

// start is when the clock of a shop begins.
var start = time.Date(2026, 11, 21, 2, 26, 22, 123e6, time.UTC)

// shop is a cartd without its API, whose clock a test moves.
type shop struct {
	t       testing.TB
	dir     string
	clock   atomic.Int64 // since start
	tick    atomic.Int64 // that much later with each look at it
	store   *filelog.Log
	grains  *cluster.Single
	courier *courier.Courier
	list    *readmodel.Model
	asked   func()                       // by the sweeper; nil: nobody is told
	send    func(string, []actor.Errand) // nil: the courier
	every   time.Duration                // 0: the default

	active, most atomic.Int64 // carts
}

func (s *shop) now() time.Time {
	return start.Add(time.Duration(s.clock.Add(s.tick.Load())))
}

func (s *shop) Activated(kind, _ string) {
	if n := s.active.Add(1); kind == "cart" {
		for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
		}
	}
}
func (s *shop) Passivated(_, _ string, _ uint64)                      { s.active.Add(-1) }
func (s *shop) Replayed(_, _ string, _ time.Duration, _ int, _ error) {}
func (s *shop) EventSkipped(_, id string, ev actor.Event, err error) {
	s.t.Errorf("%s: %s: %v", id, ev.Type, err)
}
func (s *shop) Panicked(_, id string, v any)         { s.t.Errorf("%s: panic: %v", id, v) }
func (s *shop) CommitFailed(_, id string, err error) { s.t.Errorf("%s: commit: %v", id, err) }

func newShop(t testing.TB) *shop {
	s := &shop{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		if s.store != nil {
			s.close()
		}
	})
	return s
}

// open starts the shop on what is in its directory.
func (s *shop) open() {
	s.t.Helper()
	var err error
	s.store, err = filelog.Open(s.dir, filelog.Options{Durability: filelog.SyncNever, SegmentBytes: 1 << 20, CheckpointSegments: 1, FeedRetention: time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := grain.Config(s.store, grain.Limits{}, grain.Options{})
	s.list = readmodel.Open(filepath.Join(s.dir, "readmodel.db"), readmodel.Options{Store: s.store, Every: 10 * time.Millisecond,
		Read: func(ctx context.Context, id eventlog.StreamID) (grain.Summary, error) {
			return grain.ReadSummary(ctx, cfg, s.store, id)
		}})
	s.grains = cluster.NewSingle(slog.New(slog.DiscardHandler))
	s.courier = courier.New(s.grains, courier.Options{})
	send := s.courier.Sender("cart")
	if s.send != nil {
		send = s.send
	}
	s.grains.Register("voucher", func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.VoucherConfig(s.store, grain.Options{Stopped: stopped, Stored: s.list.Told}))
	})
	s.grains.Register("cart", func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.Config(s.store, grain.Limits{Lifetimes: lives}, grain.Options{
			Observer: s, Stopped: stopped, Now: s.now, Changed: s.list.Note, Stored: s.list.Told, Send: send}))
	})
	s.built()
}

func (s *shop) built() {
	s.t.Helper()
	for head := uint64(0); !s.list.Ready(); {
		select {
		case <-s.store.Changed(head): // of the log, which has nothing to do with it: there is no other to wait for
			head = s.store.Head()
		case <-time.After(time.Millisecond):
		case <-s.t.Context().Done():
			s.t.Fatal("the list is never built")
		}
	}
}

func (s *shop) close() {
	s.t.Helper()
	s.courier.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.grains.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	if err := s.list.Close(); err != nil {
		s.t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
	s.store = nil
}

// sweep sweeps once, with everything in the list that was answered before.
func (s *shop) sweep() *Metrics {
	s.t.Helper()
	if err := s.list.Fresh(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	m, err := s.trySweep(s.t.Context(), s.store)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *shop) trySweep(ctx context.Context, logs Logs) (*Metrics, error) {
	sweeper := &Sweeper{opts: Options{Carts: s, Rows: s.list, Logs: logs, Lifetimes: lives, Now: s.now, Every: s.every}.withDefaults()}
	return sweeper.opts.Metrics, sweeper.sweep(ctx)
}

// Ask is that of the grains.
func (s *shop) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	if s.asked != nil {
		s.asked()
	}
	return s.grains.Ask(ctx, kind, id, msg)
}

// ask sends mutations to a cart, and returns the code of the refusal, "" if they were accepted.
func (s *shop) ask(id string, mutations ...actor.Mutation) string {
	s.t.Helper()
	cmd := &actor.Command{Minimal: true}
	for _, m := range mutations {
		cmd.Steps = append(cmd.Steps, actor.Step{Mutation: m})
	}
	r := s.reply(id, cmd)
	if r.Refusal != nil {
		return r.Refusal.Code
	}
	return ""
}

func (s *shop) must(id string, mutations ...actor.Mutation) {
	s.t.Helper()
	for _, m := range mutations {
		if code := s.ask(id, m); code != "" {
			s.t.Fatalf("%s: %T: %s", id, m, code)
		}
	}
}

func (s *shop) reply(id string, msg any) *actor.Reply {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	answer, err := s.grains.Ask(ctx, "cart", id, msg)
	if err != nil {
		s.t.Fatalf("%s: %v", id, err)
	}
	return answer.(*actor.Reply)
}

// cart is what of a view the tests look at.
type cart struct {
	Status, ExpiresAt string
	Processing        bool
	Items             []struct{ Qty int }
}

// read returns the code of the refusal, or the cart.
func (s *shop) read(id string) (c cart, code string) {
	s.t.Helper()
	r := s.reply(id, &actor.Query{})
	if r.Refusal != nil {
		return c, r.Refusal.Code
	}
	if err := json.Unmarshal(r.View, &c); err != nil {
		s.t.Fatalf("%s: %v", r.View, err)
	}
	return c, ""
}

// types returns the types of a cart's events.
func (s *shop) types(id string) (types []string) {
	s.t.Helper()
	stream, err := eventlog.ParseStreamID(eventlog.KindCart, id)
	if err != nil {
		s.t.Fatal(err)
	}
	for ev, err := range s.store.Read(s.t.Context(), stream) {
		if err != nil {
			s.t.Fatal(err)
		}
		types = append(types, ev.Type)
	}
	return types
}

func add(sku string) actor.Mutation {
	return &messages.AddItem{Sku: sku, Quantity: 1, Price: 100, Tax: 2500}
}

func (s *shop) later(d time.Duration) { s.clock.Add(int64(d)) }

func name(kind string, i int) string { return fmt.Sprintf("%s-%05d", kind, i) }

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
