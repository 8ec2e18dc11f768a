package sweep

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

const day = 24 * time.Hour

func swept(t testing.TB, m *Metrics, done string) int {
	t.Helper()
	return value(t, m.Swept.WithLabelValues(done))
}

func value(t testing.TB, c prometheus.Collector) int {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("gather: %v, %v", families, err)
	}
	m := families[0].GetMetric()[0]
	return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
}

func TestCartsAreGoneWhenTheyHaveSaidAndSweptAfterwards(t *testing.T) {
	s := newShop(t)
	s.open()
	s.must("empty", &messages.CartCreated{Currency: "GBP"})
	s.must("guest", add("A"))
	s.must("user", add("A"), &messages.SetUserId{UserId: "ann"})
	for _, tc := range []struct {
		id    string
		after time.Duration
		at    string
	}{
		{"empty", 2 * day, "2026-11-23T02:26:22Z"},
		{"guest", 30 * day, "2026-12-21T02:26:22Z"},
		{"user", 90 * day, "2027-02-19T02:26:22Z"},
	} {
		cut := 123 * time.Millisecond
		s.clock.Store(int64(tc.after - cut - time.Millisecond))
		if c, code := s.read(tc.id); code != "" || c.ExpiresAt != tc.at {
			t.Errorf("%s, before its time: %+v, %s; want it to expire at %s", tc.id, c, code, tc.at)
		}
		if m := s.sweep(); swept(t, m, doneExpired) != 0 {
			t.Errorf("%s was swept before its time", tc.id)
		}
		s.later(time.Millisecond)
		before := s.types(tc.id)
		if _, code := s.read(tc.id); code != "cart_expired" {
			t.Errorf("%s, at its time: read: %q, want cart_expired", tc.id, code)
		}
		for m, want := range map[actor.Mutation]string{add("B"): "cart_expired", &messages.CartDeleted{}: "cart_expired", &messages.CartCreated{}: "cart_exists"} {
			if code := s.ask(tc.id, m); code != want {
				t.Errorf("%s, at its time: %T: %q, want %s", tc.id, m, code, want)
			}
		}
		if got := s.types(tc.id); !slices.Equal(got, before) {
			t.Errorf("%s: what was refused has stored %v behind %v", tc.id, got, before)
		}
		if m := s.sweep(); swept(t, m, doneExpired) != 1 || swept(t, m, doneArchived) != 1 || value(t, m.Backlog) != 0 {
			t.Errorf("%s: swept %d, archived %d, want 1 of each", tc.id, swept(t, m, doneExpired), swept(t, m, doneArchived))
		}
	}
	want := append([]string{"AddItem", "SetUserId"}, "CartExpired")
	check := func(when string) {
		t.Helper()
		for _, id := range []string{"empty", "guest", "user"} {
			if _, code := s.read(id); code != "cart_expired" {
				t.Errorf("%s: %s reads %q, want cart_expired", when, id, code)
			}
			if code := s.ask(id, &messages.CartCreated{}); code != "cart_exists" {
				t.Errorf("%s: %s is created again: %q, want cart_exists", when, id, code)
			}
		}
		if got := s.types("user"); !slices.Equal(got, want) {
			t.Errorf("%s: events %v, want %v", when, got, want)
		}
		if m := s.sweep(); value(t, m.Failures) != 0 || swept(t, m, doneArchived) != 0 {
			t.Errorf("%s: swept again", when)
		}
	}
	check("swept")
	s.close()
	s.open()
	check("started again")
	s.close()
	remove(t, filepath.Join(s.dir, "readmodel.db"))
	s.clock.Store(0) // a clock that goes wrong brings nothing back
	s.open()
	check("without its list, and with another clock")
	s.close()
	if r, err := filelog.Verify(t.Context(), s.dir, filelog.CheckOptions{}); err != nil || len(r.Faults) > 0 || r.Archived != 3 {
		t.Errorf("verify: %v, %+v", err, r)
	}
}

