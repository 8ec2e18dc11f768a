package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// Sample is one line of /metrics.
type Sample struct {
	Labels labels.Labels // with __name__
	Value  float64
}

// ParseText reads the text format of /metrics as Prometheus does. It returns the metrics' types too.
func ParseText(body []byte) (samples []Sample, types map[string]string, err error) {
	p, err := textparse.New(body, "text/plain; version=0.0.4", nil, textparse.ParserOptions{})
	if err != nil {
		return nil, nil, err
	}
	types = map[string]string{}
	for {
		entry, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return samples, types, nil
		case err != nil:
			return nil, nil, err
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			types[string(name)] = string(kind)
		case textparse.EntrySeries:
			_, _, v := p.Series()
			s := Sample{Value: v}
			p.Labels(&s.Labels)
			samples = append(samples, s)
		}
	}
}

// History is a Prometheus without its clock: what was scraped, and when it is said to have been. Times must not go back.
type History struct {
	DB     *tsdb.DB
	Engine *promql.Engine

	t       testing.TB
	targets map[string]*target // by job and instance
}

// target is one that is scraped.
type target struct {
	labels labels.Labels
	last   []Sample // of the last scrape; nil after one that failed
}

// NewHistory returns one without samples, which goes away with the test.
func NewHistory(t testing.TB) *History {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration = (100 * 24 * time.Hour).Milliseconds() // all of it stays in memory
	opts.MaxBlockDuration = opts.MinBlockDuration
	opts.RetentionDuration = 0
	opts.WALSegmentSize = -1 // no write-ahead log
	db, err := tsdb.Open(t.TempDir(), nil, nil, opts, tsdb.NewDBStats())
	if err != nil {
		t.Fatal(err)
	}
	db.DisableCompactions()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50e6, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true})
	t.Cleanup(func() {
		if err := errors.Join(engine.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return &History{DB: db, Engine: engine, t: t, targets: map[string]*target{}}
}

// Scrape asks s for its metrics and notes the answer as that of time at, with the labels job="cartd" and instance="0". A
// server that does not answer is down: up is 0, and all else is marked stale, as Prometheus does. It reports whether s was up.
func (h *History) Scrape(s *Server, at time.Time) bool {
	h.t.Helper()
	return h.ScrapeAs(s, "cartd", "0", at)
}

// ScrapeAs is Scrape with labels.
func (h *History) ScrapeAs(s *Server, job, instance string, at time.Time) bool {
	h.t.Helper()
	body, err := s.Metrics()
	if err != nil {
		h.Record(job, instance, nil, at)
		return false
	}
	samples, _, err := ParseText(body)
	if err != nil {
		h.t.Fatalf("/metrics cannot be parsed: %v", err)
	}
	h.Record(job, instance, samples, at)
	return true
}

// Record notes samples as a scrape of time at; nil is one that failed.
func (h *History) Record(job, instance string, samples []Sample, at time.Time) {
	h.t.Helper()
	key := job + "/" + instance
	seen := h.targets[key]
	if seen == nil {
		seen = &target{labels: labels.FromStrings("instance", instance, "job", job)}
		h.targets[key] = seen
	}
	app := h.DB.Appender(context.Background())
	add := func(l labels.Labels, v float64) {
		if _, err := app.Append(0, l, at.UnixMilli(), v); err != nil {
			h.t.Fatalf("%v at %v: %v", l, at, err)
		}
	}
	now := make(map[uint64]bool, len(samples))
	for _, s := range samples {
		now[s.Labels.Hash()] = true
		add(seen.join(s.Labels), s.Value)
	}
	for _, s := range seen.last {
		if !now[s.Labels.Hash()] {
			add(seen.join(s.Labels), math.Float64frombits(value.StaleNaN))
		}
	}
	up := 0.0
	if samples != nil {
		up = 1
	}
	add(seen.join(labels.FromStrings("__name__", "up")), up)
	if err := app.Commit(); err != nil {
		h.t.Fatal(err)
	}
	seen.last = samples
}

func (t *target) join(l labels.Labels) labels.Labels {
	b := labels.NewBuilder(l)
	t.labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return b.Labels()
}

// Hold notes the last scrape of each target again, every step after from, for a time of d: nothing happens in it. It returns
// the time of the last one.
func (h *History) Hold(from time.Time, d, step time.Duration) time.Time {
	h.t.Helper()
	at := from
	for at.Add(step).Sub(from) <= d {
		at = at.Add(step)
		for _, t := range h.targets {
			h.Record(t.labels.Get("job"), t.labels.Get("instance"), t.last, at)
		}
	}
	return at
}

// Query evaluates expr at the time at. The result is empty, not an error, when no series is found.
func (h *History) Query(expr string, at time.Time) (promql.Vector, error) {
	q, err := h.Engine.NewInstantQuery(context.Background(), h.DB, nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(context.Background())
	if res.Err != nil {
		return nil, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return append(promql.Vector(nil), v...), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	default:
		return nil, fmt.Errorf("%s is of type %s, not a vector", expr, res.Value.Type())
	}
}
