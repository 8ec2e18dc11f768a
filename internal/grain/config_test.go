package grain

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"cartd/internal/eventlog/memlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// What a cart took once it keeps, whatever the limits are now.
func TestReplayKnowsNoLimitThatWasLowered(t *testing.T) {
	store := memlog.New()
	t.Cleanup(func() { store.Close() })
	cfg := Config(store, Limits{MaxLines: 1, MaxQuantity: 5}, Options{})
	var live, replayed Cart
	for i, m := range []actor.Mutation{
		&messages.AddItem{Sku: "A", Quantity: 3, Price: 108, Tax: 1900, PriceExVat: true, TaxLevel: "unit"},
		&messages.AddItem{Sku: "B", Quantity: 9, Price: 108, Tax: 1900, PriceExVat: true},
	} {
		meta := actor.Meta{Version: uint64(i + 1)}
		if err := cfg.Registry.Apply(&live, m, meta); (err == nil) != (i == 0) {
			t.Errorf("mutation %d within the limits: %v", i, err)
		}
		if err := cfg.Replay.Apply(&replayed, m, meta); err != nil {
			t.Errorf("mutation %d at replay: %v", i, err)
		}
	}
	if got := replayed.total().inc; got != 12*129 {
		t.Errorf("replayed total is %d, want 12 units of 129: rounded on the unit, as it was", got)
	}
}

// The positions that are told are all that the log gives, each once, and behind what they are of.
func TestPositionsOfAllCommitsAreTold(t *testing.T) {
	store := memlog.New()
	t.Cleanup(func() { store.Close() })
	type at struct {
		position uint64
		events   int
	}
	var heard atomic.Bool
	told := make(chan at, 8)
	opts := Options{Stored: func(position uint64, events int) {
		if !heard.Load() {
			t.Error("told before who has made the commit hears of it")
		}
		told <- at{position, events}
	}}
	activate := func(log actor.Log, id string) actor.Claim {
		c, err := log.Activate(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Release)
		for _, err := range c.Replay(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	commit := func(c actor.Claim, want uint64, events ...actor.Event) error {
		heard.Store(false)
		decided := make(chan error, 1)
		c.Append(want, events, func(err error) { heard.Store(true); decided <- err })
		return <-decided
	}
	event := func(branch string) actor.Event {
		return actor.Event{Branch: branch, ID: uuid.New(), Time: time.Unix(1, 0), Type: "AddItem", Payload: []byte("{}")}
	}
	cart := activate(Config(store, Limits{}, opts).Log, "c")
	voucher := activate(VoucherConfig(store, opts).Log, "v")
	first := []actor.Event{event(""), event("")}
	for i, tc := range []struct {
		claim  actor.Claim
		want   uint64
		events []actor.Event
		told   at
	}{
		{cart, 0, first, at{2, 2}},
		{voucher, 0, []actor.Event{event("")}, at{3, 1}},
		{cart, 0, []actor.Event{event("other")}, at{4, 1}},
		{cart, 0, first, at{}}, // a repeat, which is there
		{cart, 2, []actor.Event{event("")}, at{5, 1}},
	} {
		if err := commit(tc.claim, tc.want, tc.events...); err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
		if tc.told.events == 0 {
			continue // the next would tell of it
		}
		if got := <-told; got != tc.told {
			t.Errorf("commit %d: told of %+v, want %+v", i, got, tc.told)
		}
	}
	if commit(cart, 7, event("")) == nil {
		t.Error("a stale commit was stored")
	}
	store.Close() // waits for what is being told
	if len(told) > 0 {
		t.Errorf("told of a commit that was not stored: %+v", <-told)
	}
}
