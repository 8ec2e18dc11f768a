package catalog

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the requests that are made at backends. Answers that are kept, files and the demo make none.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// What is asked for, and what came of it, as the metrics name it.
const (
	sourceProducts   = "products"
	sourceVouchers   = "vouchers"
	sourceDeliveries = "deliveries"

	outcomeFound    = "found"
	outcomeNotFound = "not_found"
	outcomeFailed   = "failed"
)

// NewMetrics registers the metrics with reg. One is for all sources.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cartd_catalog_requests_total", Help: "Requests at the backends of products, vouchers and deliveries, each try counted, by what came of it.",
		}, []string{"source", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cartd_catalog_request_duration_seconds", Help: "Time of one request at a backend.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"source"}),
	}
	reg.MustRegister(m.requests, m.duration)
	for _, source := range []string{sourceProducts, sourceVouchers, sourceDeliveries} {
		m.of(source)
	}
	return m
}

// calls are the metrics of one source.
type calls struct {
	found, notFound, failed prometheus.Counter
	duration                prometheus.Observer
}

func (m *Metrics) of(source string) calls {
	return calls{
		found:    m.requests.WithLabelValues(source, outcomeFound),
		notFound: m.requests.WithLabelValues(source, outcomeNotFound),
		failed:   m.requests.WithLabelValues(source, outcomeFailed),
		duration: m.duration.WithLabelValues(source),
	}
}

// count counts a request that ended with err. What was cut off because nobody waits any more says nothing of the backend.
func (c *calls) count(ctx context.Context, took time.Duration, err error) {
	switch {
	case err == nil:
		c.found.Inc()
	case errors.Is(err, errNotFound):
		c.notFound.Inc()
	case errors.Is(ctx.Err(), context.Canceled):
		return
	default:
		c.failed.Inc()
	}
	c.duration.Observe(took.Seconds())
}
