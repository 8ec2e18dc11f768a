package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/cluster"
	"github.com/cenkalti/backoff/v5"
)

var (
	// ErrOutcomeUnknown means that a grain was asked and did not answer in time: it may have done what was asked.
	ErrOutcomeUnknown = errors.New("no answer in time: outcome unknown")
	// ErrUnavailable means that no activation took the request before its deadline; nothing was done.
	ErrUnavailable = errors.New("no activation took the request")
	// ErrShutdown means that no requests are taken any more; nothing was done.
	ErrShutdown = errors.New("shutting down")
)

// shards is the number of tables, so that look-ups do not wait for each other.
const shards = 64

// Single keeps all activations in this process. Its methods are safe for concurrent use.
type Single struct {
	system  *actor.ActorSystem
	props   map[string]*actor.Props // by kind; read-only after the last Register
	seed    maphash.Seed
	tables  [shards]table
	spawns  atomic.Uint64
	replies replies

	mu      sync.RWMutex   // held for reading while an activation is made, for writing while closed changes
	closed  atomic.Bool    // no more requests
	running sync.WaitGroup // activations that have not stopped
	ended   sync.Once      // the system's shutdown
}

// table is one shard of the placement, which activation has which identity, and of the calls that wait for an answer: a
// request needs both, and takes one lock for them.
type table struct {
	mu    sync.Mutex // guards the rest
	pids  map[identity]*actor.PID
	calls map[*actor.PID]*call
}

type identity struct{ kind, id string }

// NewSingle starts an actor system that opens no port. End it with Shutdown.
func NewSingle(logger *slog.Logger) *Single {
	s := &Single{
		system: actor.NewActorSystem(
			actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return logger }),
			actor.WithDeadLetterRequestLogging(false), // Ask repeats them; they are no news
		),
		props: map[string]*actor.Props{},
		seed:  maphash.MakeSeed(),
	}
	for i := range s.tables {
		s.tables[i].pids, s.tables[i].calls = map[identity]*actor.PID{}, map[*actor.PID]*call{}
	}
	s.replies.tables = &s.tables
	s.replies.register(s.system)
	return s
}

// Register adds a kind of grain. make is called once, with the actor system and the function that an activation must
// call when it has stopped taking messages. Register all kinds before the first Ask; a kind twice panics.
func (s *Single) Register(kind string, make func(system *actor.ActorSystem, stopped func(id string, self *actor.PID)) *actor.Props) {
	if _, taken := s.props[kind]; taken {
		panic(fmt.Sprintf("cluster: kind %q registered twice", kind))
	}
	s.props[kind] = make(s.system, func(id string, self *actor.PID) { s.remove(identity{kind, id}, self) })
}

// Ask sends msg to the grain and returns its answer. It waits until ctx ends, which must have a deadline.
// Errors: ErrOutcomeUnknown when the grain was asked and did not answer in time, ErrUnavailable when none took the
// request in time, both with ctx's error; ErrShutdown after Shutdown.
func (s *Single) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	if _, ok := ctx.Deadline(); !ok {
		return nil, fmt.Errorf("ask %s %s: the context has no deadline", kind, id)
	}
	shard := s.shard(id)
	var wait *backoff.ExponentialBackOff // made when it is needed: as a rule the first try is the only one
	for {
		if err := ctx.Err(); err != nil { // before an activation is made for nobody
			return nil, fmt.Errorf("ask %s %s: %w: %w", kind, id, ErrUnavailable, err)
		}
		c := s.replies.open(shard, msg)
		pid, err := s.activation(&s.tables[shard], identity{kind, id}, c)
		if err != nil {
			s.replies.abandon(c)
			return nil, fmt.Errorf("ask %s %s: %w", kind, id, err)
		}
		answer, err := s.request(ctx, pid, c)
		if err != nil {
			return nil, fmt.Errorf("ask %s %s: %w: %w", kind, id, ErrOutcomeUnknown, err)
		}
		if _, dead := answer.(*actor.DeadLetterResponse); !dead {
			return answer, nil
		}
		// The activation had stopped: the next one is asked. It may take a moment until the old one has left the table.
		if wait == nil {
			wait = &backoff.ExponentialBackOff{InitialInterval: 200 * time.Microsecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 100 * time.Millisecond}
			wait.Reset()
		}
		timer := time.NewTimer(wait.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// request asks once. Its error is ctx's, when that ended before an answer came.
func (s *Single) request(ctx context.Context, pid *actor.PID, c *call) (any, error) {
	s.system.Root.Send(pid, &c.envelope)
	select {
	case answer := <-c.answer:
		s.replies.answered(c)
		return answer, nil
	case <-ctx.Done():
	}
	if answer, ok := s.replies.abandon(c); ok {
		return answer, nil
	}
	return nil, ctx.Err()
}

// Active returns the number of activations.
func (s *Single) Active() int {
	n := 0
	for i := range s.tables {
		t := &s.tables[i]
		t.mu.Lock()
		n += len(t.pids)
		t.mu.Unlock()
	}
	return n
}

// Shutdown refuses new requests, lets every activation handle what waits for it, and returns when all have stopped,
// or with ctx's error when they have not.
func (s *Single) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := s.closed.CompareAndSwap(false, true)
	s.mu.Unlock()
	if first {
		for i := range s.tables {
			t := &s.tables[i]
			t.mu.Lock()
			for _, pid := range t.pids {
				s.system.Root.Poison(pid)
			}
			t.mu.Unlock()
		}
	}
	done := make(chan struct{})
	go func() { // ends with the last activation; outlives Shutdown only if ctx ends first
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.ended.Do(s.system.Shutdown)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d activations have not stopped: %w", s.Active(), ctx.Err())
	}
}

// shard returns where what is about the grains of an id is kept.
func (s *Single) shard(id string) uint32 { return uint32(maphash.String(s.seed, id) % shards) }

// activation returns who's activation, made if there is none. From then on c waits.
func (s *Single) activation(t *table, who identity, c *call) (*actor.PID, error) {
	t.mu.Lock()
	t.calls[&c.self] = c
	pid := t.pids[who]
	t.mu.Unlock()
	if s.closed.Load() {
		return nil, ErrShutdown
	}
	if pid != nil {
		return pid, nil
	}
	return s.activate(t, who)
}

func (s *Single) activate(t *table, who identity) (*actor.PID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed.Load() {
		return nil, ErrShutdown
	}
	props, ok := s.props[who.kind]
	if !ok {
		return nil, errors.New("there is no such kind")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if pid := t.pids[who]; pid != nil {
		return pid, nil
	}
	// The number keeps apart an activation and its predecessor, which may not have left the registry yet.
	name := who.kind + "/" + who.id + "/" + strconv.FormatUint(s.spawns.Add(1), 36)
	pid, err := s.system.Root.SpawnNamed(props, name)
	if err != nil {
		return nil, fmt.Errorf("activate: %w", err)
	}
	s.running.Add(1)
	t.pids[who] = pid
	s.system.Root.Send(pid, &cluster.ClusterInit{Identity: cluster.NewClusterIdentity(who.id, who.kind)})
	return pid, nil
}

// remove takes an activation that has stopped out of the table. It is called once for each.
func (s *Single) remove(who identity, self *actor.PID) {
	t := &s.tables[s.shard(who.id)]
	t.mu.Lock()
	if pid := t.pids[who]; pid != nil && pid.Id == self.Id {
		delete(t.pids, who)
	}
	t.mu.Unlock()
	s.running.Done()
}
