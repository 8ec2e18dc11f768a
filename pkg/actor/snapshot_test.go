package actor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cartd/pkg/actor"
)

// sumCodec is a codec of sums that panics at a total of 666.
func sumCodec(version uint32) *actor.Codec[sum] {
	return &actor.Codec[sum]{
		Version: version,
		Encode: func(dst []byte, s *sum) []byte {
			b, err := json.Marshal([]int{s.total, s.adds})
			if err != nil {
				panic(err)
			}
			return append(dst, b...)
		},
		Decode: func(data []byte) (*sum, error) {
			var n []int
			if err := json.Unmarshal(data, &n); err != nil {
				return nil, err
			}
			switch {
			case len(n) != 2:
				return nil, errors.New("want two numbers")
			case n[0] == 666:
				panic("the number of the beast")
			}
			return &sum{n[0], n[1]}, nil
		},
	}
}

func withSnapshots(c *actor.Config[sum]) { c.Snapshots = sumCodec(1) }

// end stops the activation of id and waits for its end. One of a grain that does not exist ends by itself.
func (h *host) end(t *testing.T, id string) {
	t.Helper()
	if h.ask(t, id, &actor.Query{}).Version == 0 {
		return
	}
	for len(h.stopped) > 0 {
		<-h.stopped
	}
	if err := h.system.Root.StopFuture(h.pid(id)).Wait(); err != nil {
		t.Fatal(err)
	}
	<-h.stopped
}

func TestLongLogIsReplayedFromItsSnapshot(t *testing.T) {
	h := newHost(t, withSnapshots)
	for i := range 300 {
		h.ask(t, "a", keyed(fmt.Sprint("key", i), uint64(i), required(&add{1})))
	}
	if got, want := h.log.snapshots("a"), []int{257}; !slices.Equal(got, want) {
		t.Fatalf("snapshots after %v events, want %v", got, want)
	}
	h.end(t, "a")
	if got := h.view(t, "a"); got != "300" {
		t.Errorf("sum is %s, want 300", got)
	}
	if h.replayed != 43 {
		t.Errorf("%d events were replayed, want the 43 behind the snapshot", h.replayed)
	}
	for _, i := range []int{0, 100, 256, 257, 299} { // from the snapshot, and from behind it
		r := h.ask(t, "a", keyed(fmt.Sprint("key", i), uint64(i), required(&add{1})))
		if !r.Replayed || r.Version != 300 {
			t.Errorf("repeat of key%d: got version %d, replayed %t; want it to be known at 300", i, r.Version, r.Replayed)
		}
		if r := h.ask(t, "a", keyed(fmt.Sprint("key", i), 12345, required(&add{1}))); code(r) != actor.CodeKeyReused {
			t.Errorf("key%d with another request: got %q, want %q", i, code(r), actor.CodeKeyReused)
		}
	}
	if r := h.ask(t, "a", keyed("new", 1, required(&add{1}))); r.Replayed || string(r.View) != "301" {
		t.Errorf("a new key: got %s, replayed %t; want it to be applied", r.View, r.Replayed)
	}
}

// Otherwise a large state would be written again for every few events.
func TestSnapshotsComeAtGrowingDistances(t *testing.T) {
	h := newHost(t, withSnapshots)
	for range 8000 {
		h.ask(t, "a", required(&add{1}))
	}
	at := h.log.snapshots("a")
	last := 0
	for _, n := range at {
		if tail := n - last; tail <= 256 || tail <= n/16 || tail > max(257, n/16+1) {
			t.Errorf("snapshot after %d events, the one before after %d", n, last)
		}
		last = n
	}
	if len(at) < 20 {
		t.Errorf("%d snapshots of 8,000 events, want 20 and more", len(at))
	}
}

func TestSnapshotOfAnotherCodecIsNotUsed(t *testing.T) {
	h := newHost(t, withSnapshots)
	for range 300 {
		h.ask(t, "a", required(&add{1}))
	}
	other := newHost(t, func(c *actor.Config[sum]) { c.Log, c.Snapshots = h.log, sumCodec(2) })
	if got := other.view(t, "a"); got != "300" || other.replayed != 300 {
		t.Errorf("sum is %s after %d events, want 300 after a full replay", got, other.replayed)
	}
	none := newHost(t, func(c *actor.Config[sum]) { c.Log = h.log })
	if got := none.view(t, "a"); got != "300" || none.replayed != 300 {
		t.Errorf("without snapshots: sum is %s after %d events, want 300 after a full replay", got, none.replayed)
	}
}

func TestOlderSnapshotServesWhenTheNewestDoesNot(t *testing.T) {
	for what, spoil := range map[string]func([]byte) []byte{
		"empty":              func([]byte) []byte { return nil },
		"cut":                func(b []byte) []byte { return b[:len(b)-1] },
		"another layout":     func(b []byte) []byte { b[0]++; return b },
		"more keys than fit": func(b []byte) []byte { b[45]++; return b },
		"half a key":         func(b []byte) []byte { b[38]++; return b },
		"head alone":         func(b []byte) []byte { return b[:46] },
		"decoder panics":     func(b []byte) []byte { return append(b[:46], "[666,1]"...) },
	} {
		h := newHost(t, withSnapshots)
		for range 600 {
			h.ask(t, "a", required(&add{1}))
		}
		h.end(t, "a")
		saved := h.log.saved["a"]
		if len(saved) != 2 {
			t.Fatalf("%d snapshots, want 2", len(saved))
		}
		saved[1].data = spoil(saved[1].data)
		if got := h.view(t, "a"); got != "600" || h.replayed != 600-257 {
			t.Errorf("%s: sum is %s after %d events, want 600 after those behind the older snapshot", what, got, h.replayed)
		}
		h.end(t, "a")
		saved[0].data = nil
		if got := h.view(t, "a"); got != "600" || h.replayed != 600 {
			t.Errorf("%s, and no older one: sum is %s after %d events, want 600 after all", what, got, h.replayed)
		}
	}
}

