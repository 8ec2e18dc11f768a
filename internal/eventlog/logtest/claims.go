package logtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"cartd/internal/eventlog"
)

func fences(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	old := Activate(t, store, id)
	defer old.Release()
	MustAppend(t, old, 0, Event(1))
	act := Activate(t, store, id)
	defer act.Release()
	if act.Epoch() <= old.Epoch() {
		t.Errorf("got epoch %d after %d, want a larger one", act.Epoch(), old.Epoch())
	}
	for range 2 {
		_, err := Append(old, 1, Event(2))
		wantErr(t, "append of the old activation", err, eventlog.ErrFenced)
	}
	MustAppend(t, act, 1, Event(3))
	old.Release() // must not end the claim of the new one
	MustAppend(t, act, 2, Event(4))
}

func activateWaits(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	const n = 100
	old := Activate(t, store, id)
	defer old.Release()
	var decisions []<-chan Decision
	for i := range n {
		decisions = append(decisions, Queue(old, eventlog.Commit{Want: uint64(i), Events: Events(1)}))
	}
	act, err := store.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	for i, d := range decisions {
		select {
		case got := <-d:
			if got.Err != nil {
				t.Errorf("append %d: %v", i, got.Err)
			}
		default:
			t.Fatalf("append %d was not decided when Activate returned", i)
		}
	}
	evs, err := collect(act.Replay(t.Context(), nil))
	if err != nil || len(evs) != n {
		t.Errorf("replay: got %d events, %v; want %d", len(evs), err, n)
	}
}

func order(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	const n = 300
	var (
		mu  sync.Mutex
		got []int
		all = make(chan struct{})
	)
	evs := Events(1)
	for i := range n {
		c := eventlog.Commit{Events: evs} // the first, and then repeats of it
		switch {
		case i%3 == 1:
			c = eventlog.Commit{Want: uint64(i/3 + 1), Events: Events(1)}
		case i%3 == 2:
			c = eventlog.Commit{Events: []eventlog.Event{{}}} // refused
		}
		act.Append(c, func(eventlog.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, i); len(got) == n {
				close(all)
			}
		})
	}
	<-all
	if !slices.IsSorted(got) {
		t.Errorf("decisions came in the order %v", got)
	}
}

func release(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	d := Queue(act, eventlog.Commit{Events: Events(1)})
	act.Release()
	act.Release()
	if got := <-d; got.Err != nil {
		t.Errorf("append that was queued at Release: %v", got.Err)
	}
	_, err := Append(act, 1, Event(2))
	wantErr(t, "append after Release", err, eventlog.ErrFenced)
	again := Activate(t, store, id)
	defer again.Release()
	if again.Epoch() <= act.Epoch() {
		t.Errorf("got epoch %d after %d, want a larger one", again.Epoch(), act.Epoch())
	}
	MustAppend(t, again, 1, Event(3))
}

func beforeReplay(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	MustAppend(t, act, 0, Events(3)...)
	act.Release()
	act, err := store.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	_, err = Append(act, 3, Event(4))
	wantErr(t, "append before the replay", err, eventlog.ErrInvalid)
	for range act.Replay(t.Context(), nil) {
		break
	}
	_, err = Append(act, 3, Event(4))
	wantErr(t, "append after half a replay", err, eventlog.ErrInvalid)
}

