package logtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cartd/internal/eventlog"

	"github.com/google/uuid"
)

func emptyStream(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	if evs := ReadAll(t, store, id); len(evs) != 0 {
		t.Errorf("got %d events of a stream that does not exist, want 0", len(evs))
	}
	act := Activate(t, store, id)
	defer act.Release()
	if evs := ReadAll(t, store, id); len(evs) != 0 {
		t.Errorf("got %d events after activation alone, want 0", len(evs))
	}
	if err := store.Writable(); err != nil {
		t.Errorf("Writable: got %v, want nil", err)
	}
	if err := store.Cause(); err != nil {
		t.Errorf("Cause: got %v, want nil", err)
	}
}

func eventsComeBack(t *testing.T, store eventlog.Store) {
	id := Stream(t, "Cart_1-x")
	act := Activate(t, store, id)
	evs := Events(3)
	evs[0].Key, evs[0].Request = `k "quoted" \ and ü`, 0x00ff00ff00ff00ff
	evs[0].Time = time.Date(2026, 11, 21, 4, 26, 22, 123456789, time.FixedZone("", 7200))
	evs[1].Type = "Sätt<&>\u2028"
	evs[2].Payload = []byte(`{"name":"a \"b\" \\ \n ü <&> ","list":[1,2.5e3,null,true,{"x":{}}]}`)
	r := MustAppend(t, act, 0, evs...)
	if r.Version != 3 || r.Duplicate {
		t.Errorf("got receipt %+v, want version 3, no duplicate", r)
	}
	want := stored(id, "", 0, act.Epoch(), evs...)
	same(t, "events read", ReadAll(t, store, id), want)

	act.Release()
	again, err := store.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	got, err := collect(again.Replay(t.Context(), nil))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "events replayed", got, want)
}

func conflict(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	MustAppend(t, act, 0, Events(2)...)
	_, err := Append(act, 1, Event(3))
	wantConflict(t, err, 1, 2)
	if _, err := Append(act, 2, Event(4)); err == nil {
		t.Error("append after a conflict: got nil, want an error")
	}
	act.Release()
	act = Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	_, err = Append(act, 7, Event(5))
	wantConflict(t, err, 7, 2)
	if n := len(ReadAll(t, store, Stream(t, "c1"))); n != 2 {
		t.Errorf("got %d events after conflicts, want 2", n)
	}
}

func oneWriterWins(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	const writers = 16
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		won []uuid.UUID
	)
	for i := range writers {
		wg.Go(func() {
			act, err := store.Activate(t.Context(), id)
			if errors.Is(err, eventlog.ErrFenced) {
				return
			}
			if err != nil {
				t.Errorf("activate: %v", err)
				return
			}
			defer act.Release()
			for _, err := range act.Replay(t.Context(), nil) {
				if errors.Is(err, eventlog.ErrFenced) {
					return
				}
				if err != nil {
					t.Errorf("replay: %v", err)
				}
			}
			ev := Event(i)
			_, err = Append(act, 0, ev)
			if _, conflict := errors.AsType[*eventlog.ConflictError](err); conflict || errors.Is(err, eventlog.ErrFenced) {
				return
			}
			if err != nil {
				t.Errorf("append: got %v, want nil, a conflict or ErrFenced", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, ev.ID)
		})
	}
	wg.Wait()
	evs := ReadAll(t, store, id)
	if len(won) != 1 || len(evs) != 1 || evs[0].ID != won[0] {
		t.Errorf("writers that won: %v, events: %v; want one and its event", won, evs)
	}
}

func pipelined(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	defer act.Release()
	const n = 200
	var decisions []<-chan Decision
	for i := range n {
		decisions = append(decisions, Queue(act, eventlog.Commit{Want: uint64(i), Events: Events(1)}))
	}
	for i, d := range decisions {
		if got := <-d; got.Err != nil || got.Receipt.Version != uint64(i+1) {
			t.Fatalf("append %d: got %+v, want version %d", i, got, i+1)
		}
	}
	for i, ev := range ReadAll(t, store, id) {
		if ev.Version != uint64(i+1) {
			t.Fatalf("event %d has version %d", i, ev.Version)
		}
	}
}

