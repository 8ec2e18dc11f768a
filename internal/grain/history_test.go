package grain

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"testing"
	"testing/synctest"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/memlog"
	"cartd/pkg/actor"
)

// gatedStore counts the reads that go on, each of which waits until the gate is opened.
type gatedStore struct {
	*memlog.Log
	reading chan struct{}
	gate    chan struct{}
}

func (s gatedStore) Recall(ctx context.Context, id eventlog.StreamID, load func([]byte) error) iter.Seq2[eventlog.Event, error] {
	s.reading <- struct{}{}
	<-s.gate
	return s.Log.Recall(ctx, id, load)
}

func TestHistoryReadsAFewCartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := max(2, runtime.GOMAXPROCS(0))
		store := gatedStore{memlog.New(), make(chan struct{}, most+1), make(chan struct{})}
		h := NewHistory(store, Limits{})
		id, err := eventlog.ParseStreamID(eventlog.KindCart, "c1")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, most+1)
		for range most + 1 {
			go func() {
				_, err := h.At(t.Context(), id, actor.Moment{})
				done <- err
			}()
		}
		synctest.Wait()
		if n := len(store.reading); n != most {
			t.Errorf("%d carts are read at once, want %d", n, most)
		}
		gone, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the client has gone"))
		if _, err := h.At(gone, id, actor.Moment{}); err == nil {
			t.Error("whose time is over was served")
		}
		close(store.gate)
		for range most + 1 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