func readStops(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	MustAppend(t, act, 0, Events(5)...)
	n := 0
	for _, err := range store.Read(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	_, err := collect(store.Read(canceled(t), id))
	wantErr(t, "read with a context that has ended", err, context.Canceled)
	act.Release()
	act, err = store.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	_, err = collect(act.Replay(canceled(t), nil))
	wantErr(t, "replay with a context that has ended", err, context.Canceled)
}

func readPage(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	defer act.Release()
	evs := Events(6)
	for i := range evs {
		if i%2 == 1 {
			evs[i].Type = "RemoveItem"
		}
		MustAppend(t, act, uint64(i), evs[i])
	}
	if d := <-Queue(act, eventlog.Commit{Branch: "gift", Events: Events(1)}); d.Err != nil {
		t.Fatal(d.Err)
	}
	for _, test := range []struct {
		name string
		q    eventlog.Query
		want []uint64
		next uint64
		head uint64
	}{
		{"all", eventlog.Query{Limit: 10}, []uint64{1, 2, 3, 4, 5, 6}, 6, 6},
		{"limit", eventlog.Query{Limit: 2}, []uint64{1, 2}, 2, 6},
		{"after", eventlog.Query{After: 4, Limit: 10}, []uint64{5, 6}, 6, 6},
		{"after the head", eventlog.Query{After: 9, Limit: 10}, nil, 9, 6},
		{"type", eventlog.Query{Types: []string{"RemoveItem"}, Limit: 2}, []uint64{2, 4}, 4, 6},
		{"since", eventlog.Query{Since: evs[2].Time, Limit: 10}, []uint64{3, 4, 5, 6}, 6, 6},
		{"until", eventlog.Query{Until: evs[2].Time, Limit: 10}, []uint64{1, 2}, 6, 6},
		{"since and until", eventlog.Query{Since: evs[1].Time, Until: evs[1].Time.Add(time.Second), Limit: 10}, []uint64{2}, 6, 6},
		{"branch", eventlog.Query{Branch: "gift", Limit: 10}, []uint64{1}, 1, 1},
		{"no such branch", eventlog.Query{Branch: "none", Limit: 10}, nil, 0, 0},
	} {
		page, err := eventlog.ReadPage(t.Context(), store, id, test.q)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		var got []uint64
		for _, ev := range page.Events {
			got = append(got, ev.Version)
		}
		if !slices.Equal(got, test.want) || page.Next != test.next || page.Head != test.head {
			t.Errorf("%s: got versions %v, next %d, head %d; want %v, %d, %d", test.name, got, page.Next, page.Head,
				test.want, test.next, test.head)
		}
	}
}

func closeDecides(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	var decisions []<-chan Decision
	for i := range 50 {
		decisions = append(decisions, Queue(act, eventlog.Commit{Want: uint64(i), Events: Events(1)}))
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for i, d := range decisions {
		select {
		case got := <-d:
			if got.Err != nil {
				t.Errorf("append %d: %v", i, got.Err)
			}
		default:
			t.Fatalf("append %d is not decided after Close", i)
		}
	}
	act.Release()
}

func afterClose(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	late, err := store.Activate(t.Context(), Stream(t, "c2"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Append(act, 0, Event(1))
	wantErr(t, "Append", err, eventlog.ErrClosed)
	_, err = collect(late.Replay(t.Context(), nil))
	wantErr(t, "Replay", err, eventlog.ErrClosed)
	_, err = collect(store.Read(t.Context(), id))
	wantErr(t, "Read", err, eventlog.ErrClosed)
	_, err = store.Activate(t.Context(), id)
	wantErr(t, "Activate", err, eventlog.ErrClosed)
	wantErr(t, "Writable", store.Writable(), eventlog.ErrClosed)
	wantErr(t, "Close", store.Close(), eventlog.ErrClosed)
	act.Release()
	late.Release()
}

func concurrent(t *testing.T, store eventlog.Store) {
	const streams, commits = 24, 20
	var wg sync.WaitGroup
	for s := range streams {
		id := Stream(t, "c"+string(rune('a'+s)))
		wg.Go(func() {
			for round := range 2 {
				act, err := store.Activate(t.Context(), id)
				if err != nil {
					t.Errorf("activate: %v", err)
					return
				}
				if evs, err := collect(act.Replay(t.Context(), nil)); err != nil || len(evs) != round*commits {
					t.Errorf("replay: got %d events, %v; want %d", len(evs), err, round*commits)
				}
				var last <-chan Decision
				for i := range commits {
					last = Queue(act, eventlog.Commit{Want: uint64(round*commits + i), Events: Events(1)})
				}
				act.Release()
				if d := <-last; d.Err != nil {
					t.Errorf("append: %v", d.Err)
				}
			}
		})
		wg.Go(func() { // a reader beside it sees whole numbers of events, from 1 on
			seen := 0
			for range 20 {
				evs, err := collect(store.Read(t.Context(), id))
				if err != nil || len(evs) < seen {
					t.Errorf("read: got %d events, %v, after %d", len(evs), err, seen)
					return
				}
				seen = len(evs)
				for i, ev := range evs {
					if ev.Version != uint64(i+1) || ev.Damaged {
						t.Errorf("event %d: got version %d, damaged %v", i, ev.Version, ev.Damaged)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
