package grain

import (
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
)

// Observer counts and logs what happens inside grains.
type Observer struct {
	log    *eventlog.Metrics
	logger *slog.Logger

	active                                          *prometheus.GaugeVec
	activations, passivations, panics, commitErrors *prometheus.CounterVec
}

// NewObserver registers the metrics of grains with reg; replays are counted in log.
func NewObserver(reg prometheus.Registerer, log *eventlog.Metrics, logger *slog.Logger) *Observer {
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"kind"})
	}
	o := &Observer{
		log: log, logger: logger,
		active:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cartd_grain_activations", Help: "Grains in memory."}, []string{"kind"}),
		activations:  vec("cartd_grain_activations_total", "Grains activated."),
		passivations: vec("cartd_grain_passivations_total", "Grains that left memory."),
		panics:       vec("cartd_grain_panics_total", "Panics contained in a grain."),
		commitErrors: vec("cartd_grain_commit_failures_total", "Commits that the event log did not take."),
	}
	reg.MustRegister(o.active, o.activations, o.passivations, o.panics, o.commitErrors)
	for _, kind := range []string{string(eventlog.KindCart), string(eventlog.KindVoucher)} {
		o.active.WithLabelValues(kind)
		for _, v := range []*prometheus.CounterVec{o.activations, o.passivations, o.panics, o.commitErrors} {
			v.WithLabelValues(kind)
		}
	}
	return o
}

// Activated, Passivated, Replayed, EventSkipped, Panicked and CommitFailed are those of actor.Observer.
func (o *Observer) Activated(kind, _ string) {
	o.active.WithLabelValues(kind).Inc()
	o.activations.WithLabelValues(kind).Inc()
}

func (o *Observer) Passivated(kind, _ string, _ uint64) {
	o.active.WithLabelValues(kind).Dec()
	o.passivations.WithLabelValues(kind).Inc()
}

func (o *Observer) Replayed(_, _ string, took time.Duration, _ int, err error) {
	o.log.Replays.Inc()
	o.log.ReplayDuration.Observe(took.Seconds())
	if err != nil {
		o.log.ReplayFailures.Inc()
	}
}

func (o *Observer) EventSkipped(kind, id string, ev actor.Event, err error) {
	if errors.Is(err, actor.ErrUnknownMutation) {
		o.log.UnknownTypes.Inc()
	} else {
		o.log.MutationErrors.Inc()
	}
	o.logger.Warn("event skipped at replay", "kind", kind, "id", id, "version", ev.Version, "type", ev.Type, "err", err)
}

func (o *Observer) Panicked(kind, id string, value any) {
	o.panics.WithLabelValues(kind).Inc()
	o.logger.Error("grain panicked", "kind", kind, "id", id, "panic", value, "stack", string(debug.Stack()))
}

func (o *Observer) CommitFailed(kind, id string, err error) {
	o.commitErrors.WithLabelValues(kind).Inc()
	o.logger.Debug("commit", "kind", kind, "id", id, "err", err) // the grain tells the first
}
