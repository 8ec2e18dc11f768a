package filelog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/bits"

	"cartd/internal/eventlog"
	"cartd/internal/idmap"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
)

var (
	errNotReplayed = errors.New("append before the replay has ended")
	errReplayed    = errors.New("replay was asked for twice")
)

// activation implements eventlog.Activation. Its fields from started on belong to the goroutine that replays and
// appends.
type activation struct {
	log      *Log
	s        *stream
	epoch    uint64
	end      int64 // of the log at the time of the claim
	endless  bool  // it lacked its end at that time
	released bool  // guarded by s.mu

	positions []uint64 // of the events appended, as far as they are decided; guarded by s.mu
	queued    uint64   // events appended

	started  bool
	replayed bool
	dead     error // what later appends are told
	main     uint64
	heads    map[string]uint64 // of the other branches
	ids      idmap.Map[known]
	lines    uint64 // of the log at the time of the claim
}

// known is what is remembered of an event for its stream's activation, queued ones included: its version, the sum of
// its content, and its place, which is its position, or its number among those that the activation has appended, with
// queuedPlace.
type known [3]uint64

const queuedPlace = 1 << 63

// position returns where the event is; 0 when that is not decided yet. s.mu is held.
func (a *activation) position(place uint64) uint64 {
	if place&queuedPlace == 0 {
		return place
	}
	if i := place &^ queuedPlace; i < uint64(len(a.positions)) {
		return a.positions[i]
	}
	return 0
}

// Activate implements [eventlog.Store]. It syncs the stream's file and cuts its torn tail, which are the only
// times that it waits for the disk.
func (l *Log) Activate(ctx context.Context, id eventlog.StreamID) (eventlog.Activation, error) {
	if l.isClosed() {
		return nil, eventlog.ErrClosed
	}
	a := &activation{log: l, s: l.acquire(id)}
	a.s.mu.Lock()
	a.s.owner = a
	a.s.mu.Unlock()
	err := a.s.waitIdle(ctx, a)
	if err == nil {
		err = l.recover(ctx, a.s)
	}
	if err == nil {
		err = l.flush(a.s)
	}
	if err == nil && l.isClosed() {
		err = eventlog.ErrClosed
	}
	if err != nil {
		a.Release()
		return nil, fmt.Errorf("activate %s: %w", id, err)
	}
	a.s.mu.Lock()
	a.end, a.endless = a.s.base+a.s.end, a.s.endless && a.s.end == 0
	last := a.s.epoch
	a.s.mu.Unlock()
	a.epoch = l.nextEpoch(last)
	return a, nil
}

func (a *activation) Epoch() uint64 { return a.epoch }

func (a *activation) fenced() error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if a.s.owner != a {
		return fmt.Errorf("stream %s: %w", a.s.id, eventlog.ErrFenced)
	}
	return nil
}

func (a *activation) Replay(ctx context.Context, load func([]byte) error) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		if a.started {
			yield(eventlog.Event{}, fmt.Errorf("replay %s: %w: %w", a.s.id, eventlog.ErrInvalid, errReplayed))
			return
		}
		a.started = true
		if a.log.isClosed() {
			yield(eventlog.Event{}, eventlog.ErrClosed)
			return
		}
		a.replayed = a.replay(ctx, load, yield)
	}
}

