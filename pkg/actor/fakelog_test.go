package actor_test

import (
	"context"
	"iter"
	"slices"
	"sync"

	"cartd/pkg/actor"
)

// memoryLog is a Log in memory whose commits can be held back and made to fail.
type memoryLog struct {
	mu      sync.Mutex
	streams map[string][]actor.Event
	saved   map[string][]savedState
	holders map[string]*memoryClaim // the newest claim on each stream
	held    bool                    // commits wait in queue
	queue   []func(error)
	refuse  error // what Writable says
	claims  int   // that are not released
}

func newMemoryLog() *memoryLog {
	return &memoryLog{streams: map[string][]actor.Event{}, saved: map[string][]savedState{}, holders: map[string]*memoryClaim{}}
}

func (l *memoryLog) Activate(_ context.Context, id string) (actor.Claim, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &memoryClaim{log: l, id: id}
	l.holders[id] = c
	l.claims++
	return c, nil
}

func (l *memoryLog) Writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refuse
}

func (l *memoryLog) setRefuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

// hold makes commits wait until decide.
func (l *memoryLog) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// waiting returns how many commits wait.
func (l *memoryLog) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// decide ends the hold: all commits that wait succeed, or fail with err.
func (l *memoryLog) decide(err error) {
	l.mu.Lock()
	queue := l.queue
	l.queue, l.held = nil, false
	l.mu.Unlock()
	for _, decide := range queue {
		decide(err)
	}
}

// put stores events as another process would have.
func (l *memoryLog) put(id string, events ...actor.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range events {
		if ev.Version == 0 {
			ev.Version = uint64(len(l.streams[id]) + 1)
		}
		l.streams[id] = append(l.streams[id], ev)
	}
}

// version returns the version that a branch is at. mu is held.
func (l *memoryLog) version(id, branch string) uint64 {
	for _, ev := range slices.Backward(l.streams[id]) {
		if ev.Branch == branch {
			return ev.Version
		}
	}
	return 0
}

func (l *memoryLog) events(id string) []actor.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]actor.Event(nil), l.streams[id]...)
}

func (l *memoryLog) openClaims() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claims
}

// savedState is a snapshot of the first events of a stream.
type savedState struct {
	events int
	data   []byte
}

type memoryClaim struct {
	log      *memoryLog
	id       string
	failed   error
	released bool
}

func (c *memoryClaim) Replay(_ context.Context, load func([]byte) error) iter.Seq2[actor.Event, error] {
	events := c.log.events(c.id)
	c.log.mu.Lock()
	saved := slices.Clone(c.log.saved[c.id])
	c.log.mu.Unlock()
	return func(yield func(actor.Event, error) bool) {
		for _, s := range slices.Backward(saved) {
			if load != nil && load(s.data) == nil {
				events = events[s.events:]
				break
			}
		}
		for _, ev := range events {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// Snapshot keeps data when the appends before it are decided, and not at all when one of them has failed.
func (c *memoryClaim) Snapshot(version uint64, data []byte) {
	l := c.log
	save := func(error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if c.failed == nil && l.holders[c.id] == c && l.version(c.id, "") == version {
			l.saved[c.id] = append(l.saved[c.id], savedState{len(l.streams[c.id]), data})
		}
	}
	l.mu.Lock()
	if l.held {
		l.queue = append(l.queue, save)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	save(nil)
}

// snapshots returns how many events each snapshot stands for.
func (l *memoryLog) snapshots(id string) (events []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.saved[id] {
		events = append(events, s.events)
	}
	return events
}

func (c *memoryClaim) Append(want uint64, events []actor.Event, decided func(error)) {
	l := c.log
	land := func(err error) {
		l.mu.Lock()
		switch {
		case c.failed != nil:
			err = c.failed
		case err != nil:
			c.failed = err
		case l.holders[c.id] != c || l.version(c.id, events[0].Branch) != want:
			err = actor.ErrStale
			c.failed = err
		default:
			l.streams[c.id] = append(l.streams[c.id], events...)
		}
		l.mu.Unlock()
		decided(err)
	}
	l.mu.Lock()
	if l.held {
		l.queue = append(l.queue, land)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	land(nil)
}

func (c *memoryClaim) Release() {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if !c.released {
		c.released = true
		c.log.claims--
	}
}
