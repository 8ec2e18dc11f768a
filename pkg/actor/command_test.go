package actor_test

import (
	"testing"

	"cartd/pkg/actor"
)

func TestCommandOfRequiredStepsIsAllOrNothing(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{1}))
	r := h.ask(t, "a", required(&add{10}, &add{-1}, &add{100}))
	if code(r) != "negative" {
		t.Errorf("code %q, want that of the refused step", code(r))
	}
	if len(r.Outcomes) != 2 || r.Outcomes[0].Refusal.Code != actor.CodeNotApplied || r.Outcomes[1].Refusal.Code != "negative" {
		t.Errorf("outcomes %+v, want not_applied and negative", r.Outcomes)
	}
	if got := h.view(t, "a"); got != "1" {
		t.Errorf("sum is %s, want 1", got)
	}
	if r := h.ask(t, "a", required(&add{10}, &add{100})); string(r.View) != "111" || r.Version != 3 {
		t.Errorf("view %s at version %d, want 111 at 3", r.View, r.Version)
	}
}

func TestOptionalStepsAreRefusedOneByOne(t *testing.T) {
	h := newHost(t, nil)
	r := h.ask(t, "a", optional(&add{-1}, &add{1}, &add{-2}, &add{2}))
	if r.Refusal != nil || string(r.View) != "3" || r.Version != 2 {
		t.Fatalf("refusal %v, view %s at version %d, want 3 at 2", r.Refusal, r.View, r.Version)
	}
	for i, refused := range []bool{true, false, true, false} {
		if got := r.Outcomes[i].Refusal != nil; got != refused {
			t.Errorf("outcome %d refused: %t, want %t", i, got, refused)
		}
	}
	if r := h.ask(t, "a", optional(&add{-1}, &add{-2})); code(r) != "negative" || r.Version != 2 {
		t.Errorf("code %q at version %d, want the command refused when all its optional steps are", code(r), r.Version)
	}
}

func TestRequiredStepHasNoEffectWhenAllOptionalOnesAreRefused(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{5}))
	cmd := &actor.Command{Steps: []actor.Step{{Mutation: &reset{}}, {Mutation: &add{-1}, Optional: true}}}
	if r := h.ask(t, "a", cmd); code(r) != "negative" {
		t.Errorf("code %q, want negative", code(r))
	}
	if got := h.view(t, "a"); got != "5" {
		t.Errorf("sum is %s, want 5: the reset belongs to the refused command", got)
	}
	cmd.Steps = append(cmd.Steps, actor.Step{Mutation: &add{7}, Optional: true})
	if r := h.ask(t, "a", cmd); string(r.View) != "7" {
		t.Errorf("view %s, want 7", r.View)
	}
}

func TestKeyIsAppliedOnce(t *testing.T) {
	h := newHost(t, nil)
	first := h.ask(t, "a", keyed("k", 1, required(&add{1}, &add{2})))
	if first.Replayed || string(first.View) != "3" {
		t.Fatalf("first: replayed %t, view %s", first.Replayed, first.View)
	}
	h.ask(t, "a", required(&add{10}))
	check := func(when string) {
		t.Helper()
		r := h.ask(t, "a", keyed("k", 1, required(&add{1}, &add{2})))
		if !r.Replayed || string(r.View) != "13" || r.Version != 3 {
			t.Errorf("repeat %s: replayed %t, view %s at version %d, want the present state, 13 at 3", when, r.Replayed, r.View, r.Version)
		}
		if r := h.ask(t, "a", keyed("k", 2, required(&add{1}))); code(r) != actor.CodeKeyReused {
			t.Errorf("another request with the key %s: code %q", when, code(r))
		}
		if r := h.ask(t, "a", &actor.Query{Key: "k"}); !r.Replayed {
			t.Errorf("query for the key %s says it was not applied", when)
		}
	}
	check("at once")
	h.system.Root.PoisonFuture(h.pid("a")).Wait()
	check("after a replay")
	if r := h.ask(t, "a", &actor.Query{Key: "other"}); r.Replayed {
		t.Error("query for a key that never came says it was applied")
	}
}

func TestKeyOfACommandThatChangedNothingIsRememberedToo(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{0}))
	if r := h.ask(t, "a", keyed("k", 1, required(&reset{}))); r.Refusal != nil || r.Version != 2 {
		t.Fatalf("refusal %v, version %d", r.Refusal, r.Version)
	}
	h.ask(t, "a", required(&add{5}))
	h.system.Root.PoisonFuture(h.pid("a")).Wait()
	if r := h.ask(t, "a", keyed("k", 1, required(&reset{}))); !r.Replayed || string(r.View) != "5" {
		t.Errorf("replayed %t, view %s: the repeat was applied after the command behind it", r.Replayed, r.View)
	}
}

func TestKeyOfARefusedCommandMayBeTriedAgain(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{1}))
	cmd := keyed("k", 1, &actor.Command{Steps: []actor.Step{{Mutation: &add{1}}}, IfVersion: new(uint64(7))})
	if r := h.ask(t, "a", cmd); code(r) != actor.CodeVersionConflict || string(r.View) != "1" {
		t.Fatalf("code %q, view %s, want a conflict that shows the present state", code(r), r.View)
	}
	cmd.IfVersion = new(uint64(1))
	if r := h.ask(t, "a", cmd); r.Refusal != nil || r.Replayed || string(r.View) != "2" {
		t.Errorf("refusal %v, replayed %t, view %s", r.Refusal, r.Replayed, r.View)
	}
}

func TestNoChangeStoresNothing(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{0}))
	if r := h.ask(t, "a", required(&reset{})); r.Refusal != nil || r.Version != 1 {
		t.Errorf("refusal %v, version %d, want accepted at 1", r.Refusal, r.Version)
	}
}

func TestMinimalReplyHasNoView(t *testing.T) {
	h := newHost(t, nil)
	cmd := required(&add{1})
	cmd.Minimal = true
	if r := h.ask(t, "a", cmd); r.View != nil || r.Version != 1 {
		t.Errorf("view %s, version %d", r.View, r.Version)
	}
}

func TestCommandForWhatMustExist(t *testing.T) {
	h := newHost(t, nil)
	cmd := required(&add{1})
	cmd.MustExist = true
	if r := h.ask(t, "a", cmd); code(r) != actor.CodeNotFound {
		t.Errorf("code %q, want not_found", code(r))
	}
	if got := len(h.log.events("a")); got != 0 {
		t.Errorf("%d events, want none", got)
	}
}

func TestBugsAreToldAsInternalAndChangeNothing(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{1}))
	for name, m := range map[string]actor.Mutation{"panic": &explode{}, "plain error": &mistake{}} {
		if r := h.ask(t, "a", required(m)); code(r) != actor.CodeInternal {
			t.Errorf("%s: code %q, want internal", name, code(r))
		}
		if got := h.view(t, "a"); got != "1" {
			t.Errorf("after %s the sum is %s, want 1", name, got)
		}
	}
	if r := h.ask(t, "a", required(&unregistered{})); code(r) != actor.CodeUnknownMutation {
		t.Errorf("code %q, want unknown_mutation", code(r))
	}
	if r := h.ask(t, "a", &actor.Command{}); code(r) != actor.CodeInternal {
		t.Errorf("a command without steps: code %q", code(r))
	}
	if h.panics != 1 {
		t.Errorf("observer heard of %d panics, want 1", h.panics)
	}
}
