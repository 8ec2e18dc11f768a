package subscription

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what subscriptions do.
type Metrics struct {
	manager    atomic.Pointer[Manager]
	deliveries *prometheus.CounterVec
	dead       prometheus.Counter
	missed     prometheus.Counter
}

// outcomes of a delivery.
const (
	delivered = "delivered" // answered with 2xx
	refused   = "refused"   // answered with something else
	failed    = "failed"    // not answered, or not in time
)

func outcomeOf(r *refusal) string {
	switch {
	case r == nil:
		return delivered
	case r.answered:
		return refused
	}
	return failed
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cartd_webhook_deliveries_total", Help: "Calls of webhooks, by what became of them."}, []string{"outcome"}),
		dead:       prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_webhook_dead_letters_total", Help: "Events that a webhook did not take for so long that they are not sent any more."}),
		missed:     prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_webhook_missed_events_total", Help: "Events of the feed that were not kept until they could be looked at for a webhook."}),
	}
	for _, outcome := range []string{delivered, refused, failed} {
		m.deliveries.WithLabelValues(outcome)
	}
	gauge := func(name, help string, value func(*Manager) float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if manager := m.manager.Load(); manager != nil {
				return value(manager)
			}
			return 0
		})
	}
	reg.MustRegister(m.deliveries, m.dead, m.missed,
		gauge("cartd_subscriptions", "Durable subscriptions.", func(m *Manager) float64 { _, n := m.lag(); return float64(n) }),
		gauge("cartd_subscription_lag_events", "Events that the subscription furthest behind has not been told of.", func(m *Manager) float64 { lag, _ := m.lag(); return float64(lag) }))
	return m
}
