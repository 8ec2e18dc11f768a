package logtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"cartd/internal/eventlog"
)

// writeFeed lets writers append commits of one to three events to a stream each, and returns when all are decided.
func writeFeed(t *testing.T, store eventlog.Store, writers, commits int) (events int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range writers {
		act := Activate(t, store, Stream(t, fmt.Sprintf("c%d", i)))
		wg.Go(func() {
			defer act.Release()
			want := uint64(0)
			var decisions []<-chan Decision
			for n := range commits {
				evs := Events(1 + (i+n)%3)
				decisions = append(decisions, Queue(act, eventlog.Commit{Want: want, Events: evs}))
				want += uint64(len(evs))
			}
			for _, d := range decisions {
				if got := <-d; got.Err != nil {
					t.Error(got.Err)
				}
			}
		})
		for n := range commits {
			events += 1 + (i+n)%3
		}
	}
	wg.Wait()
	return events
}

// checkFeed wants evs to be the n events behind after, without a gap.
func checkFeed(t *testing.T, evs []eventlog.Event, after uint64, n int) {
	t.Helper()
	if len(evs) != n {
		t.Errorf("behind %d: got %d events, want %d", after, len(evs), n)
	}
	for i, ev := range evs {
		if want := after + 1 + uint64(i); ev.Position != want {
			t.Fatalf("behind %d: event %d has position %d, want %d", after, i, ev.Position, want)
		}
	}
}

func mustCollect(t *testing.T, seq iter.Seq2[eventlog.Event, error]) []eventlog.Event {
	t.Helper()
	evs, err := collect(seq)
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

func feedIsDense(t *testing.T, store eventlog.Store) {
	if evs := mustCollect(t, store.ReadAll(t.Context(), 0)); len(evs) != 0 || store.Head() != 0 {
		t.Errorf("an empty store gives %d events, its head is %d", len(evs), store.Head())
	}
	n := writeFeed(t, store, 8, 20)
	evs := mustCollect(t, store.ReadAll(t.Context(), 0))
	checkFeed(t, evs, 0, n)
	if head := store.Head(); head != uint64(n) {
		t.Errorf("the head is %d, want %d", head, n)
	}
	streams := make(map[eventlog.StreamID][]eventlog.Event)
	for _, ev := range evs {
		streams[ev.Stream] = append(streams[ev.Stream], ev)
	}
	for id, got := range streams {
		want := ReadAll(t, store, id)
		for i, ev := range want {
			if i < len(got) && ev.Position != got[i].Position {
				t.Errorf("%s: version %d is at %d in the stream and at %d in the feed", id, ev.Version, ev.Position, got[i].Position)
			}
			want[i].Position = 0
		}
		same(t, id.String(), got, want)
	}
}

func feedBeginsAnywhere(t *testing.T, store eventlog.Store) {
	n := writeFeed(t, store, 4, 30)
	for _, after := range append(rand.Perm(n)[:20], 0, n-1, n) {
		checkFeed(t, mustCollect(t, store.ReadAll(t.Context(), uint64(after))), uint64(after), n-after)
	}
	if evs := mustCollect(t, store.ReadAll(t.Context(), uint64(n)+7)); len(evs) != 0 {
		t.Errorf("behind the head: got %d events, want none", len(evs))
	}
	for ev, err := range store.ReadAll(t.Context(), 3) {
		if err != nil || ev.Position != 4 {
			t.Errorf("got position %d, %v; want 4", ev.Position, err)
		}
		break
	}
	_, err := collect(store.ReadAll(canceled(t), 0))
	wantErr(t, "read of the feed without time", err, context.Canceled)
}

func feedEndsAtHead(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	want := MustAppend(t, act, 0, Events(3)...).Version
	n := 0
	for _, err := range store.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		want = MustAppend(t, act, want, Event(n)).Version
	}
	if n != 3 {
		t.Errorf("got %d events, want the 3 that were there when the loop began", n)
	}
}

