package grain

import (
	"log/slog"
	"math"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
)

// Options are what the grains of carts need beside a log; see actor.Config for their defaults.
type Options struct {
	Idle     time.Duration
	Observer actor.Observer
	Logger   *slog.Logger
	Now      func() time.Time
	Stopped  func(id string, self *protoactor.PID)
	// MaxEvents bounds a cart's history.
	MaxEvents int
	// Changed is told of each cart that has changed, when the change is on stable storage and before anybody hears of
	// it. It must not block. nil: nobody is told.
	Changed func(*Summary)
	// Stored is told of each commit on stable storage, after Changed and everybody else: the position of its last event and
	// how many events it has. It must not block. nil: nobody is told.
	Stored func(position uint64, events int)
	// Send carries errands to other grains. Without it carts are never merged, and vouchers not told of their uses.
	Send func(id string, errands []actor.Errand)
}

// Config makes carts within limits, with their logs in store.
func Config(store eventlog.Store, limits Limits, opts Options) actor.Config[Cart] {
	replay := limits // a limit that was lowered is for what comes
	replay.MaxLines, replay.MaxQuantity, replay.MaxMergeBytes = math.MaxInt, math.MaxInt64, math.MaxInt
	replay.Lifetimes = anyLifetime // it was the truth when it was stored, whatever the flags say now
	var changed func(string, *Cart, actor.Info) func()
	if opts.Changed != nil {
		changed = func(_ string, c *Cart, info actor.Info) func() {
			s := c.summary(info)
			return func() { opts.Changed(&s) }
		}
	}
	cfg := actor.Config[Cart]{
		Changed:  changed,
		Kind:     string(eventlog.KindCart),
		Registry: Registry(limits),
		Replay:   Registry(replay),
		Requests: []string{"AddRequest", "SetCartRequest"}, // the service before cartd logged some
		Log:      log{store, eventlog.KindCart, opts.Stored},
		View: func(dst []byte, c *Cart, info actor.Info) []byte {
			return appendView(dst, c, info, limits.Lifetimes)
		},
		Hidden:    limits.Lifetimes.hidden,
		Branch:    hiddenBranch,
		Admit:     admit,
		Clone:     (*Cart).Clone,
		Snapshots: &actor.Codec[Cart]{Version: stateVersion, Encode: appendState, Decode: decodeState},
		Encode:    AppendPayload,
		Due:       limits.Lifetimes.due,
		Idle:      opts.Idle,
		Observer:  opts.Observer,
		Logger:    opts.Logger,
		Now:       opts.Now,
		Stopped:   opts.Stopped,
		MaxEvents: opts.MaxEvents,
		Send:      opts.Send,
	}
	if opts.Send != nil {
		cfg.Errands = errands
	}
	return cfg
}

// admit keeps a cart that is bound to a user from everybody else: to them it is not there, and neither that it once was.
func admit(c *Cart, caller string) *actor.Refusal {
	if c.UserID() != "" && c.UserID() != caller {
		return actor.Refuse(actor.CodeNotFound, "there is no such cart")
	}
	return nil
}