func repeatDecided(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	evs := Events(2)
	first := MustAppend(t, act, 0, evs...)
	MustAppend(t, act, 2, Event(9))
	first.Duplicate = true
	for _, want := range []uint64{0, 3, 77} {
		if r, err := Append(act, want, evs...); err != nil || r != first {
			t.Errorf("repeat that wants %d: got %+v, %v; want %+v", want, r, err, first)
		}
	}
	MustAppend(t, act, 3, Event(10))
}

func repeatQueued(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	evs := Events(2)
	a := Queue(act, eventlog.Commit{Events: evs})
	b := Queue(act, eventlog.Commit{Events: evs})
	first, again := <-a, <-b
	if first.Err != nil || first.Receipt.Duplicate {
		t.Fatalf("first: got %+v", first)
	}
	first.Receipt.Duplicate = true
	if again != first {
		t.Errorf("repeat: got %+v, want %+v", again, first)
	}
	if n := len(ReadAll(t, store, Stream(t, "c1"))); n != 2 {
		t.Errorf("got %d events, want 2", n)
	}
}

func repeatAfterReactivation(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	evs := Events(2)
	first := MustAppend(t, act, 0, evs...)
	act.Release()
	act = Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	first.Duplicate = true
	if r, err := Append(act, 0, evs...); err != nil || r != first {
		t.Errorf("got %+v, %v; want %+v", r, err, first)
	}
}

func takenID(t *testing.T, store eventlog.Store) {
	act := Activate(t, store, Stream(t, "c1"))
	defer act.Release()
	evs := Events(2)
	MustAppend(t, act, 0, evs...)

	other := evs[1]
	other.Payload = []byte(`{"sku":"other"}`)
	_, err := Append(act, 2, other)
	if d, ok := errors.AsType[*eventlog.DuplicateIDError](err); !ok || d.Version != 2 || d.ID != other.ID.String() {
		t.Errorf("other payload: got %v, want id %s taken by version 2", err, other.ID)
	}
	other = evs[0]
	other.Type = "RemoveItem"
	_, err = Append(act, 2, other)
	if d, ok := errors.AsType[*eventlog.DuplicateIDError](err); !ok || d.Version != 1 {
		t.Errorf("other type: got %v, want id taken by version 1", err)
	}
	_, err = Append(act, 2, Event(3), evs[0])
	if d, ok := errors.AsType[*eventlog.DuplicateIDError](err); !ok || d.Version != 0 {
		t.Errorf("half of the ids: got %v, want id taken, version 0", err)
	}
	MustAppend(t, act, 2, Event(4)) // the activation goes on
}

func atomic(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	defer act.Release()
	evs := Events(50)
	d := Queue(act, eventlog.Commit{Events: evs})
	for {
		n := len(ReadAll(t, store, id))
		if n != 0 && n != len(evs) {
			t.Fatalf("a read shows %d events of a commit of %d", n, len(evs))
		}
		select {
		case got := <-d:
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			if n := len(ReadAll(t, store, id)); n != len(evs) {
				t.Fatalf("got %d events after the decision, want %d", n, len(evs))
			}
			return
		default:
		}
	}
}

func branches(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	a, b, c := Events(2), Events(2), Events(1)
	MustAppend(t, act, 0, a...)
	if d := <-Queue(act, eventlog.Commit{Branch: "gift", Events: b}); d.Err != nil || d.Receipt.Version != 2 {
		t.Fatalf("got %+v, want version 2", d)
	}
	MustAppend(t, act, 2, c...)
	epoch := act.Epoch()
	act.Release()
	want := slices.Concat(stored(id, "", 0, epoch, a...), stored(id, "gift", 0, epoch, b...), stored(id, "", 2, epoch, c...))
	same(t, "events", ReadAll(t, store, id), want)

	act = Activate(t, store, id)
	defer act.Release()
	d := <-Queue(act, eventlog.Commit{Branch: "gift", Want: 3, Events: Events(1)})
	conflict, ok := errors.AsType[*eventlog.ConflictError](d.Err)
	if !ok || conflict.Branch != "gift" || conflict.Got != 2 {
		t.Errorf("got %v, want a conflict on gift at version 2", d.Err)
	}
}

