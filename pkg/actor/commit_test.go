package actor_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/pkg/actor"
)

// done reports whether a future has its result, in a synctest bubble where everything else waits.
func done(f *protoactor.Future) bool {
	result := make(chan struct{})
	go func() { f.Wait(); close(result) }()
	synctest.Wait()
	select {
	case <-result:
		return true
	default:
		return false
	}
}

func TestNothingIsAnsweredBeforeItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		h.ask(t, "a", required(&add{1}))
		h.log.hold()
		answers := map[string]*protoactor.Future{
			"the command":                        h.send("a", keyed("k", 1, required(&add{2}))),
			"a query behind it":                  h.send("a", &actor.Query{}),
			"a repeat of its key":                h.send("a", keyed("k", 1, required(&add{2}))),
			"another request with its key":       h.send("a", keyed("k", 2, required(&add{3}))),
			"a refusal that depends on it":       h.send("a", required(&add{-1})),
			"a version conflict that depends on": h.send("a", &actor.Command{Steps: []actor.Step{{Mutation: &add{1}}}, IfVersion: new(uint64)}),
		}
		for what, f := range answers {
			if done(f) {
				t.Errorf("%s was answered while the commit was held back", what)
			}
		}
		h.log.decide(nil)
		for what, f := range answers {
			if !done(f) {
				t.Errorf("%s was not answered after the commit", what)
			}
		}
		if got := len(h.log.events("a")); got != 2 {
			t.Errorf("%d events in the log, want 2", got)
		}
	})
}

func TestCommitsOfOneGrainArePipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		h.log.hold()
		var futures []*protoactor.Future
		for range 100 {
			futures = append(futures, h.send("a", required(&add{1})))
		}
		synctest.Wait()
		if got := h.log.waiting(); got != 100 {
			t.Errorf("%d commits were queued while the first was on its way, want 100", got)
		}
		h.log.decide(nil)
		for i, f := range futures {
			answer, err := f.Result()
			if err != nil {
				t.Fatal(err)
			}
			if r := answer.(*actor.Reply); r.Version != uint64(i+1) || string(r.View) != fmt.Sprint(i+1) {
				t.Errorf("answer %d: version %d and view %s", i+1, r.Version, r.View)
			}
		}
	})
}

func TestFailedCommitIsToldToAllThatWaitAndEndsTheActivation(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string // code told to who wrote; "" for: not handled, ask again
	}{
		{actor.ErrOutcomeUnknown, actor.CodeOutcomeUnknown},
		{fmt.Errorf("wrapped: %w", actor.ErrUnavailable), actor.CodeUnavailable},
		{actor.ErrStale, ""},
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, nil)
				h.ask(t, "a", required(&add{1}))
				h.log.hold()
				first, second := h.send("a", required(&add{10})), h.send("a", required(&add{100}))
				query := h.send("a", &actor.Query{})
				synctest.Wait()
				h.log.decide(tc.err)
				for _, f := range []*protoactor.Future{first, second} {
					answer, err := f.Result()
					if tc.want == "" {
						if !errors.Is(err, protoactor.ErrDeadLetter) {
							t.Errorf("got %v, %v, want a dead letter", answer, err)
						}
						continue
					}
					if err != nil || code(answer.(*actor.Reply)) != tc.want {
						t.Errorf("got %v, %v, want code %s", answer, err, tc.want)
					}
				}
				if answer, err := query.Result(); !errors.Is(err, protoactor.ErrDeadLetter) {
					t.Errorf("a query behind the failed commit got %v, %v, want a dead letter", answer, err)
				}
				if got := h.view(t, "a"); got != "1" {
					t.Errorf("the next activation shows %s, want 1, which is what the log holds", got)
				}
				if h.failures != 2 {
					t.Errorf("observer heard of %d failed commits, want 2", h.failures)
				}
			})
		})
	}
}

func TestConcurrentCommandsAreAppliedOnceEachInOrder(t *testing.T) {
	h := newHost(t, nil)
	versions := make([]bool, 64+1)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			r := h.ask(t, "a", required(&add{1}))
			mu.Lock()
			defer mu.Unlock()
			if versions[r.Version] {
				t.Errorf("version %d was given twice", r.Version)
			}
			versions[r.Version] = true
		})
	}
	wg.Wait()
	if got := h.view(t, "a"); got != "64" {
		t.Errorf("sum is %s, want 64", got)
	}
}

