package logtest

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"cartd/internal/eventlog"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
)

// History is what clients saw who competed for one stream: their activations fence each other off, their appends
// overlap. [History.Check] wants an order of all calls, each at a moment between its begin and its end, in which a list
// that belongs to one activation at a time would have answered the same (linearizability; Herlihy and Wing, 1990).
// Make it with [NewHistory]. Safe for concurrent use.
type History struct {
	id    eventlog.StreamID
	start time.Time
	lossy bool

	mu          sync.Mutex // guards the following
	calls       []porcupine.Operation
	activations int
	events      []uuid.UUID // their number is their place
	sent        []repeatable
	clients     int
}

// NewHistory returns an empty history of a stream. lossy is set for stores that are made to fail: outcomes may be
// unknown then.
func NewHistory(id eventlog.StreamID, lossy bool) *History {
	return &History{id: id, start: time.Now(), lossy: lossy}
}

type callKind int

const (
	callFence  callKind = iota // an activation begins: the one before it may be refused from now on
	callOwn                    // it has begun: the one before it is refused from now on
	callAppend                 // of events, by an activation
	callRead                   // of all events
)

// call is what a client asked.
type call struct {
	kind   callKind
	act    int
	want   uint64
	events string // numbers of events, a rune each
	dead   bool   // the activation had a conflict before: it has to be refused
}

// answer is what it was told.
type answer struct {
	err       error
	version   uint64
	duplicate bool
	got       uint64 // of a conflict
	events    string // what was read
}

// model is the list.
type model struct {
	events     string
	fence, own int // activations: the newest that has begun to claim the stream, and that has claimed it
}

func (h *History) model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{model{}} },
		Step: func(state, input, output any) []any {
			return h.step(state.(model), input.(call), output.(answer))
		},
	}
	return m.ToModel()
}

// step returns the states that may follow; none when the answer is wrong.
func (h *History) step(m model, c call, a answer) []any {
	n := uint64(utf8.RuneCountInString(m.events))
	wrong, same := []any(nil), []any{m}
	check := func(ok bool, next []any) []any {
		if !ok {
			return wrong
		}
		return next
	}
	_, conflict := errors.AsType[*eventlog.ConflictError](a.err)
	switch {
	case c.kind == callFence:
		m.fence = c.act
		return []any{m}
	case c.kind == callOwn:
		m.own = c.act
		return []any{m}
	case c.kind == callRead:
		return check(a.events == m.events, same)
	case c.dead:
		return check(a.err != nil, same)
	case a.err == nil && a.duplicate:
		before, _, there := strings.Cut(m.events, c.events)
		end := uint64(utf8.RuneCountInString(before) + utf8.RuneCountInString(c.events))
		return check(there && m.own == c.act && a.version == end, same)
	case a.err == nil:
		ok := m.own == c.act && n == c.want && !strings.Contains(m.events, c.events)
		m.events += c.events
		return check(ok && a.version == uint64(utf8.RuneCountInString(m.events)), []any{m})
	case conflict: // with a commit before it of unknown outcome nobody knows what it saw
		return check(h.lossy || n == a.got && n != c.want, same)
	case errors.Is(a.err, eventlog.ErrFenced):
		return check(m.fence != c.act, same)
	case errors.Is(a.err, eventlog.ErrOutcomeUnknown):
		if n != c.want || strings.Contains(m.events, c.events) {
			return same
		}
		done := m
		done.events += c.events
		return []any{m, done}
	}
	return same // refused: nothing was appended
}

// add notes a call. One of unknown outcome may still happen at any time.
func (h *History) add(client int, from, to time.Duration, c call, a answer) {
	if errors.Is(a.err, eventlog.ErrOutcomeUnknown) {
		to = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, porcupine.Operation{ClientId: client, Input: c, Call: int64(from), Output: a, Return: int64(to)})
}

func (h *History) now() time.Duration { return time.Since(h.start) }

// commit makes a commit of n events that the history knows.
func (h *History) commit(n int) (evs []eventlog.Event, numbers string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	evs = Events(n)
	for i := range evs {
		h.events = append(h.events, evs[i].ID)
		numbers += string(rune(len(h.events)))
	}
	h.sent = append(h.sent, repeatable{evs, numbers})
	return evs, numbers
}

// repeatable is a commit that was sent.
type repeatable struct {
	evs     []eventlog.Event
	numbers string
}

// again returns a commit that was sent, one of the last as a rule: a new one if there is none.
func (h *History) again(r *rand.Rand) (evs []eventlog.Event, numbers string) {
	h.mu.Lock()
	n := len(h.sent)
	if n > 0 {
		c := h.sent[max(n-1-r.IntN(8), 0)]
		evs, numbers = c.evs, c.numbers
	}
	h.mu.Unlock()
	if n == 0 {
		return h.commit(1)
	}
	return evs, numbers
}

// numbers says what was read. A strange event has a number that no other has.
func (h *History) numbers(evs []eventlog.Event) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, ev := range evs {
		number := utf8.MaxRune
		for i, id := range h.events {
			if id == ev.ID && !ev.Damaged {
				number = rune(i + 1)
			}
		}
		b.WriteRune(number)
	}
	return b.String()
}

