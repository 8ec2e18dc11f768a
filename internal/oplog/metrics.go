package oplog

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what becomes of operations.
type Metrics struct {
	dropped, failures prometheus.Counter
}

// NewMetrics returns metrics that are registered with reg, if it is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_oplog_dropped_total", Help: "Operations that were lost because their store failed for too long."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_oplog_failures_total", Help: "Batches of operations that could not be stored; they are tried again."}),
	}
	if reg != nil {
		reg.MustRegister(m.dropped, m.failures)
	}
	return m
}
