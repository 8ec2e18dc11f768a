package grain

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"runtime"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
)

// History reads carts as they once were, from their logs: no activation is made or asked. Make it with [NewHistory]. Safe
// for concurrent use.
type History struct {
	cfg     actor.Config[Cart]
	store   eventlog.Store
	slots   chan struct{} // one for each log that is being read
	largest int           // payload of a fork, as of a merge
}

// NewHistory returns the history of the carts that Config makes within the same limits, with their logs in store. It reads as many logs at
// once as there are processors, two at least: a long log takes a processor for seconds, and as much memory as its cart.
func NewHistory(store eventlog.Store, limits Limits) *History {
	return &History{cfg: Config(store, limits, Options{}), store: store, slots: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		largest: cmp.Or(limits.MaxMergeBytes, maxMergeBytes)}
}

// At returns the cart as it was at a moment, as far as it is on stable storage. It waits for its turn, no longer than ctx
// allows; whether there is a cart to be seen is not its question.
func (h *History) At(ctx context.Context, id eventlog.StreamID, m actor.Moment) (*Past, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("history of %s: %w", id, context.Cause(ctx))
	}
	then, err := actor.RebuildAt(h.cfg, id.Name(), m, func(load func([]byte) error) iter.Seq2[actor.Event, error] {
		return recall(ctx, h.store, id, load)
	})
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", id, err)
	}
	return &Past{then, h.cfg.View, h.largest}, nil
}

// Past is a cart as it was at a moment. For one goroutine at a time.
type Past struct {
	then    *actor.Rebuilt[Cart]
	view    func([]byte, *Cart, actor.Info) []byte
	largest int // payload of a fork
}

// Version returns the version of a branch, "" is main; 0 if there was none.
func (p *Past) Version(branch string) uint64 { return p.then.Info(branch).Version }

// View returns a branch that there was, as AppendView shows it.
func (p *Past) View(branch string) []byte { return p.view(nil, p.then.State(), p.then.Info(branch)) }
