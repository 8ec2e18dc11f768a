package memlog_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/eventlog/memlog"
)

func TestContract(t *testing.T) {
	logtest.Run(t, func(t *testing.T) eventlog.Store { return memlog.New() })
}

func commit(want uint64) eventlog.Commit {
	return eventlog.Commit{Want: want, Events: logtest.Events(1)}
}

func TestHeldCommitIsNotShown(t *testing.T) {
	store, id := memlog.New(), logtest.Stream(t, "c1")
	act := logtest.Activate(t, store, id)
	store.Hold()
	first, second := logtest.Queue(act, commit(0)), logtest.Queue(act, commit(1))
	if n := len(logtest.ReadAll(t, store, id)); n != 0 || store.Queued() != 2 {
		t.Errorf("held: got %d events, %d queued; want 0 and 2", n, store.Queued())
	}
	store.Release(1)
	if d := <-first; d.Err != nil {
		t.Fatal(d.Err)
	}
	if n := len(logtest.ReadAll(t, store, id)); n != 1 || store.Queued() != 1 {
		t.Errorf("one released: got %d events, %d queued; want 1 and 1", n, store.Queued())
	}
	store.Resume()
	if d := <-second; d.Err != nil {
		t.Fatal(d.Err)
	}
}

func TestFailNextFailsTheStoreForGood(t *testing.T) {
	boom := errors.New("boom")
	for _, stored := range []bool{false, true} {
		store, id := memlog.New(), logtest.Stream(t, "c1")
		act := logtest.Activate(t, store, id)
		store.Hold()
		want := 0
		if stored {
			store.FailNextStored(boom)
			want = 1
		} else {
			store.FailNext(boom)
		}
		first, second := logtest.Queue(act, commit(0)), logtest.Queue(act, commit(1))
		store.Resume()
		for _, d := range []logtest.Decision{<-first, <-second} {
			if !errors.Is(d.Err, eventlog.ErrOutcomeUnknown) || !errors.Is(d.Err, boom) {
				t.Errorf("got %v, want ErrOutcomeUnknown and the cause", d.Err)
			}
		}
		<-store.Failed()
		if _, err := logtest.Append(act, 2, logtest.Event(1)); !errors.Is(err, eventlog.ErrFailed) {
			t.Errorf("append afterwards: got %v, want ErrFailed", err)
		}
		if n := len(logtest.ReadAll(t, store, id)); n != want {
			t.Errorf("stored=%v: got %d events, want %d", stored, n, want)
		}
	}
}

func TestLoseNextEndsTheActivationOnly(t *testing.T) {
	store, id := memlog.New(), logtest.Stream(t, "c1")
	act := logtest.Activate(t, store, id)
	store.Hold()
	store.LoseNext(true)
	lost := commit(0)
	first, second := logtest.Queue(act, lost), logtest.Queue(act, commit(1))
	store.Resume()
	for _, d := range []logtest.Decision{<-first, <-second} {
		if !errors.Is(d.Err, eventlog.ErrOutcomeUnknown) {
			t.Errorf("got %v, want ErrOutcomeUnknown", d.Err)
		}
	}
	if _, err := logtest.Append(act, 1, logtest.Event(1)); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Errorf("append of the same activation: got %v, want ErrOutcomeUnknown", err)
	}
	act = logtest.Activate(t, store, id)
	if r, err := logtest.Append(act, 0, lost.Events...); err != nil || !r.Duplicate || r.Version != 1 {
		t.Errorf("the lost commit again: got %+v, %v; want its first receipt", r, err)
	}
	logtest.MustAppend(t, act, 1, logtest.Event(2))
}

func TestRefuse(t *testing.T) {
	store, id := memlog.New(), logtest.Stream(t, "c1")
	act := logtest.Activate(t, store, id)
	store.Refuse(eventlog.ErrLowSpace)
	if _, err := logtest.Append(act, 0, logtest.Event(1)); !errors.Is(err, eventlog.ErrLowSpace) {
		t.Errorf("append: got %v, want ErrLowSpace", err)
	}
	if err := store.Writable(); !errors.Is(err, eventlog.ErrLowSpace) {
		t.Errorf("Writable: got %v, want ErrLowSpace", err)
	}
	store.Refuse(nil)
	logtest.MustAppend(t, act, 0, logtest.Event(1))
}

func TestHistoriesWithLostAnswersAreLinearizable(t *testing.T) {
	for seed := range uint64(30) {
		store, h := memlog.New(), logtest.NewHistory(logtest.Stream(t, "c1"), true)
		r := rand.New(rand.NewPCG(seed, 1))
		var wg sync.WaitGroup
		for client := range uint64(3) {
			if r.IntN(3) > 0 {
				store.LoseNext(r.IntN(2) == 0)
			}
			wg.Go(func() { h.Client(t, store, rand.New(rand.NewPCG(seed, 2+client))) })
		}
		wg.Wait()
		h.Read(t, store)
		h.Check(t)
	}
}
