package actor_test

import (
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/pkg/actor"
)

// told keeps what Changed tells.
type told struct {
	mu     sync.Mutex // guards the following
	states []int
}

func (c *told) config(cfg *actor.Config[sum]) {
	cfg.Changed = func(_ string, s *sum, info actor.Info) func() {
		total := s.total*1000 + int(info.Version)
		return func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.states = append(c.states, total)
		}
	}
}

func (c *told) want(t *testing.T, want ...int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.states, want) {
		t.Errorf("told %v, want %v", c.states, want)
	}
}

func TestChangesAreToldWhenTheyAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &told{}
		h := newHost(t, c.config)
		h.ask(t, "a", required(&add{2}))
		c.want(t, 2001)
		h.log.hold()
		answers := []*protoactor.Future{h.send("a", required(&add{3})), h.send("a", required(&add{4})), h.send("a", required(&add{-1}))}
		synctest.Wait()
		c.want(t, 2001)
		h.log.decide(nil)
		for _, f := range answers {
			if _, err := f.Result(); err != nil {
				t.Fatal(err)
			}
		}
		c.want(t, 2001, 5002, 9003)
	})
}

func TestChangesThatAreNotStoredAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &told{}
		h := newHost(t, c.config)
		h.ask(t, "a", required(&add{2}))
		h.log.hold()
		answer := h.send("a", required(&add{3}))
		synctest.Wait()
		h.log.decide(actor.ErrOutcomeUnknown)
		if _, err := answer.Result(); err != nil {
			t.Fatal(err)
		}
		c.want(t, 2001)
	})
}

// rebuild is what Rebuild makes of a log.
func (h *host) rebuild(t *testing.T, id string) (int, actor.Info) {
	t.Helper()
	cfg := actor.Config[sum]{Kind: "sum", Registry: sums(), Log: h.log, View: func(dst []byte, _ *sum, _ actor.Info) []byte { return dst }}
	withSnapshots(&cfg)
	claim, err := h.log.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release()
	s, info, err := actor.Rebuild(cfg, id, func(load func([]byte) error) iter.Seq2[actor.Event, error] {
		return claim.Replay(t.Context(), load)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.total, info
}

func TestRebuildMakesTheStateOfAnActivation(t *testing.T) {
	h := newHost(t, withSnapshots)
	if total, info := h.rebuild(t, "nothing"); total != 0 || info.Version != 0 {
		t.Errorf("of nothing: got %d at %+v", total, info)
	}
	for range 300 {
		h.ask(t, "a", required(&add{2}))
	}
	if len(h.log.snapshots("a")) == 0 {
		t.Fatal("no snapshot")
	}
	h.end(t, "a")
	if total, info := h.rebuild(t, "a"); total != 600 || info.Version != 300 || info.ID != "a" || info.Created.IsZero() || info.Updated.Before(info.Created) {
		t.Errorf("got %d at %+v, want 600 at version 300", total, info)
	}
	h.log.put("a", actor.Event{Version: 301, Damaged: true})
	if _, info := h.rebuild(t, "a"); !info.Damaged || info.Version != 301 {
		t.Errorf("got %+v, want it to be damaged", info)
	}
}

func TestRebuildReturnsTheErrorOfTheLog(t *testing.T) {
	cfg := actor.Config[sum]{Kind: "sum", Registry: sums(), Log: newMemoryLog(), View: func(dst []byte, _ *sum, _ actor.Info) []byte { return dst }}
	broken := errors.New("broken")
	_, _, err := actor.Rebuild(cfg, "a", func(func([]byte) error) iter.Seq2[actor.Event, error] {
		return func(yield func(actor.Event, error) bool) { yield(actor.Event{}, broken) }
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the log's error", err)
	}
}
