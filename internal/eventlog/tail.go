package eventlog

import "sync/atomic"

// Tail is where a store's events end, for stores to implement [Feed] with. The zero value is the tail of an empty
// store. Advance costs two atomic accesses while nobody waits.
type Tail struct {
	head    atomic.Uint64
	closed  atomic.Bool
	waiting atomic.Pointer[chan struct{}] // nil when nobody waits
}

// closed is what Changed returns when there is nothing to wait for.
var closed = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// Head returns the position of the last event; 0 if there is none.
func (t *Tail) Head() uint64 { return t.head.Load() }

// Advance sets the position of the last event, and wakes who waits. One goroutine at a time calls it.
func (t *Tail) Advance(head uint64) {
	t.head.Store(head)
	t.wake()
}

// Close wakes all who wait, now and later.
func (t *Tail) Close() {
	t.closed.Store(true)
	t.wake()
}

func (t *Tail) wake() {
	if t.waiting.Load() == nil {
		return
	}
	if ch := t.waiting.Swap(nil); ch != nil {
		close(*ch)
	}
}

// Changed implements that of [Feed].
func (t *Tail) Changed(after uint64) <-chan struct{} {
	ch := t.waiting.Load()
	for ch == nil {
		fresh := make(chan struct{})
		if t.waiting.CompareAndSwap(nil, &fresh) {
			ch = &fresh
		} else {
			ch = t.waiting.Load()
		}
	}
	// Only now: whoever has advanced before this has not necessarily seen the channel.
	if t.head.Load() > after || t.closed.Load() {
		return closed
	}
	return *ch
}
