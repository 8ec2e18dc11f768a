package logtest

import (
	"errors"
	"slices"
	"testing"

	"cartd/internal/eventlog"
)

// replayFrom activates the stream and replays it, from the first snapshot that take likes. It returns the snapshots that
// were offered.
func replayFrom(t testing.TB, store eventlog.Store, id eventlog.StreamID, take func(data string) bool) (act eventlog.Activation, offered []string, tail []eventlog.Event) {
	t.Helper()
	act, err := store.Activate(t.Context(), id)
	if err != nil {
		t.Fatalf("activate %s: %v", id, err)
	}
	tail, err = collect(act.Replay(t.Context(), func(data []byte) error {
		offered = append(offered, string(data))
		if take(string(data)) {
			return nil
		}
		return errors.New("not this one")
	}))
	if err != nil {
		t.Fatalf("replay %s: %v", id, err)
	}
	return act, offered, tail
}

// recall reads the stream without a claim, from the first snapshot that take likes.
func recall(t testing.TB, store eventlog.Store, id eventlog.StreamID, take func(data string) bool) (evs []eventlog.Event, offered []string) {
	t.Helper()
	evs, err := collect(store.Recall(t.Context(), id, func(data []byte) error {
		offered = append(offered, string(data))
		if take(string(data)) {
			return nil
		}
		return errors.New("not this one")
	}))
	if err != nil {
		t.Fatalf("recall %s: %v", id, err)
	}
	return evs, offered
}

func all(string) bool  { return true }
func none(string) bool { return false }

// awaitSnapshot activates the stream anew until it is offered the snapshot data: it is stored in the background.
func awaitSnapshot(t testing.TB, store eventlog.Store, id eventlog.StreamID, data string) {
	t.Helper()
	for t.Context().Err() == nil {
		act, offered, _ := replayFrom(t, store, id, none)
		act.Release()
		if slices.Contains(offered, data) {
			return
		}
	}
	t.Fatalf("no snapshot %q", data)
}

func snapshots(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	evs := Events(30)
	act := Activate(t, store, id)
	defer act.Release()
	MustAppend(t, act, 0, evs[:10]...)
	act.Snapshot(10, []byte("ten"))
	MustAppend(t, act, 10, evs[10:15]...)
	MustAppend(t, act, 15, evs[15:20]...)
	act.Snapshot(20, []byte("twenty"))
	epoch := act.Epoch()
	MustAppend(t, act, 20, evs[20:]...)
	awaitSnapshot(t, store, id, "twenty")

	for _, test := range []struct {
		take    func(string) bool
		offered []string
		from    int
	}{
		{all, []string{"twenty"}, 20},
		{func(s string) bool { return s == "ten" }, []string{"twenty", "ten"}, 10},
		{none, []string{"twenty", "ten"}, 0},
	} {
		act, offered, tail := replayFrom(t, store, id, test.take)
		if !slices.Equal(offered, test.offered) {
			t.Errorf("got snapshots %q, want %q", offered, test.offered)
		}
		want := slices.Concat(stored(id, "", 0, epoch, evs[:10]...), stored(id, "", 10, epoch, evs[10:15]...),
			stored(id, "", 15, epoch, evs[15:20]...), stored(id, "", 20, epoch, evs[20:]...))
		same(t, "events behind the snapshot", tail, want[test.from:])
		if evs, offered := recall(t, store, id, test.take); !slices.Equal(offered, test.offered) {
			t.Errorf("recall: got snapshots %q, want %q", offered, test.offered)
		} else {
			same(t, "events recalled behind the snapshot", evs, want[test.from:])
		}
		if _, err := Append(act, 99, Event(1)); errors.Is(err, eventlog.ErrFenced) {
			t.Error("a recall has taken the claim away")
		}
		act.Release()
	}

	act, _, _ = replayFrom(t, store, id, all)
	defer act.Release()
	if _, err := Append(act, 20, Event(1)); err == nil {
		t.Error("an append at the version of the snapshot was taken, 10 events are behind it")
	}
}

