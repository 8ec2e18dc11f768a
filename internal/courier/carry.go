package courier

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"cartd/pkg/actor"
)

// carry brings one errand to its end.
func (c *Courier) carry(who owner, e actor.Errand) {
	c.opts.Stepped(Taken, e)
	decided, err := c.settle(owner{e.Kind, e.To}, e.Command, e)
	if err == nil {
		c.opts.Stepped(Decided, e)
		err = c.report(who, e, decided)
	}
	switch {
	case err == nil:
		c.opts.Stepped(Reported, e)
	case c.ctx.Err() == nil:
		c.opts.Stepped(GivenUp, e)
		c.opts.Logger.Warn("an errand is left to the next activation", "kind", who.kind, "id", who.id, "errand", e.Name, "err", err)
	}
	c.finish(who, e.Name, decided)
}

// report tells the errand's own grain what was decided, if there is something to tell.
func (c *Courier) report(who owner, e actor.Errand, decided *actor.Reply) error {
	if e.Report == nil {
		return nil
	}
	cmd := e.Report(decided)
	if len(cmd.Steps) == 0 {
		return nil
	}
	told, err := c.settle(who, cmd, e)
	if err == nil && told.Refusal != nil && !told.Replayed {
		// It cannot be: what was decided is no news to a grain that does not wait for it.
		c.opts.Logger.Error("an errand's outcome was refused", "kind", who.kind, "id", who.id, "errand", e.Name, "refusal", told.Refusal)
	}
	return err
}

// settle asks a grain until it has decided. The error says why it did not.
func (c *Courier) settle(who owner, cmd actor.Command, e actor.Errand) (*actor.Reply, error) {
	wait := &backoff.ExponentialBackOff{InitialInterval: 5 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 30 * time.Second}
	return backoff.Retry(c.ctx, func() (*actor.Reply, error) {
		reply, err := c.ask(who, cmd)
		if err == nil {
			return reply, nil
		}
		if c.ctx.Err() != nil {
			return nil, backoff.Permanent(err)
		}
		c.opts.Stepped(Retried, e)
		return nil, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(c.opts.GiveUp))
}

// ask asks once. A refusal that says nothing of the command itself is an error. The command has the question's own
// deadline: what comes to the grain after we have stopped waiting is not applied, so that an answer to a later question
// stays true.
func (c *Courier) ask(who owner, cmd actor.Command) (*actor.Reply, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.opts.TryFor)
	defer cancel()
	cmd.Deadline, _ = ctx.Deadline()
	answer, err := c.grains.Ask(ctx, who.kind, who.id, &cmd)
	if err != nil {
		return nil, err
	}
	reply, ok := answer.(*actor.Reply)
	if !ok {
		return nil, fmt.Errorf("%s %s answered with %T", who.kind, who.id, answer)
	}
	if r := reply.Refusal; r != nil && !reply.Replayed && undecided(r.Code) {
		return nil, fmt.Errorf("%s %s: %w", who.kind, who.id, r)
	}
	return reply, nil
}

// undecided reports whether a refusal leaves open what the grain would say to the command.
func undecided(code string) bool {
	return code == actor.CodeUnavailable || code == actor.CodeOutcomeUnknown || code == actor.CodeInternal
}
