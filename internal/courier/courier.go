package courier

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"cartd/pkg/actor"
)

// Grains asks a grain once. The context has a deadline.
type Grains interface {
	Ask(ctx context.Context, kind, id string, msg any) (any, error)
}

// Options tune a courier.
type Options struct {
	// Workers bounds the questions that are asked at once. Default: 32.
	Workers int
	// MaxOpen bounds the errands under way. What comes on top is dropped and counted: its grain has it in its log, and
	// hands it over again when it is activated next. Default: 10,000.
	MaxOpen int
	// TryFor bounds one question. Default: 10 s.
	TryFor time.Duration
	// GiveUp is after which time without a decision an errand is left to the next activation. Default: 15 min.
	GiveUp time.Duration
	// Stepped, if not nil, is told of each step of each errand, before the next one begins.
	Stepped func(Step, actor.Errand)
	// Logger gets what nobody else hears of. Default: nothing is logged.
	Logger *slog.Logger
}

// Step is what has become of an errand.
type Step string

// The steps, in their order. Only Taken and Reported are certain to happen once.
const (
	Taken    Step = "taken"    // it was handed over, and is not under way yet
	Retried  Step = "retried"  // a grain did not decide; it will be asked again
	Decided  Step = "decided"  // the other grain has decided, and the first one does not know yet
	Reported Step = "reported" // the first grain knows
	Dropped  Step = "dropped"  // there are too many; the next activation hands it over again
	GivenUp  Step = "given up" // the same, after a long time
)

// Steps lists all steps, for metrics.
var Steps = []Step{Taken, Retried, Decided, Reported, Dropped, GivenUp}

// Courier carries errands. Make one with New, end it with Close.
type Courier struct {
	grains Grains
	opts   Options
	asking chan struct{} // holds a value for each question that is asked; Workers of them
	ctx    context.Context
	stop   context.CancelFunc

	mu      sync.Mutex // guards the rest; running is added to under it
	closed  bool
	open    int
	boxes   map[owner]*box
	running sync.WaitGroup
}

// owner is the grain whose log an errand is in.
type owner struct{ kind, id string }

// box is what there is of one grain: errands under way, and who watches them.
type box struct {
	open    map[string]struct{} // by name
	idle    chan struct{}       // closed when open gets empty; made when it is not any more
	watches map[*Watch]struct{}
}

// New returns a courier that asks grains.
func New(grains Grains, opts Options) *Courier {
	if opts.Workers <= 0 {
		opts.Workers = 32
	}
	if opts.MaxOpen <= 0 {
		opts.MaxOpen = 10_000
	}
	if opts.TryFor <= 0 {
		opts.TryFor = 10 * time.Second
	}
	if opts.GiveUp <= 0 {
		opts.GiveUp = 15 * time.Minute
	}
	if opts.Stepped == nil {
		opts.Stepped = func(Step, actor.Errand) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Courier{grains: grains, opts: opts, asking: make(chan struct{}, opts.Workers), boxes: map[owner]*box{}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Sender returns Send for the grains of one kind, as actor.Config has it.
func (c *Courier) Sender(kind string) func(id string, errands []actor.Errand) {
	return func(id string, errands []actor.Errand) { c.Send(kind, id, errands) }
}

// Send begins errands of a grain that are not under way. It does not block. After Close it does nothing.
func (c *Courier) Send(kind, id string, errands []actor.Errand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range errands {
		if c.closed {
			return
		}
		who := owner{kind, id}
		b := c.box(who)
		if _, ok := b.open[e.Name]; ok {
			continue
		}
		if c.open >= c.opts.MaxOpen {
			c.tidy(who, b)
			c.opts.Stepped(Dropped, e)
			continue
		}
		if len(b.open) == 0 {
			b.idle = make(chan struct{})
		}
		b.open[e.Name] = struct{}{}
		c.open++
		c.running.Go(func() { c.carry(who, e) })
	}
}

// box returns what there is of a grain. The caller holds mu.
func (c *Courier) box(who owner) *box {
	b := c.boxes[who]
	if b == nil {
		b = &box{open: map[string]struct{}{}, watches: map[*Watch]struct{}{}}
		c.boxes[who] = b
	}
	return b
}

// tidy forgets a grain that there is nothing of. The caller holds mu.
func (c *Courier) tidy(who owner, b *box) {
	if len(b.open) == 0 && len(b.watches) == 0 {
		delete(c.boxes, who)
	}
}

// finish takes an errand out of those under way and tells who watches. decided is nil if nothing was.
func (c *Courier) finish(who owner, name string, decided *actor.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.boxes[who]
	delete(b.open, name)
	c.open--
	for w := range b.watches {
		w.results = append(w.results, Result{name, decided})
	}
	if len(b.open) == 0 {
		close(b.idle)
	}
	c.tidy(who, b)
}

// Close ends all errands where they are, and returns when their goroutines have: the grains' logs have what is left.
func (c *Courier) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.running.Wait()
}
