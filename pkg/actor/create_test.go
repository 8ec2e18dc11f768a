package actor_test

import (
	"runtime"
	"testing"

	"cartd/pkg/actor"
)

// creating is a command that adds 100 first where there is nothing.
func creating(cmd *actor.Command) *actor.Command {
	cmd.Create = &add{100}
	return cmd
}

func TestCreationIsOfOneCommitWithWhatItIsFor(t *testing.T) {
	h := newHost(t, nil)
	h.log.hold()
	answer := h.send("a", creating(keyed("k", 1, required(&add{1}))))
	for h.log.waiting() == 0 {
		runtime.Gosched()
	}
	if got := h.log.waiting(); got != 1 {
		t.Errorf("%d commits, want one", got)
	}
	h.log.decide(nil)
	first, err := answer.Result()
	if err != nil {
		t.Fatal(err)
	}
	r := first.(*actor.Reply)
	if r.Refusal != nil || string(r.View) != "101" || r.Version != 2 || len(r.Outcomes) != 1 {
		t.Errorf("refusal %v, view %s at version %d, %d outcomes; want 101 at 2, and the outcome of the step alone", r.Refusal, r.View, r.Version, len(r.Outcomes))
	}
	if r := h.ask(t, "a", creating(keyed("k", 1, required(&add{1})))); !r.Replayed || string(r.View) != "101" {
		t.Errorf("the repeat: replayed %t, view %s, want 101", r.Replayed, r.View)
	}
	if r := h.ask(t, "a", creating(required(&add{2}))); string(r.View) != "103" || r.Version != 3 {
		t.Errorf("view %s at version %d, want 103 at 3: it was there", r.View, r.Version)
	}
}

func TestNothingIsCreatedForACommandWithoutEffect(t *testing.T) {
	h := newHost(t, nil)
	for name, cmd := range map[string]*actor.Command{
		"required": required(&add{-1}), "a batch": required(&add{1}, &add{-1}), "optional": optional(&add{-1}, &add{-2}), "with a key": keyed("k", 1, required(&add{-1})),
	} {
		if r := h.ask(t, "a", creating(cmd)); code(r) != "negative" || r.Version != 0 {
			t.Errorf("%s: code %q at version %d, want negative at 0", name, code(r), r.Version)
		}
	}
	refused := creating(required(&add{1}))
	refused.Create = &add{-100}
	if r := h.ask(t, "a", refused); code(r) != "negative" || r.Version != 0 {
		t.Errorf("a creation that is refused: code %q at version %d", code(r), r.Version)
	}
	if got := len(h.log.events("a")); got != 0 || h.view(t, "a") != "0" {
		t.Errorf("%d events, sum %s, want none and 0", got, h.view(t, "a"))
	}
	if r := h.ask(t, "a", creating(keyed("k", 1, required(&add{7})))); r.Replayed || string(r.View) != "107" {
		t.Errorf("the key of a refused command: replayed %t, view %s, want 107", r.Replayed, r.View)
	}
}

func TestCreationHappensForAStepThatChangesNothing(t *testing.T) {
	h := newHost(t, nil)
	if r := h.ask(t, "a", &actor.Command{Create: &add{0}, Steps: []actor.Step{{Mutation: &reset{}}}}); r.Refusal != nil || r.Version != 1 {
		t.Errorf("refusal %v at version %d, want it created at 1", r.Refusal, r.Version)
	}
}