func snapshotsRememberIDs(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	evs := Events(20)
	act := Activate(t, store, id)
	defer act.Release()
	var receipts []eventlog.Receipt
	for i, ev := range evs[:10] {
		receipts = append(receipts, MustAppend(t, act, uint64(i), ev))
	}
	gift := Queue(act, eventlog.Commit{Branch: "gift", Events: evs[19:]})
	queued := Queue(act, eventlog.Commit{Want: 10, Events: evs[10:11]}) // not decided yet, as a rule
	act.Snapshot(11, []byte("eleven"))
	receipts = append(receipts, (<-queued).Receipt)
	awaitSnapshot(t, store, id, "eleven")
	act, _, _ = replayFrom(t, store, id, all)
	defer act.Release()
	receipts = append(receipts, MustAppend(t, act, 11, evs[11])) // behind it
	act.Snapshot(12, []byte("twelve"))                           // from one snapshot to the next
	awaitSnapshot(t, store, id, "twelve")

	act, offered, tail := replayFrom(t, store, id, all)
	defer act.Release()
	if offered[0] != "twelve" || len(tail) != 0 {
		t.Fatalf("got snapshot %q and %d events behind it, want the last one and none", offered[0], len(tail))
	}
	for i, want := range receipts {
		want.Duplicate = true
		if got, err := Append(act, 0, evs[i]); err != nil || got != want {
			t.Errorf("repeat of event %d: got %+v, %v; want %+v", i+1, got, err, want)
		}
		other := Event(99)
		other.ID = evs[i].ID
		_, err := Append(act, 12, other)
		if dup, ok := errors.AsType[*eventlog.DuplicateIDError](err); !ok || dup.Version != uint64(i+1) {
			t.Errorf("id of event %d with other content: got %v, want it to be taken by version %d", i+1, err, i+1)
		}
	}
	want := (<-gift).Receipt
	want.Duplicate = true
	if d := <-Queue(act, eventlog.Commit{Branch: "gift", Events: evs[19:]}); d.Err != nil || d.Receipt != want {
		t.Errorf("repeat on a branch: got %+v, %v; want %+v", d.Receipt, d.Err, want)
	}
	if d := <-Queue(act, eventlog.Commit{Branch: "gift", Want: 1, Events: Events(1)}); d.Err != nil {
		t.Errorf("append to a branch that the snapshot knows: %v", d.Err)
	}
}

// A snapshot of what is not in the log would bring back what was refused.
func snapshotsOfRefusedEventsAreDropped(t *testing.T, store eventlog.Store) {
	id := Stream(t, "c1")
	act := Activate(t, store, id)
	defer act.Release()
	MustAppend(t, act, 0, Events(3)...)
	taken := Event(1)
	taken.ID = ReadAll(t, store, id)[0].ID
	Queue(act, eventlog.Commit{Want: 3, Events: []eventlog.Event{taken}}) // refused, and the activation goes on
	act.Snapshot(4, []byte("of a refused event"))
	act.Snapshot(2, []byte("behind"))
	fenced := act
	act = Activate(t, store, id)
	defer act.Release()
	fenced.Snapshot(3, []byte("of a former activation"))
	Queue(act, eventlog.Commit{Want: 7, Events: Events(1)}) // a conflict ends the activation
	act.Snapshot(3, []byte("after a conflict"))
	act = Activate(t, store, id)
	defer act.Release()
	act.Snapshot(3, []byte("sound"))
	awaitSnapshot(t, store, id, "sound") // they are stored in order
	act, offered, _ := replayFrom(t, store, id, none)
	defer act.Release()
	if !slices.Equal(offered, []string{"sound"}) {
		t.Errorf("got snapshots %q, want the sound one alone", offered)
	}
}
