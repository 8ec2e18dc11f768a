package grain

import (
	"testing"

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
