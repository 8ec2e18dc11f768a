package courier

import (
	"context"
	"errors"

	"cartd/pkg/actor"
)

// Result is what became of an errand.
type Result struct {
	Name    string
	Decided *actor.Reply // by the other grain; nil if it was given up
}

// Watch notes how errands of one grain end.
type Watch struct {
	courier *Courier
	who     owner
	results []Result // guarded by courier.mu
}

// Watch begins to note how the errands of a grain end. Close the watch.
func (c *Courier) Watch(kind, id string) *Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &Watch{courier: c, who: owner{kind, id}}
	c.box(w.who).watches[w] = struct{}{}
	return w
}

// ErrClosed means that the courier was closed before the errands came to an end.
var ErrClosed = errors.New("courier is closed")

// Wait returns when no errand of the grain is under way: those that have ended since the watch began. Errors: ctx's, if
// it ends before, and ErrClosed.
func (w *Watch) Wait(ctx context.Context) ([]Result, error) {
	c := w.courier
	for {
		c.mu.Lock()
		b := c.boxes[w.who]
		idle, results := b.idle, w.results
		if len(b.open) == 0 {
			c.mu.Unlock()
			if c.ctx.Err() != nil {
				return nil, ErrClosed
			}
			return results, nil
		}
		c.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	c := w.courier
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.boxes[w.who]
	delete(b.watches, w)
	c.tidy(w.who, b)
}
