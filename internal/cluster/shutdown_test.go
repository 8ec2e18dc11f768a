package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/internal/cluster"
	"cartd/internal/eventlog/memlog"
)

func TestAskAfterShutdownIsRefused(t *testing.T) {
	p := newProbes()
	ctx := within(t, time.Minute)
	if _, err := p.Ask(ctx, probeKind, "a", answer(1)); err != nil {
		t.Fatal(err)
	}
	shutdown(t, p.Single)
	for _, id := range []string{"a", "b"} {
		if got, err := p.Ask(ctx, probeKind, id, answer(1)); !errors.Is(err, cluster.ErrShutdown) {
			t.Errorf("ask %s: got %v, %v, want ErrShutdown", id, got, err)
		}
	}
}

// hang makes grain a handle a request that takes until the test closes done; it returns when the request is running.
func hang(t *testing.T, p *probes, done <-chan struct{}) (result <-chan error) {
	t.Helper()
	running, answered := make(chan struct{}), make(chan error, 1)
	ctx := within(t, time.Hour)
	go func() {
		_, err := p.Ask(ctx, probeKind, "a", func(ctx protoactor.Context) {
			close(running)
			<-done
			ctx.Respond("done")
		})
		answered <- err
	}()
	<-running
	return answered
}

func TestShutdownWaitsForWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		done := make(chan struct{})
		result := hang(t, p, done)
		behind := make(chan error, 1)
		go func() {
			_, err := p.Ask(within(t, time.Hour), probeKind, "a", answer("behind"))
			behind <- err
		}()
		synctest.Wait()

		stopped := make(chan error, 1)
		go func() { stopped <- p.Shutdown(within(t, time.Hour)) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-stopped:
			t.Fatalf("Shutdown returned %v while a request was running", err)
		default:
		}
		// Also to the activation that is still there nothing new is sent.
		begin := time.Now()
		if got, err := p.Ask(within(t, time.Minute), probeKind, "a", answer(1)); !errors.Is(err, cluster.ErrShutdown) || time.Since(begin) > 0 {
			t.Errorf("ask during Shutdown: got %v, %v after %s, want ErrShutdown at once", got, err, time.Since(begin))
		}
		close(done)
		for what, c := range map[string]<-chan error{"Shutdown": stopped, "the request that ran": result, "the one behind it": behind} {
			if err := <-c; err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := p.Active(); n != 0 {
			t.Errorf("%d activations after Shutdown, want none", n)
		}
	})
}

func TestShutdownIsBoundedByItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		done := make(chan struct{})
		result := hang(t, p, done)
		begin := time.Now()
		if err := p.Shutdown(within(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v, want the deadline's error", err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Shutdown took %s, want 1s", took)
		}
		close(done)
		if err := p.Shutdown(within(t, time.Minute)); err != nil {
			t.Errorf("second Shutdown: %v", err)
		}
		if err := p.Shutdown(within(t, time.Minute)); err != nil {
			t.Errorf("third Shutdown: %v", err)
		}
		if err := <-result; err != nil {
			t.Errorf("the request that ran: %v", err)
		}
	})
}

func TestEveryRequestDuringShutdownIsAnsweredOrRefused(t *testing.T) {
	for range 10 {
		store := memlog.New()
		c := newCarts(t, store, time.Hour)
		ctx := within(t, time.Minute)
		var answered atomic.Int64
		var wg sync.WaitGroup
		half := make(chan struct{})
		for i := range 64 {
			wg.Go(func() {
				for n := 0; ; n++ {
					if i == 0 && n == 20 {
						close(half)
					}
					switch _, err := c.Ask(ctx, cartKind, fmt.Sprint("c", (i+n)%8), add(1)); {
					case err == nil:
						answered.Add(1)
					case errors.Is(err, cluster.ErrShutdown):
						return
					default:
						t.Errorf("got %v, want an answer or ErrShutdown", err)
						return
					}
				}
			})
		}
		<-half
		c.shutdown(t)
		wg.Wait()
		stored := 0
		for i := range 8 {
			stored += len(events(t, store, fmt.Sprint("c", i)))
		}
		if stored != int(answered.Load()) {
			t.Errorf("%d events are stored and %d requests were answered", stored, answered.Load())
		}
	}
}
