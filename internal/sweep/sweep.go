package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/readmodel"

	"github.com/prometheus/client_golang/prometheus"
)

// Carts are asked one message each.
type Carts interface {
	Ask(ctx context.Context, kind, id string, msg any) (any, error)
}

// Rows are the list of carts.
type Rows interface {
	Idle(ctx context.Context, status grain.Status, class readmodel.Class, t time.Time) iter.Seq2[grain.Summary, error]
	Fresh(ctx context.Context) error
	Drop(rows []grain.Summary) error
}

// Logs are where the carts' events are.
type Logs interface {
	Writable() error
	Archive(ctx context.Context, ids []eventlog.StreamID, last string) (archived []eventlog.StreamID, err error)
}

// Options are what a Sweeper is made of. Carts, Rows and Logs are required.
type Options struct {
	Carts Carts
	Rows  Rows
	Logs  Logs
	// Lifetimes are how long carts may rest: those that their grains go by.
	Lifetimes grain.Lifetimes
	// Every is the time from one sweep to the next, of which up to a quarter is added or taken off at random. Default: 5 min.
	Every time.Duration
	// TryFor bounds one question. Default: 10 s.
	TryFor time.Duration
	// Now tells the time. It only selects whom to ask. Default: time.Now.
	Now func() time.Time
	// Swept, if not nil, hears of each sweep when it has ended. It must not block.
	Swept func(began time.Time, took time.Duration, err error)
	// Metrics is told what happens. nil: nobody is.
	Metrics *Metrics
	// Logger gets what an operator should know. nil: it is discarded.
	Logger *slog.Logger
}

const (
	batchCarts  = 256         // asked before a rest
	workers     = 4           // carts that are activated at once
	restFactor  = 3           // rests are so many times as long as the batch took
	resumeAfter = time.Minute // errands that were just begun are under way
	freshFor    = 5 * time.Second
)

// Metrics counts what a Sweeper does.
type Metrics struct {
	Sweeps   prometheus.Counter     // that came to their end
	Swept    *prometheus.CounterVec // by what was done
	Failures prometheus.Counter     // carts that could not be asked, and sweeps that were cut off
	Backlog  prometheus.Gauge       // carts that the last sweep found, and did not come to an end with
	Duration prometheus.Histogram   // of sweeps
}

// What is done, as the metrics name it.
const (
	doneCheckout = "checkout_ended"
	doneErrand   = "errands_resumed"
	doneExpired  = "expired"
	doneArchived = "archived"
	doneNothing  = "changed_meanwhile"
)

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Sweeps:   prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_sweeps_total", Help: "Sweeps that came to their end."}),
		Swept:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cartd_swept_carts_total", Help: "Carts that were swept, by what was done."}, []string{"done"}),
		Failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_sweep_failures_total", Help: "Carts that could not be swept, and sweeps that were cut off by an error."}),
		Backlog:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "cartd_sweep_backlog_carts", Help: "Carts that the last sweep found and did not come to an end with."}),
		Duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "cartd_sweep_duration_seconds", Help: "How long sweeps took, rests included.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 10),
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100}),
	}
	for _, done := range []string{doneCheckout, doneErrand, doneExpired, doneArchived, doneNothing} {
		m.Swept.WithLabelValues(done)
	}
	reg.MustRegister(m.Sweeps, m.Swept, m.Failures, m.Backlog, m.Duration)
	return m
}

// Sweeper sweeps until it is closed. Make it with [Start].
type Sweeper struct {
	opts Options
	rest int // so many times as long as a batch took
	quit context.CancelFunc
	wg   sync.WaitGroup
}

// Start begins to sweep: for the first time after a part of Every, at random, so that a server that is started again and
// again does not sweep at once each time. Close ends it.
func Start(opts Options) *Sweeper {
	s := &Sweeper{opts: opts.withDefaults(), rest: restFactor}
	ctx, quit := context.WithCancel(context.Background())
	s.quit = quit
	s.wg.Go(func() { s.run(ctx) })
	return s
}

func (o Options) withDefaults() Options {
	if o.Every <= 0 {
		o.Every = 5 * time.Minute
	}
	if o.TryFor <= 0 {
		o.TryFor = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Close ends the sweep that runs, between two carts, and waits for that.
func (s *Sweeper) Close() {
	s.quit()
	s.wg.Wait()
}

func (s *Sweeper) run(ctx context.Context) {
	for wait := rand.N(s.opts.Every); sleep(ctx, wait); wait = s.opts.Every*3/4 + rand.N(s.opts.Every/2+1) {
		err := s.sweep(ctx)
		switch {
		case err == nil, ctx.Err() != nil:
		case errors.Is(err, eventlog.ErrLowSpace), errors.Is(err, readmodel.ErrBuilding): // later
			s.opts.Logger.Info("carts are not swept now", "why", err)
		case errors.Is(err, eventlog.ErrFailed), errors.Is(err, eventlog.ErrClosed):
			return
		default:
			s.opts.Metrics.Failures.Inc()
			s.opts.Logger.Error("sweep of carts was cut off", "error", err)
		}
	}
}

// sleep waits; it returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// sweep goes once through all that is due.
func (s *Sweeper) sweep(ctx context.Context) error {
	start := time.Now()
	r := round{Sweeper: s, now: s.opts.Now()}
	err := r.run(ctx)
	m := s.opts.Metrics
	m.Backlog.Set(float64(r.left()))
	m.Duration.Observe(time.Since(start).Seconds())
	if s.opts.Swept != nil {
		s.opts.Swept(start, time.Since(start), err)
	}
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	m.Sweeps.Inc()
	if r.done > 0 || r.failed > 0 {
		s.opts.Logger.Info("carts were swept", "done", r.done, "failed", r.failed, "took", time.Since(start))
	}
	return nil
}
