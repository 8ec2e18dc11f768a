package actor

import (
	"testing"

	protoactor "github.com/asynkron/protoactor-go/actor"
)

// keepOneWaiting handles messages, and sends another before each is done, so that the queue is never empty.
type keepOneWaiting struct {
	box  *mailbox
	left int
	most int
}

func (k *keepOneWaiting) InvokeUserMessage(any) {
	if k.left > 0 {
		k.left--
		k.box.PostUserMessage("next")
	}
	k.box.mu.Lock()
	k.most = max(k.most, cap(k.box.user))
	k.box.mu.Unlock()
}

func (k *keepOneWaiting) InvokeSystemMessage(any)  {}
func (k *keepOneWaiting) EscalateFailure(any, any) {}

func TestMailboxThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	k := &keepOneWaiting{box: &mailbox{capacity: 10}, left: 100_000}
	k.box.RegisterHandlers(k, protoactor.NewSynchronizedDispatcher(300))
	k.box.PostSystemMessage(&protoactor.SuspendMailbox{})
	k.box.PostUserMessage("one")
	k.box.PostUserMessage("two")
	k.box.PostSystemMessage(&protoactor.ResumeMailbox{}) // and all of it runs here
	if k.left != 0 || k.most > 64 {
		t.Errorf("%d messages left, capacity up to %d, want all handled in a queue of at most 64", k.left, k.most)
	}
}
