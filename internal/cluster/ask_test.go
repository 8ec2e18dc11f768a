package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/internal/cluster"
)

func TestConcurrentFirstAsksMakeOneActivation(t *testing.T) {
	p := newProbes()
	ctx := within(t, time.Minute)
	const ids, callers = 1000, 8
	var wg sync.WaitGroup
	for i := range ids {
		id := fmt.Sprint("g", i)
		start := make(chan struct{})
		for range callers {
			wg.Go(func() {
				<-start
				if got, err := p.Ask(ctx, probeKind, id, answer(id)); err != nil || got != id {
					t.Errorf("ask %s: got %v, %v", id, got, err)
				}
			})
		}
		close(start)
	}
	wg.Wait()
	for i := range ids {
		if id := fmt.Sprint("g", i); p.activations(id) != 1 {
			t.Errorf("%s was activated %d times, want once", id, p.activations(id))
		}
	}
	if n := p.Active(); n != ids {
		t.Errorf("%d activations, want %d", n, ids)
	}
	shutdown(t, p.Single)
}

func TestKindsDoNotShareIDs(t *testing.T) {
	p := newProbes()
	p.Register("other", func(_ *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return protoactor.PropsFromProducer(func() protoactor.Actor { return &probe{all: p, stopped: stopped} })
	})
	ctx := within(t, time.Minute)
	self := func(ctx protoactor.Context) { ctx.Respond(ctx.Self().Id) }
	one, err1 := p.Ask(ctx, probeKind, "a", self)
	two, err2 := p.Ask(ctx, "other", "a", self)
	if err1 != nil || err2 != nil || one == two {
		t.Errorf("got %v, %v and %v, %v, want two activations", one, err1, two, err2)
	}
	shutdown(t, p.Single)
}

func TestUnansweredRequestIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		var asked atomic.Int32
		var late *protoactor.PID
		begin := time.Now()
		got, err := p.Ask(within(t, time.Second), probeKind, "a", func(ctx protoactor.Context) {
			asked.Add(1)
			late = ctx.Sender()
		})
		if !errors.Is(err, cluster.ErrOutcomeUnknown) {
			t.Errorf("got %v, %v, want ErrOutcomeUnknown", got, err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Ask took %s, want until the deadline", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("the grain was asked %d times, want once", n)
		}
		// An answer that comes too late reaches nobody: not the next who asks, and not the log, which is no place for
		// what is in carts.
		if got, err := p.Ask(within(t, time.Second), probeKind, "a", func(ctx protoactor.Context) {
			ctx.Send(late, "late")
			ctx.Respond("in time")
		}); got != "in time" {
			t.Errorf("got %v, %v, want this request's own answer", got, err)
		}
		if logged := p.logs.String(); strings.Contains(logged, "late") || strings.Contains(logged, "DeadLetter") {
			t.Errorf("the late answer was logged:\n%s", logged)
		}
		shutdown(t, p.Single)
	})
}

func TestDeadLettersAreRepeatedUntilAnActivationAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		var asked atomic.Int32
		got, err := p.Ask(within(t, time.Minute), probeKind, "a", func(ctx protoactor.Context) {
			if asked.Add(1) <= 10 {
				ctx.Respond(&protoactor.DeadLetterResponse{})
				return
			}
			ctx.Respond("at last")
		})
		if got != "at last" || asked.Load() != 11 {
			t.Errorf("got %v, %v after %d tries, want the answer of the 11th", got, err, asked.Load())
		}
		shutdown(t, p.Single)
	})
}

func TestDeadLettersToTheEndAreUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		tries, begin := 0, time.Now()
		got, err := p.Ask(within(t, time.Minute), probeKind, "a", func(ctx protoactor.Context) {
			tries++
			ctx.Respond(&protoactor.DeadLetterResponse{})
		})
		if !errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrOutcomeUnknown) {
			t.Errorf("got %v, %v, want ErrUnavailable: nothing was done", got, err)
		}
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("Ask took %s, want until the deadline", took)
		}
		if tries > 2000 {
			t.Errorf("%d tries in a minute, want a growing wait between them", tries)
		}
		shutdown(t, p.Single)
	})
}

func TestContextWithoutDeadlineIsRefused(t *testing.T) {
	p := newProbes()
	if got, err := p.Ask(context.Background(), probeKind, "a", answer(1)); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v, %v, want an error about the deadline", got, err)
	}
	if n := p.Active(); n != 0 {
		t.Errorf("%d activations, want none", n)
	}
	shutdown(t, p.Single)
}

func TestContextThatHasEndedActivatesNothing(t *testing.T) {
	p := newProbes()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cancel()
	for what, ctx := range map[string]context.Context{"cancelled": ctx, "expired": within(t, -time.Second)} {
		got, err := p.Ask(ctx, probeKind, "a", answer(1))
		if !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("%s: got %v, %v, want ErrUnavailable", what, got, err)
		}
		if n := p.Active(); n != 0 {
			t.Errorf("%s: %d activations, want none", what, n)
		}
	}
	shutdown(t, p.Single)
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		ctx, cancel := context.WithCancel(within(t, time.Minute))
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		got, err := p.Ask(ctx, probeKind, "a", func(protoactor.Context) {})
		if !errors.Is(err, cluster.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v, want ErrOutcomeUnknown because of the cancellation", got, err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Ask took %s, want until it was cancelled after 1 s", took)
		}
		shutdown(t, p.Single)
	})
}

func TestUnknownKind(t *testing.T) {
	p := newProbes()
	if got, err := p.Ask(within(t, time.Minute), "nothing", "a", answer(1)); err == nil {
		t.Errorf("got %v, want an error", got)
	}
	shutdown(t, p.Single)
}

func TestRegisteringAKindTwicePanics(t *testing.T) {
	p := newProbes()
	defer shutdown(t, p.Single)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	p.Register(probeKind, func(*protoactor.ActorSystem, func(string, *protoactor.PID)) *protoactor.Props { return nil })
}
