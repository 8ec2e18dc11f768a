package actor_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cartd/pkg/actor"
)

// newReplay makes sums without a grain.
func newReplay(id string) *actor.Replay[sum] {
	return actor.NewReplay(actor.Config[sum]{Kind: "sum", Registry: sums(), Requests: []string{"Ask"}, Snapshots: sumCodec(1)}, id)
}

// snapshotted returns the events of a grain, and the snapshot of the first 257 of them.
func snapshotted(t *testing.T) ([]actor.Event, []byte) {
	t.Helper()
	h := newHost(t, withSnapshots)
	for i := range 300 {
		h.ask(t, "a", keyed(fmt.Sprint("key", i), uint64(i), required(&add{1})))
	}
	h.end(t, "a")
	return h.log.events("a"), h.log.saved["a"][0].data
}

func TestReplayTellsWhatASnapshotHasOtherwise(t *testing.T) {
	events, snapshot := snapshotted(t)
	for _, test := range []struct {
		name   string
		change func(events []actor.Event, snapshot []byte) ([]actor.Event, []byte)
		want   string
	}{
		{"nothing", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) { return evs[:257], b }, ""},
		{"an event too few", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) { return evs[:256], b }, "version 257 after 257"},
		{"another event", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			evs[7].Payload = []byte(`{"N":2}`)
			return evs[:257], b
		}, "its state"},
		{"another key", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			evs[7].Key = "other"
			return evs[:257], b
		}, "257 keys"},
		{"the same key with another request", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			evs[7].Request++
			return evs[:257], b
		}, "257 keys"},
		{"a damaged event", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			evs[7] = actor.Event{Version: 8, Damaged: true}
			return evs[:257], b
		}, "damaged is false, a replay gives true"},
		{"damage that is in the snapshot alone", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			b[5] = 1
			return evs[:257], b
		}, "damaged is true, a replay gives false"},
		{"another time", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			evs[256].Time = evs[256].Time.Add(1e6)
			return evs[:257], b
		}, "first and last event"},
		{"a state that cannot be read", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			return evs[:257], b[:len(b)-1]
		}, "decode snapshot"},
		{"no bytes", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) { return evs[:257], nil }, "0 bytes"},
		{"a request that was logged", func(evs []actor.Event, b []byte) ([]actor.Event, []byte) {
			return append(evs[:256:256], actor.Event{Version: 257, Type: "Ask", Time: evs[256].Time}), b
		}, "257 keys"},
	} {
		r := newReplay("a")
		evs, b := test.change(slices.Clone(events), slices.Clone(snapshot))
		for _, ev := range evs {
			r.Apply(ev)
		}
		diff, err := r.Compare(b)
		if err != nil || !strings.Contains(diff, test.want) || (diff == "") != (test.want == "") {
			t.Errorf("%s: got %q, %v; want %q", test.name, diff, err, test.want)
		}
	}
}

func TestReplayDoesNotCompareWhatAnotherProgramWrote(t *testing.T) {
	events, snapshot := snapshotted(t)
	r := newReplay("a")
	for _, ev := range events[:257] {
		r.Apply(ev)
	}
	for what, at := range map[string]int{"layout": 0, "codec": 1} {
		other := slices.Clone(snapshot)
		other[at] += 8
		if diff, err := r.Compare(other); err == nil || diff != "" {
			t.Errorf("another %s: got %q, %v; want an error", what, diff, err)
		}
	}
	r.Apply(actor.Event{Version: 258, Type: "Unheard", Payload: []byte("{}")})
	if diff, err := r.Compare(snapshot); !errors.Is(err, actor.ErrUnknownMutation) || diff != "" {
		t.Errorf("event of an unknown type: got %q, %v; want ErrUnknownMutation", diff, err)
	}
}