// Read reads the stream as one more client.
func (h *History) Read(t testing.TB, store eventlog.Store) {
	h.read(t, h.client(), func() ([]eventlog.Event, error) { return collect(store.Read(t.Context(), h.id)) })
}

func (h *History) client() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return h.clients
}

func (h *History) read(t testing.TB, client int, read func() ([]eventlog.Event, error)) (version uint64, ok bool) {
	from := h.now()
	evs, err := read()
	switch {
	case err == nil:
		h.add(client, from, h.now(), call{kind: callRead}, answer{events: h.numbers(evs)})
		return uint64(len(evs)), true
	case errors.Is(err, eventlog.ErrFenced), h.lossy && errors.Is(err, eventlog.ErrFailed):
	default:
		t.Errorf("read: %v", err)
	}
	return 0, false
}

// Client claims the stream several times, replays it, appends without waiting and reads. It returns early when the
// store has failed.
func (h *History) Client(t testing.TB, store eventlog.Store, r *rand.Rand) {
	me := h.client()
	for range 4 {
		act, version, ok := h.activate(t, me, store)
		if store.Cause() != nil {
			if act != nil {
				act.Release()
			}
			return
		}
		if !ok {
			continue
		}
		var wg sync.WaitGroup
		dead := false
		for range 1 + r.IntN(3) {
			c := call{kind: callAppend, act: act.number, want: version, dead: dead}
			var evs []eventlog.Event
			switch k := r.IntN(6); {
			case k == 0: // a repeat, whoever sent the first and whatever became of it
				evs, c.events = h.again(r)
			case k == 1 && !h.lossy:
				evs, c.events = h.commit(1)
				c.want = version + 1000 // beyond all that a repeat may turn out to have appended
				dead = true
			default:
				evs, c.events = h.commit(1 + r.IntN(2))
				version += uint64(len(evs))
			}
			wg.Add(1)
			from := h.now()
			act.Append(eventlog.Commit{Want: c.want, Events: evs}, func(receipt eventlog.Receipt, err error) {
				a := answer{err: err, version: receipt.Version, duplicate: receipt.Duplicate}
				if conflict, ok := errors.AsType[*eventlog.ConflictError](err); ok {
					a.got = conflict.Got
				}
				h.add(me, from, h.now(), c, a)
				wg.Done()
			})
		}
		if r.IntN(2) == 0 {
			act.Release()
		}
		if r.IntN(2) == 0 {
			h.read(t, me, func() ([]eventlog.Event, error) { return collect(store.Read(t.Context(), h.id)) })
		}
		wg.Wait()
		act.Release()
	}
}

// numbered is an activation with its number in the history.
type numbered struct {
	eventlog.Activation
	number int
}

func (h *History) activate(t testing.TB, client int, store eventlog.Store) (act *numbered, version uint64, ok bool) {
	h.mu.Lock()
	h.activations++
	number := h.activations
	h.mu.Unlock()
	from := h.now()
	inner, err := store.Activate(t.Context(), h.id)
	to := h.now()
	h.add(client, from, to, call{kind: callFence, act: number}, answer{})
	if err != nil {
		if !errors.Is(err, eventlog.ErrFenced) && store.Cause() == nil {
			t.Errorf("activate: %v", err)
		}
		return nil, 0, false
	}
	h.add(client, from, to, call{kind: callOwn, act: number}, answer{})
	version, ok = h.read(t, client, func() ([]eventlog.Event, error) { return collect(inner.Replay(t.Context(), nil)) })
	if !ok {
		inner.Release()
		return nil, 0, false
	}
	return &numbered{inner, number}, version, true
}

// Check reports whether there is such an order.
func (h *History) Check(t testing.TB) {
	t.Helper()
	if result := h.result(); result != porcupine.Ok {
		t.Errorf("history of %d calls on %s is not linearizable: %s", len(h.calls), h.id, result)
		for _, op := range h.calls {
			c, a := op.Input.(call), op.Output.(answer)
			t.Logf("from %d to %d: client %d %s by %d at %d of %d: version %d, repeat %t, conflict at %d, read %d, error %v", op.Call, op.Return,
				op.ClientId, [...]string{"begins", "claims", "appends", "reads"}[c.kind], c.act, c.want, []rune(c.events), a.version, a.duplicate, a.got,
				[]rune(a.events), a.err)
		}
	}
}

func (h *History) result() porcupine.CheckResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	return porcupine.CheckOperationsTimeout(h.model(), h.calls, time.Minute)
}

// linearizable lets clients compete for each of several streams.
func linearizable(t *testing.T, store eventlog.Store) {
	var wg sync.WaitGroup
	histories := make([]*History, 12)
	for i := range histories {
		h := NewHistory(Stream(t, "c"+string(rune('a'+i))), false)
		histories[i] = h
		for client := range 3 {
			wg.Go(func() { h.Client(t, store, rand.New(rand.NewPCG(uint64(i), uint64(client)))) })
		}
	}
	wg.Wait()
	for _, h := range histories {
		h.Read(t, store)
		h.Check(t)
	}
}
