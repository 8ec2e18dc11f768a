package actor

import (
	"testing"

	protoactor "github.com/asynkron/protoactor-go/actor"
)

// An activation keeps its newest flight for as long as it is there; the answers, and who has asked, may go.
func TestFlightKeepsNothingOfWhatItHasAnswered(t *testing.T) {
	system := protoactor.NewActorSystem()
	defer system.Shutdown()
	nobody := system.NewLocalPID("nobody")
	f := newFlight(waiter{to: nobody, reply: &Reply{}, wrote: true})
	if now, err := f.join(&waiter{to: nobody, reply: &Reply{}}, 2); now || err != nil {
		t.Fatalf("joined: got %t, %v; want to wait", now, err)
	}
	f.decide(system.Root, nil)
	if f.waiting != nil || f.room != [1]waiter{} {
		t.Errorf("it keeps %v and %v", f.waiting, f.room)
	}
}
