package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// queuedRows is how many rows are read ahead of the server, all workers together.
const queuedRows = 16 << 10

// ErrMismatch is what Run returns, wrapped, when everything was sent and a cart of the server does not hold
// what the file says; the report's Mismatches tell which.
var ErrMismatch = errors.New("carts do not hold what the file says")

// restart is said of what stopped half way.
const restart = "start it again with the same file and it goes on, nothing is added twice"

// Run loads o.CSV into the server at o.URL and compares. It returns nil when every accepted row is on the
// server's stable storage and every cart holds what the file says, ErrMismatch when one does not, and another
// error when it could not come to the end: options that cannot be, a file that is no such CSV, a server that
// refuses a row or gives no outcome within o.RetryFor, ctx ended. It can then be run again. It blocks until
// then; nothing of it goes on after it returned.
func Run(ctx context.Context, o Options) (Report, error) {
	o, c, err := o.complete()
	if err != nil {
		return newReport(), err
	}
	if o.Client == nil {
		defer c.http.CloseIdleConnections()
	}
	src, err := openSource(o.CSV)
	if err != nil {
		return newReport(), err
	}
	defer src.file.Close() // was only read

	l := &loader{client: c, log: o.Logger, workers: o.Concurrency, report: newReport(), ledger: newLedger()}
	rows, err := src.check(ctx)
	if err != nil {
		return l.report, fmt.Errorf("read %s: %w (nothing was sent)", o.CSV, err)
	}
	if err := l.addAll(ctx, src, newProgress(o.Progress, rows, "adding rows", "rows")); err != nil {
		return l.report, stopped(ctx, l.report, err)
	}
	l.ledger.lines = nil // the counts are enough from here on
	bar := newProgress(o.Progress, int64(len(l.ledger.carts)), "reading back", "carts")
	if err := l.readBack(ctx, bar); err != nil {
		return l.report, stopped(ctx, l.report, err)
	}
	l.compare()
	if n := len(l.report.Mismatches); n > 0 {
		return l.report, fmt.Errorf("%d of %d: %w", n, len(l.ledger.carts), ErrMismatch)
	}
	return l.report, nil
}

func newReport() Report { return Report{Mismatches: []Mismatch{}} }

// stopped adds to what ended a load how far it came and how it can be continued.
func stopped(ctx context.Context, r Report, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("stopped after %d rows were added (%s): %w", r.Accepted, restart, err)
}

// loader is one run. report and ledger belong to Run's goroutine, which reads the file.
type loader struct {
	client  *client
	log     *slog.Logger
	workers int
	report  Report
	ledger  *ledger

	accepted, replayed atomic.Int64 // by the workers
}

// task is one row on its way.
type task struct {
	cart *cart
	item item
	key  string
	line int
}

// addAll reads the file and adds its rows. It returns when all are on stable storage, or after the first
// error, when all that it started has ended.
func (l *loader) addAll(ctx context.Context, src *source, bar *progress) error {
	defer bar.finish()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	queues := make([]chan task, l.workers)
	var wg sync.WaitGroup
	for i := range queues {
		// A full queue holds the reading up: rows stay in the file, not in memory.
		queues[i] = make(chan task, queuedRows/l.workers)
		wg.Go(func() {
			if err := l.work(ctx, queues[i], bar); err != nil {
				cancel(err)
			}
		})
	}
	err := l.feed(ctx, src, queues)
	if err != nil {
		cancel(err)
	}
	for _, q := range queues {
		close(q)
	}
	wg.Wait()
	l.report.Accepted, l.report.replayed = l.accepted.Load(), l.replayed.Load()
	took := time.Since(start).Seconds()
	l.report.Seconds = math.Round(took*1000) / 1000
	l.report.RowsPerSecond = math.Round(float64(l.report.Accepted)/max(took, 1e-9)*10) / 10
	return context.Cause(ctx)
}

// feed reads the file to its end and gives each row that is accepted to its cart's worker.
func (l *loader) feed(ctx context.Context, src *source, queues []chan task) error {
	fault := func(err error) error { return fmt.Errorf("read %s: %w", src.file.Name(), err) }
	rows, err := src.rows()
	if err != nil {
		return fault(err)
	}
	for {
		r, err := rows.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fault(err)
		}
		l.report.Rows++
		it, kind := classify(r)
		if kind != kindAccepted {
			l.report.count(kind, r.line)
			l.log.Debug("row not sent", "line", r.line, "invoice", r.invoice, "kind", kind)
			continue
		}
		c, err := l.ledger.add(it)
		if err != nil {
			return fault(fmt.Errorf("line %d: %w", r.line, err))
		}
		if c.queue == nil {
			c.queue = shortest(queues)
		}
		select {
		case c.queue <- task{cart: c, item: it, key: r.key(), line: r.line}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// shortest returns the queue with the fewest rows in it.
func shortest(queues []chan task) chan task {
	best := queues[0]
	for _, q := range queues[1:] {
		if len(q) < len(best) {
			best = q
		}
	}
	return best
}

// work adds the rows of one queue one after the other, which keeps the rows of each cart in order. It returns
// when the queue is closed and empty, or at the first error.
func (l *loader) work(ctx context.Context, queue <-chan task, bar *progress) error {
	for t := range queue {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !t.cart.created {
			if err := l.client.create(ctx, t.cart.id); err != nil {
				return fmt.Errorf("cart %s of line %d: %w", t.cart.id, t.line, err)
			}
			t.cart.created = true
		}
		replayed, err := l.client.add(ctx, t.item, t.key)
		if err != nil {
			return fmt.Errorf("line %d: %w", t.line, err)
		}
		l.accepted.Add(1)
		if replayed {
			l.replayed.Add(1)
		}
		bar.step()
	}
	return nil
}

// readBack reads every cart from the server into its got and problem. It returns after the last, or after
// the first error, when all that it started has ended.
func (l *loader) readBack(ctx context.Context, bar *progress) error {
	defer bar.finish()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range l.workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(l.ledger.carts) {
					return
				}
				c := l.ledger.carts[i]
				got, problem, err := l.client.read(ctx, c.id)
				if err != nil {
					cancel(fmt.Errorf("read cart %s back: %w", c.id, err))
					return
				}
				c.got, c.problem = got, problem
				bar.step()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// compare fills in the report what the server has, and where that differs from the file.
func (l *loader) compare() {
	for _, c := range l.ledger.carts {
		if c.got != c.want || c.problem != "" {
			l.report.Mismatches = append(l.report.Mismatches, Mismatch{Cart: c.id, Want: c.want, Got: c.got, Problem: c.problem})
		}
		if c.got != (Sums{}) || c.problem == "" { // else there is no such cart
			l.report.Carts++
		}
		l.report.Sums.add(c.got)
	}
}
