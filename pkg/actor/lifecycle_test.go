package actor_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"

	"cartd/pkg/actor"
)

func TestIdleGrainIsPassivated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *actor.Config[sum]) { c.Idle = time.Minute })
		for i := range 100 {
			h.ask(t, fmt.Sprint(i), required(&add{1}))
		}
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if got := h.activations(); got != 100 {
			t.Errorf("%d activations before the idle time, want 100", got)
		}
		h.ask(t, "7", &actor.Query{})
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := h.activations(); got != 1 {
			t.Errorf("%d activations after the idle time, want the one that was asked", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, claims := h.activations(), h.log.openClaims(); got != 0 || claims != 0 {
			t.Errorf("%d activations and %d claims on logs at the end, want none", got, claims)
		}
		if got := h.view(t, "7"); got != "1" {
			t.Errorf("sum is %s after a new activation, want 1", got)
		}
	})
}

func TestIdleGrainWaitsForItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *actor.Config[sum]) { c.Idle = time.Second })
		h.log.hold()
		f := h.send("a", required(&add{1}))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.activations(); got != 1 {
			t.Errorf("%d activations while a commit is on its way, want 1", got)
		}
		h.log.decide(nil)
		if _, err := f.Result(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.activations(); got != 0 {
			t.Errorf("%d activations, want none", got)
		}
	})
}

func TestWhatIsSentToAnActivationThatEndsIsNeverLostSilently(t *testing.T) {
	for round := range 50 {
		h := newHost(t, nil)
		h.ask(t, "a", required(&add{0}))
		pid := h.pid("a")
		var wg sync.WaitGroup
		applied := make(chan struct{}, 32)
		for i := range 32 {
			wg.Go(func() {
				if i == 16 {
					h.system.Root.Stop(pid)
				}
				switch _, err := h.system.Root.RequestFuture(pid, required(&add{1}), time.Minute).Result(); {
				case err == nil:
					applied <- struct{}{}
				case !errors.Is(err, protoactor.ErrDeadLetter):
					t.Errorf("round %d: %v, want an answer or a dead letter", round, err)
				}
			})
		}
		wg.Wait()
		if got, want := len(h.log.events("a"))-1, len(applied); got != want {
			t.Errorf("round %d: %d events for %d answers", round, got, want)
		}
	}
}

// nervous is an observer that panics itself when it hears of a panic.
type nervous struct{ actor.Observer }

func (nervous) Panicked(string, string, any) { panic("observer") }

func TestActivationEndsEvenWhenItsObserverPanics(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) { c.Observer = nervous{c.Observer} })
	h.ask(t, "a", required(&add{1}))
	for range 3 {
		answer, err := h.send("a", required(&explode{})).Result()
		if err != nil || code(answer.(*actor.Reply)) != actor.CodeInternal {
			t.Fatalf("got %v, %v, want code internal", answer, err)
		}
		<-h.stopped
		if got := h.view(t, "a"); got != "1" {
			t.Errorf("sum is %s after the panic, want 1", got)
		}
	}
}

func TestAskingForWhatDoesNotExistLeavesNothing(t *testing.T) {
	h := newHost(t, nil)
	for i := range 100 {
		if r := h.ask(t, fmt.Sprint(i), &actor.Query{}); r.Version != 0 {
			t.Fatalf("version %d of a grain without events", r.Version)
		}
		<-h.stopped
	}
	if got, claims := h.activations(), h.log.openClaims(); got != 0 || claims != 0 {
		t.Errorf("%d activations and %d claims, want none", got, claims)
	}
}

