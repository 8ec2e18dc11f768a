package cluster

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// replies is the process that all requests are answered to; the PID itself, which each has its own of, tells them apart.
//
// proto.actor's futures are not used. One that times out is written to without a lock while its result is read, an
// answer that comes after that is logged as a dead letter, with the cart in it, and none of them can be cancelled.
type replies struct {
	tables   *[shards]table
	channels sync.Pool // of chan any, each of which nobody sends to any more
}

// call is one request, with what it needs until its answer comes.
type call struct {
	self     actor.PID // where the answer goes; its RequestId is the number of the table
	envelope actor.MessageEnvelope
	answer   chan any // capacity 1; only who takes the call out of calls sends to it, and once, so it is never full
}

// repliesAddress is where requests are answered to: no activation has it.
const repliesAddress = "replies"

// register makes the process known to system.
func (r *replies) register(system *actor.ActorSystem) {
	r.channels.New = func() any { return make(chan any, 1) }
	system.ProcessRegistry.RegisterAddressResolver(func(pid *actor.PID) (actor.Process, bool) {
		return r, pid.Address == repliesAddress
	})
}

// open makes a call, which waits from when it is in its table on. End it with answered or abandon.
func (r *replies) open(table uint32, message any) *call {
	c := &call{answer: r.channels.Get().(chan any)}
	c.self.Address, c.self.RequestId = repliesAddress, table
	c.envelope.Message, c.envelope.Sender = message, &c.self
	return c
}

// answered ends a call whose answer has been received.
func (r *replies) answered(c *call) { r.channels.Put(c.answer) }

// abandon ends any other call: an answer that comes later reaches nobody. It returns one that has come meanwhile.
func (r *replies) abandon(c *call) (answer any, ok bool) {
	if r.take(&c.self) == nil {
		return <-c.answer, true // it is there, or on its way
	}
	return nil, false
}

// take takes a call out of those that wait; nil if it does not.
func (r *replies) take(pid *actor.PID) *call {
	t := &r.tables[pid.RequestId%shards]
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[pid]
	delete(t.calls, pid)
	return c
}

// SendUserMessage hands an answer to the call that waits for it; only the first one counts.
func (r *replies) SendUserMessage(pid *actor.PID, message any) {
	if c := r.take(pid); c != nil {
		c.answer <- actor.UnwrapEnvelopeMessage(message)
	}
}

// SendSystemMessage ignores what nobody has reason to send.
func (r *replies) SendSystemMessage(*actor.PID, any) {}

// Stop does nothing: the process lives as long as its system.
func (r *replies) Stop(*actor.PID) {}