// replay yields the events and builds what Append checks against from the same pass.
func (a *activation) replay(ctx context.Context, load func([]byte) error, yield func(eventlog.Event, error) bool) (done bool) {
	if a.end == 0 && !a.endless {
		if err := a.fenced(); err != nil {
			yield(eventlog.Event{}, err)
			return false
		}
		return true
	}
	h, err := a.log.openHistory(a.s)
	if err != nil {
		yield(eventlog.Event{}, fmt.Errorf("replay %s: %w", a.s.id, err))
		return false
	}
	defer h.Close() // only read
	r := &replayer{id: a.s.id, fenced: a.fenced, endless: a.endless}
	from := int64(0)
	if load != nil {
		from = a.restore(h, r, load)
	}
	r.lines = h.lines(from, a.end, a.log.opts.MaxLineBytes, a.log.sealedDamage)
	var damage struct {
		lines int
		at    int64
		why   error
	}
	r.damaged = func(at int64, why error) {
		if damage.lines == 0 {
			damage.at, damage.why = at, why
		}
		damage.lines++
		if !errors.Is(why, errMarked) { // what a repair could do is done: it is no news
			a.log.metrics.DamagedLines.Inc()
		}
	}
	done = r.run(ctx, func(ev eventlog.Event, err error) bool {
		if err != nil {
			err = fmt.Errorf("replay %s: %w", a.s.id, err)
		} else if ev.ID != uuid.Nil {
			know(&a.ids, &ev, ev.Position)
		}
		return yield(ev, err)
	})
	if damage.lines > 0 {
		a.log.opts.Logger.Error("event log is damaged: lines were left out", "stream", a.s.id.String(), "file", a.s.path,
			"lines", damage.lines, "first_offset", damage.at, "first_error", damage.why)
	}
	a.main, a.heads, a.lines = r.main, r.heads, r.place
	return done
}

// sealedDamage tells of a sealed part that cannot be read in whole. Its lines that are missing show as damage.
func (l *Log) sealedDamage(path string, offset int64, err error) {
	l.opts.Logger.Error("event log is damaged: a sealed part cannot be read in whole", "file", path, "offset", offset, "error", err)
}

func know(ids *idmap.Map[known], ev *eventlog.Event, place uint64) {
	ids.Set(ev.ID, known{ev.Version, contentSum(ev.Branch, ev), place})
}

// contentSum tells whether two events with one id, of a branch, are the same. Snapshots hold it: it is the same for ever. It
// keeps mistakes apart and not attacks: who can choose ids and payloads harms a cart of their own.
func contentSum(branch string, ev *eventlog.Event) uint64 {
	name := xxhash.Sum64String(ev.Type)
	if branch != "" {
		name = bits.RotateLeft64(name, 1) ^ xxhash.Sum64String(branch)
	}
	return bits.RotateLeft64(name, 1) ^ xxhash.Sum64(ev.Payload)
}

func (a *activation) head(branch string) uint64 {
	if branch == "" {
		return a.main
	}
	return a.heads[branch]
}

func (a *activation) setHead(branch string, v uint64) {
	if branch == "" {
		a.main = v
		return
	}
	if a.heads == nil {
		a.heads = make(map[string]uint64)
	}
	a.heads[branch] = v
}

// repeat looks for the commit's ids. ok is true when all of them are there with the same content.
func (a *activation) repeat(c *eventlog.Commit) (receipt eventlog.Receipt, ok bool, place uint64, err error) {
	found, other, first := 0, (*eventlog.DuplicateIDError)(nil), ""
	for i := range c.Events {
		ev := &c.Events[i]
		old, is := a.ids.Get(ev.ID)
		if !is {
			continue
		}
		if found++; found == 1 {
			first = ev.ID.String()
		}
		version, sum := old[0], old[1]
		if sum != contentSum(c.Branch, ev) && other == nil {
			other = &eventlog.DuplicateIDError{Stream: a.s.id, ID: ev.ID.String(), Version: version}
		}
		place = old[2]
		receipt = eventlog.Receipt{Version: version, Position: a.position(place), Duplicate: true}
	}
	switch {
	case found == 0:
		return eventlog.Receipt{}, false, 0, nil
	case other != nil:
		return eventlog.Receipt{}, false, 0, other
	case found < len(c.Events):
		return eventlog.Receipt{}, false, 0, &eventlog.DuplicateIDError{Stream: a.s.id, ID: first}
	}
	return receipt, true, place, nil
}

// Release implements [eventlog.Activation].
func (a *activation) Release() {
	a.s.mu.Lock()
	released := a.released
	a.released = true
	if a.s.owner == a {
		a.s.owner = nil
	}
	a.s.mu.Unlock()
	if !released {
		a.log.release(a.s)
	}
}
