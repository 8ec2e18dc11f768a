package subscription

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"cartd/internal/eventlog"

	"github.com/cenkalti/backoff/v5"
)

const (
	// workers bounds the calls of one webhook that are under way.
	workers = 8
	// maxOpen and maxOpenBytes bound the events that are undecided, each with eventCost on top of its payload: they are in
	// memory.
	maxOpen      = 1000
	maxOpenBytes = 8 << 20
	eventCost    = 512
	// maxAhead bounds the events that were decided before one in front of them was: their places are in memory, and they are
	// delivered again after a kill.
	maxAhead = 100_000
	// minTries is how often an event is tried before it can become a dead letter.
	minTries = 5
	// maxWait bounds the time between two tries, but for its jitter.
	maxWait = time.Minute
	// lookEvery is how long the reader rests after a look at the feed, so that it reads many commits at once.
	lookEvery = 10 * time.Millisecond
	// readAgain is when it reads again after an error.
	readAgain = 10 * time.Second
)

// place is an event's in the order of positions, until everything in front of it is decided.
type place struct {
	position uint64
	decided  bool
}

// item is an event that is undecided.
type item struct {
	event eventlog.Event
	at    *place
}

// lane is what is undecided of one cart, in order. It is in the hands of one worker, in ready, or waits for its timer.
type lane struct {
	items []item
	wait  *backoff.ExponentialBackOff // nil: the first item was not tried
	first time.Time                   // of the first item's tries
	tries int
}

// dispatcher delivers one subscription's events. What has no comment is guarded by the Manager's mu.
type dispatcher struct {
	m    *Manager
	s    *sub
	quit context.CancelFunc // final
	wg   sync.WaitGroup     // final; its goroutines
	// ready has lanes whose first item is to be tried: each lane once, so that maxOpen is room for all. Final.
	ready chan *lane
	room  chan struct{} // capacity 1: something was decided. Final.

	lanes   map[eventlog.StreamID]*lane
	open    int // items in lanes
	bytes   int // of their payloads and costs
	places  []*place
	read    uint64 // position of the last event that was looked at
	failing int    // lanes that have been tried and wait
}

