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

func TestHandlersAreToldOfTheChangeBeforeThemLiveAndReplayed(t *testing.T) {
	now := time.Date(2026, 11, 21, 2, 26, 22, 0, time.UTC)
	ago := make(map[int]time.Duration)
	h := newHost(t, func(cfg *actor.Config[sum]) {
		dueAt(cfg)
		cfg.Now = func() time.Time { return now }
		cfg.Registry = actor.NewMutationRegistry[sum]()
		actor.Register(cfg.Registry, "Add", func(s *sum, m *add, meta actor.Meta) error {
			s.total, ago[m.N] = s.total+m.N, meta.Time.Sub(meta.Last)
			return nil
		})
		actor.Register(cfg.Registry, "Reset", func(s *sum, _ *reset, _ actor.Meta) error {
			s.total = 0
			return nil
		})
	})
	h.ask(t, "a", required(&add{1}))
	now = now.Add(time.Hour)
	h.ask(t, "a", required(&add{12}))
	now = now.Add(time.Hour)
	h.ask(t, "a", required(&add{2}, &add{3})) // behind a reset, which is due
	now = now.Add(time.Hour)
	branch := required(&add{4}, &add{5}) // of which main knows nothing
	branch.Branch = "b"
	h.ask(t, "a", branch)
	want := map[int]time.Duration{12: time.Hour, 2: 0, 3: 0, 4: time.Hour, 5: time.Hour}
	check := func(when string) {
		t.Helper()
		for n, d := range want {
			if ago[n] != d {
				t.Errorf("%s: add of %d is told that the last change was %v ago, want %v", when, n, ago[n], d)
			}
		}
	}
	check("live")
	clear(ago)
	h.end(t, "a")
	h.view(t, "a")
	if len(ago) != 6 {
		t.Fatalf("%d adds were replayed, want 6", len(ago))
	}
	check("replayed")
}
