package api

import (
	"context"
	"sync"
	"time"
)

// deadlines gives requests their deadlines. Those that come within a tick share one, its timer and its channel: a timer
// and a channel for each request would be made and stopped for nothing nearly always.
type deadlines struct {
	timeout time.Duration // the least that a request gets
	tick    time.Duration // it may get as much more

	mu   sync.Mutex // guards last
	last *deadline
}

// deadline is a moment, at which done is closed.
type deadline struct {
	at   time.Time
	done chan struct{}
}

func newDeadlines(timeout time.Duration) *deadlines {
	return &deadlines{timeout: timeout, tick: timeout / 128}
}

// next returns the deadline of a request that has come now.
func (d *deadlines) next(now time.Time) *deadline {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil || d.last.at.Sub(now) < d.timeout {
		limit := d.timeout + d.tick
		due := &deadline{now.Add(limit), make(chan struct{})}
		time.AfterFunc(limit, func() { close(due.done) })
		d.last = due
	}
	return d.last
}

// The deadline of an exchange makes it a context that ends then, whatever becomes of the client.

// Deadline implements [context.Context].
func (x *exchange) Deadline() (time.Time, bool) { return x.due.at, true }

// Done implements [context.Context].
func (x *exchange) Done() <-chan struct{} { return x.due.done }

// Err implements [context.Context].
func (x *exchange) Err() error {
	select {
	case <-x.due.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Value implements [context.Context].
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return context.WithoutCancel(x.client).Value(key) // not the end of it, which is not ours
}
