package cluster

import (
	"math"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

func TestOnlyTheFirstAnswerCounts(t *testing.T) {
	system := actor.NewActorSystem()
	defer system.Shutdown()
	var r replies
	r.register(system)
	c, other := r.open(), r.open()
	for _, message := range []string{"first", "second", "third"} {
		system.Root.Send(&c.self, message) // must not block, though nobody reads
	}
	if got := <-c.answer; got != "first" {
		t.Errorf("got %v, want the first answer", got)
	}
	r.close(c)
	system.Root.Send(&c.self, "late")
	if len(c.answer) != 0 || len(other.answer) != 0 {
		t.Errorf("%d and %d more answers, want none", len(c.answer), len(other.answer))
	}
	r.close(other)
	for i := range r.shards {
		if n := len(r.shards[i].calls); n != 0 {
			t.Errorf("%d calls are left, want none", n)
		}
	}
}

func TestNumberOfACallThatWaitsIsNotGivenAgain(t *testing.T) {
	system := actor.NewActorSystem()
	defer system.Shutdown()
	var r replies
	r.register(system)
	r.last.Store(math.MaxUint32 - 1)
	waits := []*call{r.open(), r.open()} // the largest number, and 0
	r.last.Store(math.MaxUint32 - 1)     // 2^32 calls later
	next := r.open()
	for _, c := range waits {
		if next.self.RequestId == c.self.RequestId {
			t.Errorf("number %d was given to two calls that wait", c.self.RequestId)
		}
	}
	system.Root.Send(&next.self, "answer")
	if got := <-next.answer; got != "answer" || len(waits[0].answer)+len(waits[1].answer) != 0 {
		t.Errorf("got %v, and %d answers came to others", got, len(waits[0].answer)+len(waits[1].answer))
	}
}
