package api

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests of one server. Labels hold no ids: the route is its template.
type Metrics struct {
	inFlight atomic.Pointer[atomic.Int64] // the server's; nil until there is one
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu    sync.RWMutex // guards known
	known map[labels]series
}

// labels are what requests are counted by.
type labels struct {
	route, method string
	status        int
}

// series are the time series of some labels. Both vectors find them by hashing all labels; known does so once.
type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		known: map[labels]series{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cartd_http_requests_total", Help: "Requests answered, by route template, method and status.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cartd_http_request_duration_seconds", Help: "Time from the request's header to the end of the answer.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"route", "method"}),
	}
	reg.MustRegister(m.requests, m.duration, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cartd_http_requests_in_flight", Help: "Requests that are being handled.",
	}, func() float64 {
		if n := m.inFlight.Load(); n != nil {
			return float64(n.Load())
		}
		return 0
	}))
	return m
}

// expect makes the time series of a route: those of the statuses that the contract has of it, but for refusals, and of the
// errors that any route may end with. A rate sees nothing of the first request of a series that was not there before it.
func (m *Metrics) expect(route, method string, expected ...int) {
	for _, status := range slices.Concat(expected, []int{http.StatusInternalServerError, http.StatusServiceUnavailable}) {
		m.series(labels{route, method, status})
	}
}

func (m *Metrics) observe(route, method string, status int, took time.Duration) {
	found := m.series(labels{route, knownMethod(method), status})
	found.requests.Inc()
	found.duration.Observe(took.Seconds())
}

// knownMethod keeps strangers from making new time series.
func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "other"
}

func (m *Metrics) series(l labels) series {
	m.mu.RLock()
	found, ok := m.known[l]
	m.mu.RUnlock()
	if ok {
		return found
	}
	found = series{m.requests.WithLabelValues(l.route, l.method, strconv.Itoa(l.status)), m.duration.WithLabelValues(l.route, l.method)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[l] = found
	return found
}
