package actor_test

import (
	"testing"
	"time"

	"cartd/pkg/actor"
)

// dueAt makes a sum of 10 or more due for a reset, except before an add of 100.
func dueAt(cfg *actor.Config[sum]) {
	cfg.Due = func(s *sum, _ actor.Info, m actor.Mutation, _ time.Time) actor.Mutation {
		if a, ok := m.(*add); s.total < 10 || ok && a.N == 100 {
			return nil
		}
		return &reset{}
	}
}

func TestWhatIsDueComesBeforeTheCommandInItsCommit(t *testing.T) {
	h := newHost(t, dueAt)
	h.ask(t, "a", required(&add{12}))
	r := h.ask(t, "a", keyed("k", 7, required(&add{1}, &add{2})))
	if r.Refusal != nil || string(r.View) != "3" || r.Version != 4 || len(r.Outcomes) != 2 {
		t.Errorf("refusal %v, view %s at version %d, %d outcomes; want 3 at 4, and the outcomes of the command alone",
			r.Refusal, r.View, r.Version, len(r.Outcomes))
	}
	if r := h.ask(t, "a", keyed("k", 7, required(&add{1}, &add{2}))); !r.Replayed || r.Version != 4 {
		t.Errorf("the repeat is at version %d, replayed: %t", r.Version, r.Replayed)
	}
	h.ask(t, "a", required(&add{9}))
	if r := h.ask(t, "a", required(&add{100})); string(r.View) != "112" || r.Version != 6 {
		t.Errorf("view %s at version %d, want 112 at 6: nothing was due before that", r.View, r.Version)
	}
}

func TestWhatIsDueDoesNotHappenForACommandWithoutEffect(t *testing.T) {
	h := newHost(t, dueAt)
	h.ask(t, "a", required(&add{12}))
	for name, cmd := range map[string]*actor.Command{
		"required": required(&add{-1}), "a batch": required(&add{1}, &add{-1}), "optional": optional(&add{-1}, &add{-2}),
	} {
		if r := h.ask(t, "a", cmd); code(r) != "negative" || r.Version != 1 {
			t.Errorf("%s: code %q at version %d, want negative at 1", name, code(r), r.Version)
		}
	}
	for range 3 {
		if got := h.view(t, "a"); got != "12" {
			t.Errorf("sum is %s, want 12: a query stores nothing", got)
		}
	}
}
