package filelog

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/bits"

	"cartd/internal/eventlog"

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
	end      int64 // of the file at the time of the claim
	released bool  // guarded by s.mu

	positions []uint64 // of the events appended, as far as they are decided; guarded by s.mu
	queued    uint64   // events appended

	started  bool
	replayed bool
	dead     error // what later appends are told
	main     uint64
	heads    map[string]uint64 // of the other branches
	ids      map[uuid.UUID]known
}

// known is what is remembered of an event for its stream's activation, queued ones included.
type known struct {
	version uint64
	sum     uint64 // of branch, type and payload
	place   uint64 // position, or its number among those that the activation has appended, with queuedPlace
}

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
	a.end = a.s.end
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

func (a *activation) Replay(ctx context.Context) iter.Seq2[eventlog.Event, error] {
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
		a.replayed = a.replay(ctx, yield)
	}
}

// replay yields the events and builds what Append checks against from the same pass.
func (a *activation) replay(ctx context.Context, yield func(eventlog.Event, error) bool) (done bool) {
	if a.end == 0 {
		if err := a.fenced(); err != nil {
			yield(eventlog.Event{}, err)
			return false
		}
		return true
	}
	f, err := a.log.fs.Open(a.s.path)
	if err != nil {
		yield(eventlog.Event{}, fmt.Errorf("replay %s: %w", a.s.id, err))
		return false
	}
	defer f.Close() // only read
	r := &replayer{id: a.s.id, lines: newLineReader(f, a.end, a.log.opts.MaxLineBytes), fenced: a.fenced}
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
		a.log.metrics.DamagedLines.Inc()
	}
	done = r.run(ctx, func(ev eventlog.Event, err error) bool {
		if err != nil {
			err = fmt.Errorf("replay %s: %w", a.s.id, err)
		} else if ev.ID != uuid.Nil {
			a.know(&ev, ev.Position)
		}
		return yield(ev, err)
	})
	if damage.lines > 0 {
		a.log.opts.Logger.Error("event log is damaged: lines were left out", "stream", a.s.id.String(), "file", a.s.path,
			"lines", damage.lines, "first_offset", damage.at, "first_error", damage.why)
	}
	a.main, a.heads = r.main, r.heads
	return done
}

func (a *activation) know(ev *eventlog.Event, place uint64) {
	if a.ids == nil {
		a.ids = make(map[uuid.UUID]known)
	}
	a.ids[ev.ID] = known{ev.Version, a.log.sum(ev), place}
}

func (l *Log) sum(ev *eventlog.Event) uint64 {
	name := maphash.String(l.seed, ev.Type)
	if ev.Branch != "" {
		name = bits.RotateLeft64(name, 1) ^ maphash.String(l.seed, ev.Branch)
	}
	return bits.RotateLeft64(name, 1) ^ maphash.Bytes(l.seed, ev.Payload)
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
		ev := c.Events[i]
		old, is := a.ids[ev.ID]
		if !is {
			continue
		}
		if found++; found == 1 {
			first = ev.ID.String()
		}
		ev.Branch = c.Branch
		if old.sum != a.log.sum(&ev) && other == nil {
			other = &eventlog.DuplicateIDError{Stream: a.s.id, ID: ev.ID.String(), Version: old.version}
		}
		place = old.place
		receipt = eventlog.Receipt{Version: old.version, Position: a.position(place), Duplicate: true}
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
