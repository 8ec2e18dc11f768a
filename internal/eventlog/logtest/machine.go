package logtest

import (
	"errors"
	"testing"

	"cartd/internal/eventlog"

	"pgregory.net/rapid"
)

// machine drives one stream of a store beside a model of it: what was accepted, in order.
type machine struct {
	t       *testing.T
	store   eventlog.Store
	id      eventlog.StreamID
	act     eventlog.Activation
	model   []eventlog.Event
	commits []sent           // accepted
	waiting []func(*rapid.T) // checks of decisions that are still to come
}

// stateMachine compares the store with the model after random histories of one stream.
func stateMachine(t *testing.T, open func(t *testing.T) eventlog.Store) {
	store := open(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &machine{t: t, store: store, id: Stream(t, "machine-"+string(rune('a'+n%26))+rapid.StringMatching(`[a-z0-9]{20}`).Draw(rt, "name"))}
		m.act = Activate(t, store, m.id)
		rt.Repeat(map[string]func(*rapid.T){
			"append":     m.append,
			"stale":      m.stale,
			"repeat":     m.repeat,
			"taken":      m.taken,
			"reactivate": m.reactivate,
			"":           func(*rapid.T) {},
		})
		m.settle(rt)
		m.act.Release()
		if evs := ReadAll(t, store, m.id); len(evs) != len(m.model) {
			rt.Fatalf("got %d events, want %d", len(evs), len(m.model))
		} else {
			same(t, "events", evs, m.model)
		}
	})
}

// sent is a commit that was appended, and where.
type sent struct {
	eventlog.Commit
	position *uint64
}

func (m *machine) head(branch string) uint64 {
	var v uint64
	for _, ev := range m.model {
		if ev.Branch == branch {
			v = ev.Version
		}
	}
	return v
}

func branch(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "gift", "b-2"}).Draw(rt, "branch")
}

// expect queues c and remembers to check what it is told.
// position is that of the commit's first receipt, which the first call of expect with it fills in. Stores that do not
// count positions always tell 0.
func (m *machine) expect(c eventlog.Commit, want eventlog.Receipt, position *uint64, check func(error) bool) {
	d := Queue(m.act, c)
	m.waiting = append(m.waiting, func(rt *rapid.T) {
		got := <-d
		if position != nil {
			if !want.Duplicate {
				*position = got.Receipt.Position
			}
			want.Position = *position
		}
		if got.Receipt != want || !check(got.Err) {
			rt.Fatalf("append of %d events to branch %q at %d: got %+v, want %+v", len(c.Events), c.Branch, c.Want, got, want)
		}
	})
}

func noError(err error) bool { return err == nil }

func (m *machine) append(rt *rapid.T) {
	c := eventlog.Commit{Branch: branch(rt), Events: Events(rapid.IntRange(1, 4).Draw(rt, "events"))}
	c.Want = m.head(c.Branch)
	if rapid.Bool().Draw(rt, "key") {
		c.Events[0].Key = rapid.StringN(1, 20, 80).Draw(rt, "key text")
		c.Events[0].Request = rapid.Uint64().Draw(rt, "request")
	}
	position := new(uint64)
	m.expect(c, eventlog.Receipt{Version: c.Want + uint64(len(c.Events))}, position, noError)
	m.model = append(m.model, stored(m.id, c.Branch, c.Want, m.act.Epoch(), c.Events...)...)
	m.commits = append(m.commits, sent{c, position})
}

func (m *machine) stale(rt *rapid.T) {
	c := eventlog.Commit{Branch: branch(rt), Events: Events(1)}
	head := m.head(c.Branch)
	c.Want = rapid.Uint64Range(0, head+3).Filter(func(v uint64) bool { return v != head }).Draw(rt, "want")
	m.expect(c, eventlog.Receipt{}, nil, func(err error) bool {
		conflict, ok := errors.AsType[*eventlog.ConflictError](err)
		return ok && conflict.Got == head && conflict.Want == c.Want
	})
	m.reactivate(rt) // a conflict ends the activation
}

func (m *machine) repeat(rt *rapid.T) {
	if len(m.commits) == 0 {
		rt.Skip("nothing to repeat")
	}
	old := rapid.SampledFrom(m.commits).Draw(rt, "commit")
	c := old.Commit
	want := eventlog.Receipt{Version: c.Want + uint64(len(c.Events)), Duplicate: true}
	c.Want = rapid.Uint64Range(0, 100).Draw(rt, "want")
	m.expect(c, want, old.position, noError)
}

func (m *machine) taken(rt *rapid.T) {
	if len(m.model) == 0 {
		rt.Skip("no id is taken")
	}
	ev := Event(1)
	ev.ID = rapid.SampledFrom(m.model).Draw(rt, "event").ID
	ev.Payload = []byte(`{"other":true}`)
	m.expect(eventlog.Commit{Want: m.head(""), Events: []eventlog.Event{ev}}, eventlog.Receipt{}, nil, func(err error) bool {
		_, ok := errors.AsType[*eventlog.DuplicateIDError](err)
		return ok
	})
}

func (m *machine) reactivate(rt *rapid.T) {
	if rapid.Bool().Draw(rt, "release first") {
		m.act.Release()
	}
	act, err := m.store.Activate(m.t.Context(), m.id)
	if err != nil {
		rt.Fatalf("activate: %v", err)
	}
	m.act.Release()
	m.act = act
	evs, err := collect(act.Replay(m.t.Context(), nil))
	if err != nil || len(evs) != len(m.model) {
		rt.Fatalf("replay: got %d events, %v; want %d", len(evs), err, len(m.model))
	}
	m.settle(rt)
}

func (m *machine) settle(rt *rapid.T) {
	for _, check := range m.waiting {
		check(rt)
	}
	m.waiting = nil
}