func TestDamageIsRememberedInSnapshots(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) {
		withSnapshots(c)
		c.View = func(dst []byte, _ *sum, info actor.Info) []byte { return fmt.Append(dst, info) }
	})
	h.log.put("a", actor.Event{Damaged: true})
	for range 300 {
		h.ask(t, "a", required(&add{1}))
	}
	before := h.view(t, "a")
	h.end(t, "a")
	if got := h.view(t, "a"); got != before || h.replayed > 100 {
		t.Errorf("after %d events got %s, want %s", h.replayed, got, before)
	}
}

// A newer program knows what an older one had to leave out: it must not find that in a snapshot instead.
func TestNoSnapshotIsTakenOfWhatThisProgramDidNotUnderstand(t *testing.T) {
	for _, typ := range []string{"FromTheFuture", "Explode"} {
		h := newHost(t, withSnapshots)
		h.log.put("a", actor.Event{Type: typ, Payload: []byte("{}")})
		for range 300 {
			h.ask(t, "a", required(&add{1}))
		}
		if got := h.log.snapshots("a"); len(got) != 0 {
			t.Errorf("behind an event %s: snapshots after %v events, want none", typ, got)
		}
	}
}

func TestSnapshotOfWhatCouldNotBeStoredIsNeverUsed(t *testing.T) {
	for _, fail := range []error{actor.ErrUnavailable, actor.ErrOutcomeUnknown} {
		h := newHost(t, withSnapshots)
		for range 256 {
			h.ask(t, "a", required(&add{1}))
		}
		h.log.hold()
		f := h.send("a", required(&add{1}))
		for h.log.waiting() < 2 { // the commit and the snapshot
			h.ask(t, "b", &actor.Query{})
		}
		h.log.decide(fail)
		if _, err := f.Result(); err != nil {
			t.Fatal(err)
		}
		if got := h.view(t, "a"); got != "256" {
			t.Errorf("%v: sum is %s, want 256", fail, got)
		}
		if got := h.log.snapshots("a"); len(got) != 0 {
			t.Errorf("%v: snapshots after %v events, want none", fail, got)
		}
	}
}

func TestSnapshotAndTailMakeTheSameStateAsTheWholeLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHost(t, withSnapshots)
		n := rapid.IntRange(250, 600).Draw(rt, "commands")
		passivated := rapid.SliceOfN(rapid.IntRange(1, n-1), 0, 4).Draw(rt, "passivated before")
		random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(rt, "seed")))
		for i := range n {
			if slices.Contains(passivated, i) {
				h.end(t, "a")
			}
			cmd := required(&add{random.IntN(11) - 1})
			if random.IntN(10) == 0 {
				cmd = required(&reset{})
			}
			if random.IntN(2) == 0 {
				cmd = keyed(fmt.Sprint(random.IntN(n)), uint64(i), cmd)
			}
			h.ask(t, "a", cmd)
		}
		h.end(t, "a")
		whole := newHost(t, func(c *actor.Config[sum]) { c.Log = h.log })
		for i := range 50 {
			q := &actor.Query{Key: fmt.Sprint(i)}
			got, want := h.ask(t, "a", q), whole.ask(t, "a", q)
			if got.Replayed != want.Replayed || got.Version != want.Version || string(got.View) != string(want.View) {
				rt.Fatalf("key %d: got %+v, want %+v", i, got, want)
			}
		}
		replay, done := newReplay("a"), 0
		for i, s := range h.log.saved["a"] {
			for _, ev := range h.log.events("a")[done:s.events] {
				replay.Apply(ev)
			}
			done = s.events
			if diff, err := replay.Compare(s.data); diff != "" || err != nil {
				rt.Fatalf("snapshot %d after %d events: %s, %v; want it to be what a replay gives", i, s.events, diff, err)
			}
		}
	})
}

func TestFullGrainRefusesCommandsAndStillKnowsItsKeys(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) { c.MaxEvents = 3 })
	for i := range 3 {
		h.ask(t, "a", keyed(fmt.Sprint(i), 7, required(&add{1})))
	}
	for _, cmd := range []*actor.Command{required(&add{1}), optional(&add{1}, &add{1}), keyed("new", 7, required(&add{1}))} {
		if r := h.ask(t, "a", cmd); code(r) != actor.CodeFull || r.Version != 3 {
			t.Errorf("got %q at version %d, want %q at 3", code(r), r.Version, actor.CodeFull)
		}
	}
	if r := h.ask(t, "a", keyed("1", 7, required(&add{1}))); code(r) != "" || !r.Replayed {
		t.Errorf("repeat of a key: got %q, replayed %t; want the cart as it is", code(r), r.Replayed)
	}
	if got := h.view(t, "a"); got != "3" {
		t.Errorf("sum is %s, want 3", got)
	}
}
