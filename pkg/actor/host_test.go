package actor_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/cluster"

	"cartd/pkg/actor"
)

// sum is the aggregate of these tests: it adds up numbers.
type sum struct{ total, adds int }

type add struct{ N int }   // refused below 0
type reset struct{}        // NoChange at 0
type explode struct{}      // panics after it has changed the state
type mistake struct{}      // fails with an error that is no Refusal
type unregistered struct{} // has no handler

func sums() *actor.MutationRegistry[sum] {
	r := actor.NewMutationRegistry[sum]()
	actor.Register(r, "Add", func(s *sum, m *add, _ actor.Meta) error {
		if m.N < 0 {
			return actor.Refuse("negative", "%d is negative", m.N)
		}
		s.total += m.N
		s.adds++
		return nil
	})
	actor.Register(r, "Reset", func(s *sum, _ *reset, _ actor.Meta) error {
		if s.total == 0 {
			return actor.NoChange
		}
		s.total = 0
		return nil
	})
	actor.Register(r, "Explode", func(s *sum, _ *explode, _ actor.Meta) error {
		s.total += 1000
		panic("boom")
	})
	actor.Register(r, "Mistake", func(*sum, *mistake, actor.Meta) error { return errors.New("a bug") })
	return r
}

// host activates grains and counts what their observer hears.
type host struct {
	system *protoactor.ActorSystem
	log    *memoryLog
	props  *protoactor.Props

	mu       sync.Mutex // guards the rest
	pids     map[string]*protoactor.PID
	active   int
	skipped  []error
	panics   int
	failures int
	replayed int           // events read by the last replay
	stopped  chan struct{} // gets a value for each activation that has ended
}

func newHost(t *testing.T, change func(*actor.Config[sum])) *host {
	h := &host{system: quietSystem(), log: newMemoryLog(), pids: map[string]*protoactor.PID{}, stopped: make(chan struct{}, 1000)}
	cfg := actor.Config[sum]{
		Kind: "sum", Registry: sums(), Log: h.log, Observer: h,
		View:  func(dst []byte, s *sum, _ actor.Info) []byte { return strconv.AppendInt(dst, int64(s.total), 10) },
		Clone: func(s *sum) *sum { c := *s; return &c },
		Stopped: func(id string, self *protoactor.PID) {
			h.mu.Lock()
			if h.pids[id].GetId() == self.Id {
				delete(h.pids, id)
			}
			h.mu.Unlock()
			select {
			case h.stopped <- struct{}{}:
			default: // the test does not count them
			}
		},
	}
	if change != nil {
		change(&cfg)
	}
	h.props = actor.Props(h.system, cfg)
	t.Cleanup(h.system.Shutdown)
	return h
}

// pid returns the activation of id, made if there is none.
func (h *host) pid(id string) *protoactor.PID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pid, ok := h.pids[id]; ok {
		return pid
	}
	pid := h.system.Root.Spawn(h.props)
	h.pids[id] = pid
	h.system.Root.Send(pid, &cluster.ClusterInit{Identity: cluster.NewClusterIdentity(id, "sum")})
	return pid
}

// send asks once and does not wait.
func (h *host) send(id string, msg any) *protoactor.Future {
	return h.system.Root.RequestFuture(h.pid(id), msg, time.Minute)
}

// ask asks until an activation answers.
func (h *host) ask(t *testing.T, id string, msg any) *actor.Reply {
	t.Helper()
	for {
		answer, err := h.send(id, msg).Result()
		if errors.Is(err, protoactor.ErrDeadLetter) {
			continue
		}
		if err != nil {
			t.Fatalf("ask %s: %v", id, err)
		}
		return answer.(*actor.Reply)
	}
}

func (h *host) view(t *testing.T, id string) string {
	t.Helper()
	return string(h.ask(t, id, &actor.Query{}).View)
}

func (h *host) Activated(_, _ string)              { h.count(func() { h.active++ }) }
func (h *host) Passivated(_, _ string, _ uint64)   { h.count(func() { h.active-- }) }
func (h *host) Panicked(string, string, any)       { h.count(func() { h.panics++ }) }
func (h *host) CommitFailed(string, string, error) { h.count(func() { h.failures++ }) }
func (h *host) Replayed(_, _ string, _ time.Duration, events int, _ error) {
	h.count(func() { h.replayed = events })
}
func (h *host) EventSkipped(_, _ string, _ actor.Event, err error) {
	h.count(func() { h.skipped = append(h.skipped, err) })
}

func (h *host) count(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *host) activations() (n int) {
	h.count(func() { n = h.active })
	return n
}

// required makes a command that is all or nothing; optional one whose steps are refused one by one.
func required(ms ...actor.Mutation) *actor.Command { return command(false, ms) }
func optional(ms ...actor.Mutation) *actor.Command { return command(true, ms) }

func command(optional bool, ms []actor.Mutation) *actor.Command {
	cmd := &actor.Command{}
	for _, m := range ms {
		cmd.Steps = append(cmd.Steps, actor.Step{Mutation: m, Optional: optional})
	}
	return cmd
}

func keyed(key string, request uint64, cmd *actor.Command) *actor.Command {
	cmd.Key, cmd.Request = key, request
	return cmd
}

func code(r *actor.Reply) string {
	if r.Refusal == nil {
		return ""
	}
	return r.Refusal.Code
}