func TestForgottenCheckoutIsEndedAndItsCartThenExpires(t *testing.T) {
	s := newShop(t)
	s.open()
	s.must("c", add("A"), &messages.InitializeCheckout{OrderId: "o-1", TtlMillis: time.Hour.Milliseconds()})
	s.later(time.Hour - time.Millisecond)
	if m := s.sweep(); swept(t, m, doneCheckout) != 0 {
		t.Error("a live freeze was ended")
	}
	s.later(time.Millisecond)
	if m := s.sweep(); swept(t, m, doneCheckout) != 1 {
		t.Error("the freeze is over, and was not ended")
	}
	if c, code := s.read("c"); c.Status != "open" || c.ExpiresAt != "2026-12-21T03:26:22Z" {
		t.Errorf("got %+v, %s; want an open cart that may rest from now on", c, code)
	}
	s.later(30 * day)
	s.sweep()
	if got, want := s.types("c"), []string{"AddItem", "InitializeCheckout", "CheckoutExpired", "CartExpired"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A list that is late still has a cart as open that was frozen for longer than it may rest: the end of the freeze is a
// change, from which on it may rest.
func TestCartDoesNotExpireWithTheEndOfItsCheckout(t *testing.T) {
	s := newShop(t)
	s.open()
	s.must("c", add("A"), &messages.InitializeCheckout{OrderId: "o-1", TtlMillis: (40 * day).Milliseconds()})
	s.later(40 * day)
	if code := s.ask("c", &messages.CartExpired{}); code != "cart_not_expired" {
		t.Errorf("asked to expire at the end of its checkout: %q, want cart_not_expired", code)
	}
	s.sweep()
	if c, code := s.read("c"); c.Status != "open" || c.ExpiresAt != "2027-01-30T02:26:22Z" {
		t.Errorf("got %+v, %s; want an open cart that may rest from now on", c, code)
	}
}

// A merge whose courier died is brought to its end without anybody asking for either cart.
func TestErrandsThatWereCutOffAreResumed(t *testing.T) {
	s := newShop(t)
	s.send = func(string, []actor.Errand) {} // nobody carries anything
	s.open()
	s.must("from", add("A"))
	s.must("into", add("B"))
	s.must("from", &messages.MergeStarted{Into: "into"})
	s.close()
	s.send = nil
	s.open()
	if m := s.sweep(); swept(t, m, doneErrand) != 0 {
		t.Error("an errand that has just begun was resumed")
	}
	s.later(2 * time.Minute)
	if m := s.sweep(); swept(t, m, doneErrand) != 1 {
		t.Error("the merge was not resumed")
	}
	for s.store.Head() < 5 { // MergeCart and CartMerged
		select {
		case <-s.store.Changed(s.store.Head()):
		case <-t.Context().Done():
			t.Fatal("the merge does not go on")
		}
	}
	if got := s.types("from"); got[len(got)-1] != "CartMerged" {
		t.Errorf("got %v", got)
	}
	s.later(300 * day)
	if m := s.sweep(); swept(t, m, doneExpired) != 1 {
		t.Errorf("%d carts have expired, want the other one alone", swept(t, m, doneExpired))
	}
}

// A shopper's click at the moment when the sweeper comes: one of the two wins, and what was accepted is there.
func TestClickAgainstTheSweeperIsDecidedByTheGrain(t *testing.T) {
	s := newShop(t)
	s.open()
	const carts = 200
	for i := range carts {
		s.must(name("c", i), add("A"))
	}
	s.clock.Store(int64(30*day - 123*time.Millisecond - carts*time.Millisecond)) // the first of them come before, the last after
	s.tick.Store(int64(time.Millisecond))
	clicks := make([]string, carts)
	for i := range carts { // together, so that neither is through before the other begins
		var wg sync.WaitGroup
		wg.Go(func() { clicks[i] = s.ask(name("c", i), add("B")) })
		wg.Go(func() { s.ask(name("c", i), &messages.CartExpired{}) })
		wg.Wait()
	}
	s.tick.Store(0)
	won := 0
	s.later(time.Hour)
	s.sweep()
	for i, click := range clicks {
		c, code := s.read(name("c", i))
		types := s.types(name("c", i))
		switch {
		case click == "" && (code != "" || len(c.Items) != 2 || !slices.Equal(types, []string{"AddItem", "AddItem"})):
			t.Errorf("cart %d: the click was accepted, and the cart is %+v, %s, %v", i, c, code, types)
		case click == "cart_expired" && (code != "cart_expired" || !slices.Equal(types, []string{"AddItem", "CartExpired"})):
			t.Errorf("cart %d: the click was refused, and the cart is %+v, %s, %v", i, c, code, types)
		case click != "" && click != "cart_expired":
			t.Errorf("cart %d: click: %s", i, click)
		case click == "":
			won++
		}
	}
	if won == 0 || won == carts {
		t.Errorf("%d of %d clicks were accepted: this is no race", won, carts)
	}
}

// 77 % of rows are dead carts, and cleaning them up in one go times out (umbraco#874, openfoodnetwork#6740).
func TestPeer14OldCartsAreCleanedUpInBatchesWhileShoppersGoOn(t *testing.T) {
	s := newShop(t)
	s.open()
	dead, kept := 1_000, 50
	if os.Getenv("CARTD_TEST_LONG") != "" {
		dead = 10_000
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < dead; i += 16 {
				s.reply(name("dead", i), &actor.Command{Steps: []actor.Step{{Mutation: add("A")}}, Minimal: true, Leave: true})
			}
		})
	}
	wg.Wait()
	for i := range kept {
		s.must(name("paying", i), add("A"), &messages.InitializeCheckout{OrderId: "o", TtlMillis: (365 * day).Milliseconds()})
		s.must(name("ordered", i), add("A"), &messages.InitializeCheckout{OrderId: "o"}, &messages.OrderCreated{OrderId: "o"})
		s.must(name("user", i), add("A"), &messages.SetUserId{UserId: "ann"})
	}
	s.later(31 * day)
	for i := range kept {
		s.must(name("young", i), add("A"))
	}
	s.close()
	s.open() // nothing is in memory
	s.most.Store(0)

	asked := make(chan struct{}, 1)
	clicks := 0
	wg.Go(func() { // a shopper, who clicks whenever the sweeper does
		for range asked {
			s.must(name("young", clicks%kept), add("B"))
			clicks++
		}
	})
	s.asked = func() {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
	m := s.sweep()
	s.asked = nil
	close(asked)
	wg.Wait()
	m2 := s.sweep()
	if n := swept(t, m, doneExpired); n != dead {
		t.Errorf("%d carts have expired, want %d", n, dead)
	}
	if n := swept(t, m, doneArchived) + swept(t, m2, doneArchived); n != dead || swept(t, m2, doneExpired) != 0 {
		t.Errorf("%d carts were archived, %d more have expired; want %d and none", n, swept(t, m2, doneExpired), dead)
	}
	if most := s.most.Load(); most > int64(kept+2*workers) {
		t.Errorf("%d carts were in memory at once; %d are the shopper's", most, kept)
	}
	if clicks < kept {
		t.Errorf("the shopper had only %d clicks", clicks)
	}
	for _, kind := range []string{"paying", "ordered", "user", "young"} {
		for i := range kept {
			if c, code := s.read(name(kind, i)); code != "" || slices.Contains(s.types(name(kind, i)), "CartExpired") {
				t.Fatalf("%s: %+v, %s", name(kind, i), c, code)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "carts", "*", "dead-*")); err != nil || len(left) > 0 {
		t.Errorf("%d files of dead carts are left among the living, %v", len(left), err)
	}
}

// Among a million of dead carts a forgotten checkout is not to wait until they are all gone: the next sweep begins with it.
func TestSweepThatTakesLongLeavesTheRestToTheNext(t *testing.T) {
	s := newShop(t)
	s.every = time.Nanosecond
	s.open()
	const dead = batchCarts + 44
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < dead; i += 16 {
				s.reply(name("dead", i), &actor.Command{Steps: []actor.Step{{Mutation: add("A")}}, Minimal: true, Leave: true})
			}
		})
	}
	wg.Wait()
	s.later(31 * day)
	s.must("paying", add("A"), &messages.InitializeCheckout{OrderId: "o", TtlMillis: time.Hour.Milliseconds()})
	m := s.sweep()
	if n, left := swept(t, m, doneExpired), value(t, m.Backlog); n != batchCarts || left != dead-batchCarts {
		t.Errorf("%d carts have expired and %d are told to be left, want a batch and the %d others", n, left, dead-batchCarts)
	}
	s.later(time.Hour)
	m = s.sweep()
	if ended, n, left := swept(t, m, doneCheckout), swept(t, m, doneExpired), value(t, m.Backlog); ended != 1 || n != dead-batchCarts || left != 0 {
		t.Errorf("then %d checkouts were ended, %d carts have expired, %d are left; want 1, %d, none", ended, n, left, dead-batchCarts)
	}
}

// full is a log without room.
type full struct{ *filelog.Log }

func (full) Writable() error { return eventlog.ErrLowSpace }

func TestNothingIsSweptWhileTheDiskIsLowOrAfterTheEnd(t *testing.T) {
	s := newShop(t)
	s.open()
	s.must("c", add("A"))
	s.later(40 * day)
	if err := s.list.Fresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := s.trySweep(t.Context(), full{s.store}); !errors.Is(err, eventlog.ErrLowSpace) || value(t, m.Backlog) != 1 {
		t.Errorf("with a full disk: %v, backlog %d; want ErrLowSpace and 1", err, value(t, m.Backlog))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.trySweep(ctx, s.store); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if got := s.types("c"); len(got) != 1 {
		t.Errorf("got events %v", got)
	}
	sweeper := Start(Options{Carts: s.grains, Rows: s.list, Logs: s.store, Lifetimes: lives, Every: time.Hour})
	sweeper.Close()
}
