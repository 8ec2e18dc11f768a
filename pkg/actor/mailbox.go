package actor

import (
	"runtime"
	"sync"

	protoactor "github.com/asynkron/protoactor-go/actor"
)

// mailbox is a bounded queue of messages for one activation that loses none of them silently.
//
// proto.actor's own mailboxes drop the messages that stand behind a Stop: their senders wait until they time out,
// without knowing whether they were heard. This one answers them with a dead letter, and so whatever comes
// after the end: the sender knows that nothing was done and goes to the next activation.
//
// Nor do they save the switch to another goroutine, whose stack is new and grows with each request. A request to an
// activation that is idle is handled here on the goroutine of whoever sends it, which waits for the answer anyway. It
// handles that one message: what has come meanwhile is for a goroutine of the mailbox's own, so nobody is kept working
// for others. Messages without a sender, which make, check and end activations, are never handled by who sends them:
// it may hold locks.
type mailbox struct {
	system     *protoactor.ActorSystem
	capacity   int
	invoker    protoactor.MessageInvoker
	dispatcher protoactor.Dispatcher

	mu        sync.Mutex // guards the rest; never held while a message is handled
	user      []any      // waiting messages are user[head:]
	head      int
	sys       []any
	running   bool // a goroutine is in run, or has been scheduled to be
	suspended bool // between a failure and the supervisor's decision
	closed    bool // the activation has stopped
}

func newMailbox(system *protoactor.ActorSystem, capacity int) protoactor.MailboxProducer {
	return func() protoactor.Mailbox { return &mailbox{system: system, capacity: capacity} }
}

func (b *mailbox) RegisterHandlers(invoker protoactor.MessageInvoker, dispatcher protoactor.Dispatcher) {
	b.invoker, b.dispatcher = invoker, dispatcher
}

func (b *mailbox) Start() {}

func (b *mailbox) UserMessageCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.user) - b.head
}

func (b *mailbox) PostUserMessage(message any) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		b.deadLetter(message)
		return
	}
	// Only what somebody waits for is bounded: the few messages that end an activation must get in.
	env, ok := message.(*protoactor.MessageEnvelope)
	request := ok && env.Sender != nil
	if request && len(b.user)-b.head >= b.capacity {
		b.mu.Unlock()
		b.system.Root.Send(env.Sender, &Reply{Refusal: Refuse(CodeUnavailable, "too many requests wait for their turn")})
		return
	}
	if request && !b.running && !b.suspended { // so nothing waits
		b.running = true
		b.mu.Unlock()
		b.handle(message, false)
		b.runOn()
		return
	}
	b.user = append(b.user, message)
	b.schedule()
}

// runOn ends the work of one who is no goroutine of the mailbox: what waits by now is left to one.
func (b *mailbox) runOn() {
	b.mu.Lock()
	more := len(b.sys) > 0 || b.head < len(b.user) && !b.suspended
	b.running = more
	b.mu.Unlock()
	if more {
		b.dispatcher.Schedule(b.run)
	}
}

func (b *mailbox) PostSystemMessage(message any) {
	b.mu.Lock()
	b.sys = append(b.sys, message)
	b.schedule()
}

// schedule starts run unless it is running; it unlocks b.mu.
func (b *mailbox) schedule() {
	start := !b.running
	b.running = true
	b.mu.Unlock()
	if start {
		b.dispatcher.Schedule(b.run)
	}
}

func (b *mailbox) run() {
	for n := 1; ; n++ {
		if n%b.dispatcher.Throughput() == 0 {
			runtime.Gosched() // a busy cart lets others have the processor
		}
		message, system, ok := b.next()
		if !ok {
			return
		}
		b.handle(message, system)
	}
}

// handle handles one message, and closes the mailbox when it was the last.
func (b *mailbox) handle(message any, system bool) {
	if !b.invoke(message, system) {
		return // the supervisor decides what becomes of the actor and tells it by a system message
	}
	if _, stop := message.(*protoactor.Stop); stop && system {
		b.close()
	}
}

// next takes the message that is to be handled now; false when there is none, and then run has ended.
func (b *mailbox) next() (message any, system, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sys) > 0 {
		message, b.sys = b.sys[0], b.sys[1:]
		if len(b.sys) == 0 {
			b.sys = nil
		}
		return message, true, true
	}
	if b.head == len(b.user) || b.suspended {
		b.running = false
		return nil, false, false
	}
	message = b.user[b.head]
	b.user[b.head] = nil
	b.head++
	switch left := len(b.user) - b.head; {
	case left == 0 && cap(b.user) > 64:
		b.user, b.head = nil, 0 // a burst must not be remembered by an idle cart
	case left <= b.head: // a queue that is never empty must not grow for ever; each message is moved once at most
		copy(b.user, b.user[b.head:])
		clear(b.user[left:])
		b.user, b.head = b.user[:left], 0
	}
	return message, false, true
}

// invoke handles one message; false if handling it panicked.
func (b *mailbox) invoke(message any, system bool) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			b.invoker.EscalateFailure(r, message)
		}
	}()
	switch message.(type) {
	case *protoactor.SuspendMailbox:
		b.setSuspended(true)
	case *protoactor.ResumeMailbox:
		b.setSuspended(false)
	default:
		if system {
			b.invoker.InvokeSystemMessage(message)
		} else {
			b.invoker.InvokeUserMessage(message)
		}
	}
	return true
}

func (b *mailbox) setSuspended(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspended = on
}

// close answers all that waits, and from now on all that comes.
func (b *mailbox) close() {
	b.mu.Lock()
	b.closed = true
	left := b.user[b.head:]
	b.user, b.head = nil, 0
	b.mu.Unlock()
	for _, message := range left {
		b.deadLetter(message)
	}
}

func (b *mailbox) deadLetter(message any) {
	if env, ok := message.(*protoactor.MessageEnvelope); ok && env.Sender != nil {
		b.system.Root.Send(env.Sender, &protoactor.DeadLetterResponse{})
	}
}
