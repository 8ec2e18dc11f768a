package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/readmodel"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// round is one sweep.
type round struct {
	*Sweeper
	now   time.Time
	found int // due carts

	mu           sync.Mutex // guards the following
	done, failed int        // carts that were brought to an end with, and that were not
	first        error      // why the first of those was not
}

// left returns how many carts were found due and not brought to an end with.
func (r *round) left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found - r.done
}

// tiers are the classes of carts that expire, and how long each may rest.
func (r *round) tiers() map[readmodel.Class]time.Duration {
	return map[readmodel.Class]time.Duration{readmodel.Empty: r.opts.Lifetimes.Empty, readmodel.Guest: r.opts.Lifetimes.Guest, readmodel.User: r.opts.Lifetimes.User}
}

func (r *round) run(ctx context.Context) error {
	soon := r.now.Add(time.Millisecond) // Idle's end is exclusive, and times are in milliseconds
	for _, class := range []readmodel.Class{readmodel.Empty, readmodel.Guest, readmodel.User, readmodel.Unsettled, readmodel.Kept} {
		end := &actor.Command{Steps: []actor.Step{{Mutation: &messages.CheckoutExpired{}}}, MustExist: true, Minimal: true, Settles: true, Leave: true}
		if err := r.each(ctx, r.opts.Rows.Idle(ctx, grain.StatusCheckout, class, soon), doneCheckout, end); err != nil {
			return err
		}
	}
	for _, status := range []grain.Status{grain.StatusOpen, grain.StatusCheckout, grain.StatusOrdered, grain.StatusMerged, grain.StatusDeleted} {
		rows := r.opts.Rows.Idle(ctx, status, readmodel.Unsettled, r.now.Add(-resumeAfter))
		if err := r.each(ctx, rows, doneErrand, &actor.Query{Minimal: true, Leave: true}); err != nil {
			return err
		}
	}
	for class, life := range r.tiers() {
		if life == 0 {
			continue
		}
		// What is shown as expiresAt is cut to the second: that is less than a second before.
		rows := r.opts.Rows.Idle(ctx, grain.StatusOpen, class, soon.Add(time.Second-life))
		end := &actor.Command{Steps: []actor.Step{{Mutation: &messages.CartExpired{}}}, MustExist: true, Minimal: true, Settles: true, Leave: true}
		if err := r.each(ctx, rows, doneExpired, end); err != nil {
			return err
		}
	}
	return r.archive(ctx)
}

// each asks all carts of rows, in batches.
func (r *round) each(ctx context.Context, rows iter.Seq2[grain.Summary, error], done string, msg any) error {
	return r.batches(ctx, rows, func(batch []grain.Summary) error {
		next := make(chan string, len(batch)) // closed when it is full
		for i := range batch {
			next <- batch[i].ID
		}
		close(next)
		var wg sync.WaitGroup
		for range min(workers, len(batch)) {
			wg.Go(func() {
				for id := range next {
					if ctx.Err() != nil {
						return
					}
					r.ask(ctx, id, done, msg)
				}
			})
		}
		wg.Wait()
		return context.Cause(ctx)
	})
}

// batches calls do for the rows, with a rest behind each batch that is full. When that has taken as long as it is from one
// sweep to the next, it only counts what is left: the next one looks for forgotten checkouts first. It stops when the log
// cannot be written to.
func (r *round) batches(ctx context.Context, rows iter.Seq2[grain.Summary, error], do func([]grain.Summary) error) error {
	batch := make([]grain.Summary, 0, batchCarts)
	flush := func() (time.Duration, error) {
		start := time.Now()
		if err := r.opts.Logs.Writable(); err != nil {
			return 0, err
		}
		err := do(batch)
		batch = batch[:0]
		return time.Since(start), err
	}
	began, late := time.Now(), false
	for row, err := range rows {
		if err != nil {
			return err
		}
		if r.found++; late {
			continue
		}
		if batch = append(batch, row); len(batch) < batchCarts {
			continue
		}
		took, err := flush()
		if err != nil {
			return err
		}
		if !sleep(ctx, time.Duration(r.rest)*took) {
			return context.Cause(ctx)
		}
		late = time.Since(began) >= r.opts.Every
	}
	if len(batch) == 0 {
		return nil
	}
	_, err := flush()
	return err
}

// ask asks a cart. It may have changed since the row was written: what it decides is right.
func (r *round) ask(ctx context.Context, id, done string, msg any) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.TryFor)
	defer cancel()
	if cmd, is := msg.(*actor.Command); is {
		with := *cmd
		with.Deadline, _ = ctx.Deadline()
		msg = &with
	}
	answer, err := r.opts.Carts.Ask(ctx, string(eventlog.KindCart), id, msg)
	if err == nil {
		reply, ok := answer.(*actor.Reply)
		switch {
		case !ok:
			err = fmt.Errorf("cart %s answered with %T", id, answer)
		case reply.Refusal != nil && undecided(reply.Refusal.Code):
			err = reply.Refusal
		case reply.Refusal != nil && done != doneErrand: // a query that is refused has activated the cart all the same
			done = doneNothing
		}
	}
	r.tell(id, done, err)
}

// undecided reports whether a refusal says nothing of the cart.
func undecided(code string) bool {
	return code == actor.CodeUnavailable || code == actor.CodeOutcomeUnknown || code == actor.CodeInternal
}

// tell counts what has become of a cart. The first failure of a sweep is logged: what one cart has, thousands may have.
func (r *round) tell(id, done string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.done++
		r.opts.Metrics.Swept.WithLabelValues(done).Inc()
		return
	}
	r.failed++
	r.opts.Metrics.Failures.Inc()
	if r.first == nil && !errors.Is(err, context.Canceled) {
		r.first = err
		r.opts.Logger.Warn("cart could not be swept: the next sweep tries again", "cart", id, "error", err)
	}
}

// expiredType is the last event of a log that is archived.
const expiredType = "CartExpired"

// archive archives the logs of all expired carts in the list, those of this sweep among them if the list knows them by
// now, and takes them out of the list.
func (r *round) archive(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, freshFor)
	defer cancel()
	_ = r.opts.Rows.Fresh(waiting) // those that it does not know yet wait for the next sweep
	rows := r.opts.Rows.Idle(ctx, grain.StatusExpired, readmodel.Empty, r.opts.Now().Add(time.Millisecond))
	return r.batches(ctx, rows, func(batch []grain.Summary) error { return r.archiveAll(ctx, batch) })
}

func (r *round) archiveAll(ctx context.Context, batch []grain.Summary) error {
	ids := make([]eventlog.StreamID, 0, len(batch))
	rows := make(map[eventlog.StreamID]grain.Summary, len(batch))
	for _, row := range batch {
		id, err := eventlog.ParseStreamID(eventlog.KindCart, row.ID)
		if err != nil {
			r.tell(row.ID, doneArchived, err)
			continue
		}
		ids = append(ids, id)
		rows[id] = row
	}
	archived, err := r.opts.Logs.Archive(ctx, ids, expiredType)
	var gone []grain.Summary
	for _, id := range archived {
		gone = append(gone, rows[id])
		r.tell(id.Name(), doneArchived, nil)
	}
	return errors.Join(err, r.opts.Rows.Drop(gone))
}