// deliver begins to deliver what follows the subscription's position.
func (m *Manager) deliver(s *sub) *dispatcher {
	ctx, quit := context.WithCancel(m.ctx)
	d := &dispatcher{m: m, s: s, quit: quit, ready: make(chan *lane, maxOpen), room: make(chan struct{}, 1),
		lanes: make(map[eventlog.StreamID]*lane), read: s.Position}
	q := &eventlog.FeedQuery{Kind: eventlog.KindCart, Query: eventlog.Query{Types: s.Types}}
	after := s.Position
	d.wg.Go(func() { d.run(ctx, q, after) })
	for range workers {
		d.wg.Go(func() {
			for {
				select {
				case l := <-d.ready:
					d.try(ctx, l)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return d
}

// stop ends the deliveries that are under way, and returns when all goroutines have ended.
func (d *dispatcher) stop() {
	d.quit()
	d.wg.Wait()
}

// run reads the feed until ctx ends or the log does.
func (d *dispatcher) run(ctx context.Context, q *eventlog.FeedQuery, after uint64) {
	log := d.m.opts.Log
	for {
		select {
		case <-log.Changed(after):
		case <-ctx.Done():
			return
		}
		rest := lookEvery
		for ev, err := range log.ReadAll(ctx, after) {
			if err != nil {
				if ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed) {
					return
				}
				if c, ok := errors.AsType[*eventlog.CompactedError](err); ok {
					after = d.missed(after, c.Earliest-1)
				} else {
					d.m.opts.Logger.Error("the feed cannot be read for a subscription", "subscription", d.s.Name, "after", after, "err", err)
					rest = readAgain
				}
				break
			}
			if !d.admit(ctx, &ev, q.Selects(&ev)) {
				return
			}
			after = ev.Position
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// missed notes that events were not kept until they could be read, and returns where to go on.
func (d *dispatcher) missed(after, to uint64) uint64 {
	n := to - min(to, after)
	d.m.opts.Logger.Error("a subscription has missed events: they were not kept long enough", "subscription", d.s.Name, "after", after, "events", n)
	d.m.opts.Metrics.missed.Add(float64(n))
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	d.s.Missed += n
	d.pass(to)
	return to
}

// admit takes an event in, when there is room, or passes it over if it is not wanted. It returns false when ctx ends first.
func (d *dispatcher) admit(ctx context.Context, ev *eventlog.Event, wanted bool) bool {
	d.m.mu.Lock()
	if !wanted {
		defer d.m.mu.Unlock()
		d.pass(ev.Position)
		return true
	}
	cost := len(ev.Payload) + eventCost
	for d.open > 0 && (d.open >= maxOpen || d.bytes+cost > maxOpenBytes || len(d.places) >= maxAhead) {
		d.m.mu.Unlock()
		select {
		case <-d.room:
		case <-ctx.Done():
			return false
		}
		d.m.mu.Lock()
	}
	defer d.m.mu.Unlock()
	p := &place{position: ev.Position}
	it := item{*ev, p}
	it.event.Payload = slices.Clone(ev.Payload)
	d.places = append(d.places, p)
	d.open++
	d.bytes += cost
	d.read = ev.Position
	l := d.lanes[ev.Stream]
	if l != nil {
		l.items = append(l.items, it)
		return true
	}
	l = &lane{items: []item{it}}
	d.lanes[ev.Stream] = l
	d.ready <- l // there is room: see ready
	return true
}

// pass moves over what need not be delivered. The Manager's mu is held.
func (d *dispatcher) pass(position uint64) {
	d.read = position
	d.advance()
}

// advance moves the subscription's checkpoint over all that is decided. The Manager's mu is held.
func (d *dispatcher) advance() {
	n := 0
	for n < len(d.places) && d.places[n].decided {
		n++
	}
	d.places = d.places[n:]
	to := d.read
	if len(d.places) > 0 {
		to = d.places[0].position - 1
	}
	d.s.Position = max(d.s.Position, to)
}

// try sends a lane's first event, and says what becomes of the lane.
func (d *dispatcher) try(ctx context.Context, l *lane) {
	d.m.mu.Lock()
	it := l.items[0]
	if l.first.IsZero() {
		l.first = time.Now()
	}
	l.tries++
	d.m.mu.Unlock()
	refused := d.m.send(ctx, d.s.URL, d.s.key, &it.event)
	if refused != nil && ctx.Err() != nil {
		return // it was cut off: the next process sends it again
	}
	d.m.opts.Metrics.deliveries.WithLabelValues(outcomeOf(refused)).Inc()
	if refused == nil {
		d.m.mu.Lock()
		d.s.lastError = ""
		d.decided(l)
		d.m.mu.Unlock()
		return
	}
	d.m.mu.Lock()
	d.s.lastError = refused.why
	d.m.mu.Unlock()
	if l.tries >= minTries && time.Since(l.first) >= d.m.opts.GiveUp {
		err := d.bury(l, &it.event, refused.why)
		if err == nil {
			return
		}
		d.m.opts.Logger.Error("a dead letter cannot be stored: the event is tried again", "subscription", d.s.Name, "err", err)
	}
	d.again(l, refused.after)
}

// again lets a lane wait for its next try, as long as after at least.
func (d *dispatcher) again(l *lane, after time.Duration) {
	d.m.mu.Lock()
	if l.wait == nil {
		l.wait = &backoff.ExponentialBackOff{InitialInterval: d.m.opts.FirstRetry, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: maxWait}
		l.wait.Reset()
		d.failing++
	}
	wait := l.wait.NextBackOff()
	if after > 0 {
		wait = max(wait, after+rand.N(time.Second))
	}
	d.m.mu.Unlock()
	time.AfterFunc(wait, func() { d.ready <- l }) // there is room: see ready
}

// decided ends a lane's first item. The Manager's mu is held.
func (d *dispatcher) decided(l *lane) {
	it := l.items[0]
	it.at.decided = true
	l.items[0] = item{}
	l.items = l.items[1:]
	d.open--
	d.bytes -= len(it.event.Payload) + eventCost
	if l.wait != nil {
		d.failing--
	}
	l.wait, l.first, l.tries = nil, time.Time{}, 0
	if len(l.items) > 0 {
		d.ready <- l
	} else {
		delete(d.lanes, it.event.Stream)
	}
	d.advance()
	select {
	case d.room <- struct{}{}:
	default:
	}
}

// bury makes a dead letter of a lane's first item.
func (d *dispatcher) bury(l *lane, ev *eventlog.Event, why string) error {
	m := d.m
	m.changing.Lock()
	defer m.changing.Unlock()
	m.mu.Lock()
	there := m.subs[d.s.Name] == d.s
	r := d.s.record
	letter := DeadLetter{
		Position: ev.Position, CartID: ev.Stream.Name(), Branch: ev.Branch, Version: ev.Version, ID: ev.ID.String(), Type: ev.Type, Time: ev.Time,
		FirstTry: l.first.UTC().Truncate(time.Millisecond), GivenUpAt: time.Now().UTC().Truncate(time.Millisecond), Tries: l.tries, Error: why,
	}
	m.mu.Unlock()
	if !there {
		return nil // the subscription has been deleted
	}
	if letter.Branch == "" {
		letter.Branch = "main"
	}
	r.Dead++
	if err := m.db.bury(&r, &letter); err != nil {
		return err
	}
	m.opts.Metrics.dead.Inc()
	m.opts.Logger.Warn("an event has become a dead letter", "subscription", r.Name, "cart", letter.CartID, "position", letter.Position, "tries", letter.Tries, "err", why)
	m.mu.Lock()
	defer m.mu.Unlock()
	d.s.Dead, d.s.stored = r.Dead, r.Position
	d.decided(l)
	return nil
}
