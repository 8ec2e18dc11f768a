package actor

import (
	"slices"
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

// recording notes what is handled, and can post more meanwhile.
type recording struct {
	handled   []any
	meanwhile func()
}

func (r *recording) InvokeUserMessage(message any) {
	r.handled = append(r.handled, protoactor.UnwrapEnvelopeMessage(message))
	if f := r.meanwhile; f != nil {
		r.meanwhile = nil
		f()
	}
}

func (r *recording) InvokeSystemMessage(any)  {}
func (r *recording) EscalateFailure(any, any) {}

// later is a dispatcher whose goroutine is the test, when it wants to.
type later struct{ scheduled []func() }

func (l *later) Schedule(fn func()) { l.scheduled = append(l.scheduled, fn) }
func (l *later) Throughput() int    { return 300 }

func recordingMailbox() (*mailbox, *recording, *later) {
	b, r, l := &mailbox{capacity: 10}, &recording{}, &later{}
	b.RegisterHandlers(r, l)
	return b, r, l
}

func request(text string) *protoactor.MessageEnvelope {
	return &protoactor.MessageEnvelope{Message: text, Sender: &protoactor.PID{Id: "who asks"}}
}

func TestRequestToAnIdleActivationIsHandledByItsSender(t *testing.T) {
	b, r, l := recordingMailbox()
	b.PostUserMessage(request("one"))
	b.PostUserMessage(request("two"))
	if want := []any{"one", "two"}; !slices.Equal(r.handled, want) || len(l.scheduled) != 0 {
		t.Errorf("handled %v, %d goroutines; want %v and none", r.handled, len(l.scheduled), want)
	}
}

func TestSenderHandlesNoMessageButItsOwn(t *testing.T) {
	b, r, l := recordingMailbox()
	r.meanwhile = func() {
		b.PostUserMessage(request("two"))
		b.PostUserMessage(request("three"))
	}
	b.PostUserMessage(request("one"))
	if want := []any{"one"}; !slices.Equal(r.handled, want) || len(l.scheduled) != 1 {
		t.Fatalf("handled %v, %d goroutines; want %v, and one for the rest", r.handled, len(l.scheduled), want)
	}
	b.PostUserMessage(request("four")) // the goroutine has not come so far: no overtaking
	l.scheduled[0]()
	if want := []any{"one", "two", "three", "four"}; !slices.Equal(r.handled, want) || len(l.scheduled) != 1 {
		t.Errorf("handled %v, %d goroutines; want %v and one", r.handled, len(l.scheduled), want)
	}
}

func TestMessageWithoutSenderIsNotHandledByWhoSendsIt(t *testing.T) {
	b, r, l := recordingMailbox()
	b.PostUserMessage("an order")
	if len(r.handled) != 0 || len(l.scheduled) != 1 {
		t.Errorf("handled %v, %d goroutines; want nothing and one", r.handled, len(l.scheduled))
	}
}

func TestSuspendedMailboxKeepsRequests(t *testing.T) {
	b, r, l := recordingMailbox()
	run := func() {
		for _, fn := range l.scheduled {
			fn()
		}
		l.scheduled = nil
	}
	r.meanwhile = func() { b.PostSystemMessage(&protoactor.SuspendMailbox{}) }
	b.PostUserMessage(request("one"))
	run()
	b.PostUserMessage(request("two"))
	run()
	if want := []any{"one"}; !slices.Equal(r.handled, want) {
		t.Errorf("handled %v, want %v", r.handled, want)
	}
	b.PostSystemMessage(&protoactor.ResumeMailbox{})
	run()
	if want := []any{"one", "two"}; !slices.Equal(r.handled, want) {
		t.Errorf("handled %v, want %v", r.handled, want)
	}
}