func TestReplaySkipsAndTellsWhatItCannotApply(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) {
		c.View = func(dst []byte, s *sum, info actor.Info) []byte {
			return fmt.Appendf(dst, "%d at %d damaged=%t", s.total, info.Version, info.Damaged)
		}
		c.Requests = []string{"Ask"}
	})
	ev := func(name, payload string) actor.Event { return actor.Event{Type: name, Payload: []byte(payload)} }
	for _, tc := range []struct {
		name    string
		bad     actor.Event
		skipped int
		want    string
	}{
		{"unknown type", ev("Subtract", `{"N":1}`), 1, "3 at 3 damaged=true"},
		{"request", ev("Ask", `{"N":1}`), 1, "3 at 3 damaged=false"},
		{"refused", ev("Add", `{"N":-1}`), 1, "3 at 3 damaged=false"},
		{"no change", ev("NoChange", `{}`), 0, "3 at 3 damaged=false"},
		{"payload of another shape", ev("Add", `{"N":"x"}`), 1, "3 at 3 damaged=true"},
		{"damaged record", actor.Event{Damaged: true}, 0, "3 at 3 damaged=true"},
		{"panic", ev("Explode", `{}`), 1, "1003 at 3 damaged=true"},
	} {
		h.log.put(tc.name, ev("Add", `{"N":1}`), tc.bad, ev("Add", `{"N":2}`))
		if got := h.view(t, tc.name); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if got := len(h.skipped); got != tc.skipped {
			t.Errorf("%s: %d events skipped, want %d", tc.name, got, tc.skipped)
		}
		h.skipped = nil
		if r := h.ask(t, tc.name, required(&add{10})); r.Refusal != nil || r.Version != 4 {
			t.Errorf("%s: refusal %v at version %d: the grain must go on", tc.name, r.Refusal, r.Version)
		}
	}
}

func TestHiddenStateIsNotShown(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) {
		c.Hidden = func(s *sum, _ actor.Info, _ time.Time) *actor.Refusal {
			if s.total > 9 {
				return actor.Refuse("too_much", "more than 9")
			}
			return nil
		}
	})
	h.ask(t, "a", keyed("k", 1, required(&add{10})))
	if r := h.ask(t, "a", &actor.Query{}); code(r) != "too_much" || r.View != nil {
		t.Errorf("query: code %q, view %s", code(r), r.View)
	}
	if r := h.ask(t, "a", keyed("k", 1, required(&add{10}))); code(r) != "too_much" || !r.Replayed {
		t.Errorf("repeat: code %q, replayed %t", code(r), r.Replayed)
	}
}

func TestClockThatGoesBackDoesNotReorderEvents(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	h := newHost(t, func(c *actor.Config[sum]) { c.Now = func() time.Time { return now } })
	h.ask(t, "a", required(&add{1}))
	now = now.Add(-time.Hour)
	h.ask(t, "a", required(&add{1}))
	events := h.log.events("a")
	if events[1].Time.Before(events[0].Time) {
		t.Errorf("the second event is of %s, before the first one's %s", events[1].Time, events[0].Time)
	}
}

// A random history with crashes in between: what was answered is there, and a new activation equals the old one.
func TestReplayEqualsLiveState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHost(t, nil)
		total, keys := 0, map[string]int{}
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				n := rapid.IntRange(-3, 9).Draw(rt, "n")
				if r := h.ask(t, "a", required(&add{n})); r.Refusal == nil {
					total += n
				}
			},
			"batch": func(rt *rapid.T) {
				ns := rapid.SliceOfN(rapid.IntRange(-1, 9), 2, 5).Draw(rt, "ns")
				var steps []actor.Mutation
				batch := 0
				for _, n := range ns {
					steps = append(steps, &add{n})
					batch += n
				}
				if r := h.ask(t, "a", required(steps...)); r.Refusal == nil {
					total += batch
				}
			},
			"keyed": func(rt *rapid.T) {
				key := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "key")
				r := h.ask(t, "a", keyed(key, 1, required(&add{1})))
				if _, seen := keys[key]; seen != r.Replayed {
					rt.Fatalf("key %s: replayed %t, want %t", key, r.Replayed, seen)
				}
				if !r.Replayed {
					keys[key] = 1
					total++
				}
			},
			"reset": func(*rapid.T) {
				h.ask(t, "a", required(&reset{}))
				total = 0
			},
			"crash": func(*rapid.T) { h.system.Root.PoisonFuture(h.pid("a")).Wait() },
			"": func(rt *rapid.T) {
				if got := h.view(t, "a"); got != fmt.Sprint(total) {
					rt.Fatalf("sum is %s, want %d", got, total)
				}
			},
		})
	})
}