func followerMissesNothing(t *testing.T, store eventlog.Store) {
	const writers, commits, readers = 6, 40, 4
	total := 0
	for i := range writers {
		for n := range commits {
			total += 1 + (i+n)%3
		}
	}
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			var evs []eventlog.Event
			for after := uint64(0); after < uint64(total); { // comes and goes
				leave := rand.IntN(20)
				for ev, err := range eventlog.Follow(t.Context(), store, after) {
					if err != nil {
						t.Error(err)
						return
					}
					evs = append(evs, ev)
					after = ev.Position
					if leave--; leave < 0 || after == uint64(total) {
						break
					}
				}
			}
			for i, ev := range evs {
				if ev.Position != uint64(i+1) {
					t.Errorf("event %d has position %d", i+1, ev.Position)
					return
				}
			}
		})
	}
	if n := writeFeed(t, store, writers, commits); n != total {
		t.Fatalf("wrote %d events, want %d", n, total)
	}
	wg.Wait()
}

func slowReader(t *testing.T, store eventlog.Store) {
	n := writeFeed(t, store, 2, 10)
	next, stop := iter.Pull2(store.ReadAll(t.Context(), 0))
	defer stop()
	ev, err, ok := next()
	if !ok || err != nil || ev.Position != 1 {
		t.Fatalf("got position %d, %v", ev.Position, err)
	}
	act := Activate(t, store, Stream(t, "other"))
	defer act.Release()
	for i := range 100 { // which are decided, though the reader stands still
		MustAppend(t, act, uint64(i), Event(i))
	}
	got := 1
	for {
		ev, err, ok := next()
		if !ok {
			break
		}
		if got++; err != nil || ev.Position != uint64(got) {
			t.Fatalf("got position %d, %v; want %d", ev.Position, err, got)
		}
	}
	if got != n {
		t.Errorf("got %d events, want %d", got, n)
	}
	checkFeed(t, mustCollect(t, store.ReadAll(t.Context(), uint64(got))), uint64(got), 100)
}

// feedTellsDecided: who was told of a commit finds it in the feed, at the position that was told; and refused events
// have none.
func feedTellsDecided(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	defer func() { act.Release() }()
	var before uint64
	evs := Events(2)
	for i := range 20 {
		changed := store.Changed(before)
		var found uint64
		done := make(chan error, 1)
		c := eventlog.Commit{Want: uint64(i), Events: Events(1)}
		act.Append(c, func(r eventlog.Receipt, err error) {
			if err == nil && store.Head() < r.Position {
				err = errors.New("told before the head has it")
			}
			found = r.Position
			done <- err
		})
		if err := <-done; err != nil || found != before+1 {
			t.Fatalf("commit %d: position %d, %v; want %d", i, found, err, before+1)
		}
		<-changed
		before = found
		if _, err := Append(act, 99, evs...); err == nil {
			t.Fatal("an append at another version was taken")
		}
		act.Release()
		act = Activate(t, store, Stream(t, "c1"))
		if r, err := Append(act, 0, c.Events...); err != nil || r.Position != found || !r.Duplicate {
			t.Fatalf("repeat: got %+v, %v; want position %d", r, err, found)
		}
	}
	checkFeed(t, mustCollect(t, store.ReadAll(t.Context(), 0)), 0, 20)
}

func waitEnds(t *testing.T, store eventlog.Store) {
	waits := make(chan error)
	go func() {
		var last error
		for _, err := range eventlog.Follow(t.Context(), store, 0) {
			last = err
		}
		waits <- last
	}()
	_, err := collect(eventlog.Follow(canceled(t), store, 0))
	wantErr(t, "following without time", err, context.Canceled)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "following a store that closes", <-waits, eventlog.ErrClosed)
	_, err = collect(store.ReadAll(t.Context(), 0))
	wantErr(t, "reading the feed after close", err, eventlog.ErrClosed)
	for _, err := range store.Streams(t.Context()) {
		wantErr(t, "streams after close", err, eventlog.ErrClosed)
	}
}

func streamsAreListed(t *testing.T, store eventlog.Store) {
	writeFeed(t, store, 7, 1)
	Activate(t, store, Stream(t, "empty")).Release()
	var names []string
	for id, err := range store.Streams(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, id.Name())
	}
	slices.Sort(names)
	if want := []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for _, err := range store.Streams(canceled(t)) {
		wantErr(t, "streams without time", err, context.Canceled)
	}
}