func TestAnotherWriterIsNoticedAndTheCommandGoesOnANewActivation(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{1}))
	h.log.put("a", actor.Event{Type: "Add", Payload: []byte(`{"N":10}`)})
	if got := string(h.ask(t, "a", required(&add{100})).View); got != "111" {
		t.Errorf("sum is %s, want 111: the other writer's event counts", got)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *actor.Config[sum]) { c.MaxInFlight = 2 })
		h.log.hold()
		one, two, three := h.send("a", required(&add{1})), h.send("a", required(&add{1})), h.send("a", required(&add{1}))
		synctest.Wait()
		h.log.decide(nil)
		one.Wait()
		two.Wait()
		answer, err := three.Result()
		if err != nil || code(answer.(*actor.Reply)) != actor.CodeUnavailable {
			t.Errorf("third commit in flight of two: got %v, %v, want unavailable", answer, err)
		}
		if got := h.view(t, "a"); got != "2" {
			t.Errorf("sum is %s, want 2", got)
		}
	})
}

func TestUnwritableLogRefusesBeforeAnythingHappens(t *testing.T) {
	h := newHost(t, nil)
	h.ask(t, "a", required(&add{1}))
	h.log.setRefuse(actor.ErrUnavailable)
	if got := code(h.ask(t, "a", required(&add{1}))); got != actor.CodeUnavailable {
		t.Errorf("got code %q, want unavailable", got)
	}
	if got := h.view(t, "a"); got != "1" {
		t.Errorf("sum is %s, want 1: reads go on", got)
	}
	h.log.setRefuse(nil)
	if got := string(h.ask(t, "a", required(&add{1})).View); got != "2" {
		t.Errorf("sum is %s, want 2: writes go on", got)
	}
}

func TestDeadlineThatHasPassedIsNotApplied(t *testing.T) {
	h := newHost(t, nil)
	cmd := required(&add{1})
	cmd.Deadline = time.Now().Add(-time.Second)
	if got := code(h.ask(t, "a", cmd)); got != actor.CodeUnavailable {
		t.Errorf("got code %q, want unavailable", got)
	}
	if got := len(h.log.events("a")); got != 0 {
		t.Errorf("%d events, want none", got)
	}
}

func TestThoseWhoWaitForACommitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rendered := 0
		h := newHost(t, func(c *actor.Config[sum]) {
			c.MaxQueued = 10
			view := c.View
			c.View = func(dst []byte, s *sum, info actor.Info) []byte { rendered++; return view(dst, s, info) }
		})
		h.log.hold()
		f := h.send("a", required(&add{1}))
		synctest.Wait()
		rendered = 0
		var asked []*protoactor.Future
		for range 20 {
			asked = append(asked, h.send("a", &actor.Query{}))
			synctest.Wait()
		}
		if rendered != 1 {
			t.Errorf("the state was rendered %d times for 20 who asked for it, want once", rendered)
		}
		h.log.decide(nil)
		f.Wait()
		refused := 0
		for _, f := range asked {
			answer, err := f.Result()
			if err != nil {
				t.Fatal(err)
			}
			switch r := answer.(*actor.Reply); {
			case code(r) == actor.CodeUnavailable:
				refused++
			case string(r.View) != "1":
				t.Errorf("view %s, want 1", r.View)
			}
		}
		if refused != 11 { // the command waits too
			t.Errorf("%d were refused, want 11 of 20 with room for 10", refused)
		}
		if got := h.view(t, "a"); got != "1" {
			t.Errorf("sum is %s, want 1", got)
		}
	})
}

func TestAnswersThatWaitForTheDiskAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *actor.Config[sum]) {
			c.View = func([]byte, *sum, actor.Info) []byte { return make([]byte, 30<<20) }
		})
		h.log.hold()
		var futures []*protoactor.Future
		for range 4 {
			futures = append(futures, h.send("a", required(&add{1})))
		}
		synctest.Wait()
		h.log.decide(nil)
		for i, f := range futures {
			answer, err := f.Result()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := code(answer.(*actor.Reply)), map[bool]string{true: actor.CodeUnavailable}[i == 3]; got != want {
				t.Errorf("answer %d: code %q, want %q", i, got, want)
			}
		}
	})
}

func TestCommitThatTheLogWillNeverTakeIsInternal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		h.log.hold()
		f := h.send("a", required(&add{1}))
		synctest.Wait()
		h.log.decide(errors.New("too large"))
		if answer, err := f.Result(); err != nil || code(answer.(*actor.Reply)) != actor.CodeInternal {
			t.Errorf("got %v, %v, want internal", answer, err)
		}
	})
}
