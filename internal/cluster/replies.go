package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// replies is the process that all requests are answered to; a PID's RequestId tells them apart.
//
// proto.actor's futures are not used. One that times out is written to without a lock while its result is read, an
// answer that comes after that is logged as a dead letter, with the cart in it, and none of them can be cancelled.
type replies struct {
	pid    *actor.PID
	last   atomic.Uint32
	shards [shards]waiting
}

type waiting struct {
	mu    sync.Mutex // guards calls
	calls map[uint32]*call
}

// call is one request that waits for its answer.
type call struct {
	self   actor.PID // where the answer goes
	answer chan any  // capacity 1; only who takes the call out of calls sends to it, so it is never full
}

// register makes the process known to system.
func (r *replies) register(system *actor.ActorSystem) {
	for i := range r.shards {
		r.shards[i].calls = map[uint32]*call{}
	}
	r.pid, _ = system.ProcessRegistry.Add(r, "replies")
}

// open begins a call. End it with close.
func (r *replies) open() *call {
	c := &call{answer: make(chan any, 1)}
	c.self.Address, c.self.Id = r.pid.Address, r.pid.Id
	for {
		// After 2^32 calls the numbers come again; one that is still waited for is left out.
		id := r.last.Add(1)
		w := &r.shards[id%shards]
		w.mu.Lock()
		if _, taken := w.calls[id]; !taken {
			w.calls[id] = c
			w.mu.Unlock()
			c.self.RequestId = id
			return c
		}
		w.mu.Unlock()
	}
}

// close ends a call: an answer that comes later reaches nobody.
func (r *replies) close(c *call) { r.take(c.self.RequestId) }

// take takes a call out of those that wait; nil if it does not.
func (r *replies) take(id uint32) *call {
	w := &r.shards[id%shards]
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.calls[id]
	delete(w.calls, id)
	return c
}

// SendUserMessage hands an answer to the call that waits for it; only the first one counts.
func (r *replies) SendUserMessage(pid *actor.PID, message any) {
	if c := r.take(pid.RequestId); c != nil {
		c.answer <- actor.UnwrapEnvelopeMessage(message)
	}
}

// SendSystemMessage ignores what nobody has reason to send.
func (r *replies) SendSystemMessage(*actor.PID, any) {}

// Stop does nothing: the process lives as long as its system.
func (r *replies) Stop(*actor.PID) {}
