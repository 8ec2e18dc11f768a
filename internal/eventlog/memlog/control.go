package memlog

import (
	"fmt"
	"slices"

	"cartd/internal/eventlog"
)

// fate is what happens to a commit instead of being stored.
type fate struct {
	cause  error // the store fails with it; nil: only the answer is lost
	stored bool
}

// Hold keeps every commit undecided from now on, until [Log.Release] or [Log.Resume].
func (l *Log) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.permits = true, 0
}

// Release lets n of the held commits be decided, the oldest first, those still to come included. Refusals and
// repeats that wait behind a commit count as one each. It does not wait for the decisions.
func (l *Log) Release(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.permits += n
	l.drain()
}

// Resume ends Hold: all that waits is decided. It does not wait for the decisions.
func (l *Log) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.permits = false, 0
	l.drain()
}

// Queued returns how many appends wait for their decision.
func (l *Log) Queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// FailNext lets the next commit that is decided fail as a disk does: it is not stored, it and all that is queued
// are told ErrOutcomeUnknown, and the store has failed for good with cause.
func (l *Log) FailNext(cause error) { l.fate(fate{cause: cause}) }

// FailNextStored is FailNext for a commit that turns out to be stored.
func (l *Log) FailNextStored(cause error) { l.fate(fate{cause: cause, stored: true}) }

// LoseNext lets the answer to the next commit that is decided be lost, as when the connection to a database breaks:
// it is told ErrOutcomeUnknown, whether it is stored or not; so are the commits that its activation has queued
// behind it, which are not stored. The store goes on.
func (l *Log) LoseNext(stored bool) { l.fate(fate{stored: stored}) }

// Refuse turns new commits away with err (ErrLowSpace, say), and lets Writable report it; nil ends that.
func (l *Log) Refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = err
}

func (l *Log) fate(f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fates = append(l.fates, f)
}

// drain sees to it that a goroutine decides what may be decided. l.mu is held.
func (l *Log) drain() {
	if l.draining || !l.mayDecide() {
		return
	}
	l.draining = true
	go l.decideAll() // ends by itself; Close waits for it
}

func (l *Log) mayDecide() bool { return len(l.queue) > 0 && (!l.held || l.permits > 0) }

func (l *Log) decideAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.mayDecide() {
		if l.held {
			l.permits--
		}
		it := l.queue[0]
		l.queue = slices.Delete(l.queue, 0, 1)
		receipt, err := l.decide(it)
		l.mu.Unlock()
		it.decided(receipt, err)
		l.mu.Lock()
		if it.s.pending--; it.s.pending == 0 && it.s.idle != nil {
			close(it.s.idle)
			it.s.idle = nil
		}
	}
	l.draining = false
	if l.drained != nil {
		close(l.drained)
		l.drained = nil
	}
}

// decide settles what becomes of it. l.mu is held.
func (l *Log) decide(it *item) (eventlog.Receipt, error) {
	unknown := func(why error) error {
		return fmt.Errorf("append to %s: %w: %w", it.s.id, eventlog.ErrOutcomeUnknown, why)
	}
	switch {
	case it.err != nil:
		return eventlog.Receipt{}, it.err
	case l.cause != nil:
		return eventlog.Receipt{}, unknown(l.cause)
	case it.act.dead != nil && it.act.lost:
		return eventlog.Receipt{}, it.act.dead
	case it.n == 0 || len(l.fates) == 0:
		l.store(it)
		return it.receipt, nil
	}
	f := l.fates[0]
	l.fates = slices.Delete(l.fates, 0, 1)
	if f.stored {
		l.store(it)
	}
	if f.cause != nil {
		l.cause = f.cause
		close(l.failed)
		for _, s := range l.streams {
			s.cut()
		}
		return eventlog.Receipt{}, unknown(f.cause)
	}
	it.s.cut()
	it.act.lost, it.act.dead = true, unknown(errAnswerLost)
	return eventlog.Receipt{}, it.act.dead
}

// store makes the item's events visible, and completes its receipt. l.mu is held.
func (l *Log) store(it *item) {
	s := it.s
	for range it.n {
		ev := &s.all[s.durable]
		ev.Position = uint64(len(l.feed)) + 1
		l.feed = append(l.feed, *ev)
		it.receipt.Position = ev.Position
		s.durable++
	}
	if it.n > 0 {
		l.tail.Advance(uint64(len(l.feed)))
	} else if it.receipt.Duplicate {
		it.receipt.Position = s.all[it.place].Position
	}
}