func malformed(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	defer act.Release()
	change := func(change func(*eventlog.Event)) eventlog.Commit {
		ev := Event(1)
		change(&ev)
		return eventlog.Commit{Events: []eventlog.Event{ev}}
	}
	twice := Event(1)
	for name, c := range map[string]eventlog.Commit{
		"no events":       {},
		"branch":          {Branch: "a/b", Events: Events(1)},
		"overflow":        {Want: ^uint64(0), Events: Events(1)},
		"id twice":        {Events: []eventlog.Event{twice, twice}},
		"no id":           change(func(ev *eventlog.Event) { ev.ID = uuid.Nil }),
		"no type":         change(func(ev *eventlog.Event) { ev.Type = "" }),
		"long type":       change(func(ev *eventlog.Event) { ev.Type = strings.Repeat("x", eventlog.MaxTypeBytes+1) }),
		"type not UTF-8":  change(func(ev *eventlog.Event) { ev.Type = "\xff" }),
		"long key":        change(func(ev *eventlog.Event) { ev.Key = strings.Repeat("x", eventlog.MaxKeyBytes+1) }),
		"year 10000":      change(func(ev *eventlog.Event) { ev.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"no payload":      change(func(ev *eventlog.Event) { ev.Payload = nil }),
		"array":           change(func(ev *eventlog.Event) { ev.Payload = []byte(`[]`) }),
		"open object":     change(func(ev *eventlog.Event) { ev.Payload = []byte(`{"a":1`) }),
		"two objects":     change(func(ev *eventlog.Event) { ev.Payload = []byte(`{}{}`) }),
		"newline":         change(func(ev *eventlog.Event) { ev.Payload = []byte("{\n}") }),
		"space at end":    change(func(ev *eventlog.Event) { ev.Payload = []byte(`{} `) }),
		"payload not utf": change(func(ev *eventlog.Event) { ev.Payload = []byte("{\"a\":\"\xff\"}") }),
	} {
		d := <-Queue(act, c)
		wantErr(t, name, d.Err, eventlog.ErrInvalid)
	}
	MustAppend(t, act, 0, Event(1)) // the activation goes on
	if n := len(ReadAll(t, store, id)); n != 1 {
		t.Errorf("got %d events, want 1", n)
	}
}

func payloadCopied(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	defer act.Release()
	evs := Events(1)
	want := slices.Clone(evs)
	want[0].Payload = slices.Clone(evs[0].Payload)
	d := Queue(act, eventlog.Commit{Events: evs})
	clear(evs[0].Payload)
	if got := <-d; got.Err != nil {
		t.Fatal(got.Err)
	}
	same(t, "events", ReadAll(t, store, id), stored(id, "", 0, act.Epoch(), want...))
}

func largePayload(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	evs := Events(3)
	evs[1].Payload = fmt.Appendf(nil, `{"data":%q}`, strings.Repeat("x", 1<<20))
	MustAppend(t, act, 0, evs...)
	want := stored(id, "", 0, act.Epoch(), evs...)
	act.Release()
	same(t, "events", ReadAll(t, store, id), want)
	again := Activate(t, store, id)
	defer again.Release()
	MustAppend(t, again, 3, Event(4))
}

func separate(t *testing.T, store eventlog.Store) {
	one, two := Activate(t, store, Stream(t, "c1")), Activate(t, store, Stream(t, "c2"))
	defer one.Release()
	defer two.Release()
	evs := Events(1)
	MustAppend(t, one, 0, evs...)
	if r := MustAppend(t, two, 0, evs...); r.Duplicate { // ids are exact within a stream only
		t.Error("the id of another stream's event was taken for a duplicate")
	}
}
