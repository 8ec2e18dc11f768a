package actor

import (
	"errors"
	"sync"

	protoactor "github.com/asynkron/protoactor-go/actor"
)

// flight is one commit on its way to stable storage, with all who wait for it: the command that made it, and
// whoever asked something while it was the newest. The grain adds waiters, the log decides.
type flight struct {
	mu      sync.Mutex // guards the rest
	decided bool
	err     error // why it failed; set with decided
	waiting []waiter

	room [1]waiter // where waiting begins: mostly there is one
}

// newFlight returns the flight of who has written.
func newFlight(first waiter) *flight {
	f := &flight{room: [1]waiter{first}}
	f.waiting = f.room[:]
	return f
}

type waiter struct {
	to    *protoactor.PID
	reply *Reply
	wrote bool // the flight carries this command's events
}

// join makes w wait for the flight, or returns how the flight was decided. When too many wait already, w's reply
// becomes a refusal: it tells nothing of the state, so it need not wait.
func (f *flight) join(w *waiter, limit int) (now bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.decided:
		return true, f.err
	case len(f.waiting) >= limit:
		w.reply = &Reply{Refusal: Refuse(CodeUnavailable, "too many requests wait for the disk")}
		return true, nil
	}
	f.waiting = append(f.waiting, *w)
	return false, nil
}

// decide answers all who wait.
func (f *flight) decide(root *protoactor.RootContext, err error) {
	f.mu.Lock()
	f.decided, f.err = true, err
	waiting := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for i := range waiting {
		w := &waiting[i]
		root.Send(w.to, w.answer(err))
	}
	f.room = [1]waiter{} // the activation keeps the flight, and not what was answered
}

func (w *waiter) answer(err error) any {
	switch {
	case err == nil:
		return w.reply
	case w.wrote && errors.Is(err, ErrOutcomeUnknown):
		return &Reply{Refusal: Refuse(CodeOutcomeUnknown, "the change may or may not have been stored; repeat it with the same idempotency key")}
	case w.wrote && errors.Is(err, ErrUnavailable):
		return &Reply{Refusal: Refuse(CodeUnavailable, "the change could not be stored")}
	case w.wrote && !errors.Is(err, ErrStale): // the log will not have it, however often it is tried
		return &Reply{Refusal: Refuse(CodeInternal, "the change cannot be stored")}
	}
	// Certainly not stored, or only asked: a new activation can answer.
	return &protoactor.DeadLetterResponse{}
}
