package actor_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"cartd/pkg/actor"
)

// sent notes the errands that a sum hands over: one for each total that is odd.
type sent struct {
	mu    sync.Mutex // guards names
	names []string
}

func (s *sent) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

func (s *sent) config(cfg *actor.Config[sum]) {
	cfg.Errands = func(id string, state *sum) []actor.Errand {
		if state.total%2 == 0 {
			return nil
		}
		return []actor.Errand{{Name: fmt.Sprint(id, " ", state.total)}}
	}
	cfg.Send = func(id string, errands []actor.Errand) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range errands {
			s.names = append(s.names, e.Name)
		}
	}
}

// awaitQueued returns when n commits wait for the log.
func (h *host) awaitQueued(n int) {
	for h.log.waiting() < n {
		runtime.Gosched()
	}
}

func TestErrandsAreHandedOverOnceTheirCommitIsStored(t *testing.T) {
	var s sent
	h := newHost(t, s.config)
	h.log.hold()
	first := h.send("a", required(&add{1}))
	second := h.send("a", required(&add{1}))
	h.awaitQueued(2)
	if got := s.all(); got != nil {
		t.Errorf("errands %q of commits that are not decided", got)
	}
	h.log.decide(nil)
	for _, f := range []interface{ Wait() error }{first, second} {
		if err := f.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.all(); !slices.Equal(got, []string{"a 1"}) {
		t.Errorf("errands %q, want that of the first commit", got)
	}
}

func TestErrandsOfAFailedCommitAreForgotten(t *testing.T) {
	var s sent
	h := newHost(t, s.config)
	h.log.hold()
	f := h.send("a", required(&add{1}))
	h.awaitQueued(1)
	h.log.decide(actor.ErrUnavailable)
	if err := f.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := s.all(); got != nil {
		t.Errorf("errands %q of a commit that failed", got)
	}
}

func TestErrandsAreHandedOverAgainByTheNextActivation(t *testing.T) {
	var s sent
	h := newHost(t, s.config)
	h.ask(t, "a", required(&add{3}))
	h.system.Root.PoisonFuture(h.pid("a")).Wait()
	h.ask(t, "a", required(&add{1})) // ends the errand
	if got := s.all(); !slices.Equal(got, []string{"a 3", "a 3"}) {
		t.Errorf("errands %q, want one of the commit and one of the activation", got)
	}
}

// Whoever carries errands may have given up, and an activation that is asked all the time stays.
func TestErrandsAreHandedOverAgainWhateverTheGrainIsAsked(t *testing.T) {
	var s sent
	h := newHost(t, s.config)
	h.ask(t, "a", required(&add{3}))
	for what, ask := range map[string]func(){
		"a query":                        func() { h.view(t, "a") },
		"a command that is refused":      func() { h.ask(t, "a", required(&add{-1})) },
		"a command that changes nothing": func() { h.ask(t, "a", required(&add{0})) },
	} {
		before := len(s.all())
		if ask(); len(s.all()) != before+1 {
			t.Errorf("%s: errands %q, want one more than %d", what, s.all(), before)
		}
	}
	before := len(s.all())
	h.ask(t, "zero", required(&reset{})) // there is nothing to do
	h.view(t, "zero")
	if got := len(s.all()); got != before {
		t.Errorf("%d errands of a grain that has none", got-before)
	}

	h.log.hold()
	f := h.send("a", required(&add{2}))
	h.awaitQueued(1)
	asked := h.send("a", &actor.Query{}) // is answered when the commit is decided, which hands over what is open then
	h.log.decide(nil)
	for _, f := range []interface{ Wait() error }{f, asked} {
		if err := f.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.all()[before:]; len(got) == 0 || slices.Contains(got, "a 3") {
		t.Errorf("errands %q, want those of the new state", got)
	}
}

func TestWhatSettlesPassesTheBoundOfEvents(t *testing.T) {
	h := newHost(t, func(cfg *actor.Config[sum]) { cfg.MaxEvents = 1 })
	h.ask(t, "a", required(&add{1}))
	if r := h.ask(t, "a", required(&add{1})); code(r) != actor.CodeFull {
		t.Errorf("code %q, want full", code(r))
	}
	cmd := required(&add{1})
	cmd.Settles = true
	if r := h.ask(t, "a", cmd); r.Refusal != nil || string(r.View) != "2" {
		t.Errorf("what settles: refusal %v, sum %s; want 2", r.Refusal, r.View)
	}
}
