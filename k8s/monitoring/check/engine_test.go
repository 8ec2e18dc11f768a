package check

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// engine is Prometheus' engine over samples that it scrapes itself, and its recording rules.
type engine struct {
	history *History
	records []struct{ Record, Alert, Expr string }
	ask     chan func() // what the one goroutine does that scrapes
}

// scrapeOften scrapes s every so often until the test ends.
func scrapeOften(t *testing.T, s *Server, every time.Duration) *engine {
	t.Helper()
	e := &engine{history: NewHistory(t), ask: make(chan func())}
	for _, file := range RuleFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rules ruleFile
		if err := yaml.Unmarshal(text, &rules); err != nil {
			t.Fatal(err)
		}
		for _, g := range rules.Groups {
			e.records = append(e.records, g.Rules...)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				e.scrape(s)
			case f := <-e.ask:
				f()
			case <-t.Context().Done():
				return
			}
		}
	}()
	t.Cleanup(func() { <-ended })
	return e
}

// scrape notes what s says, and what the rules make of it.
func (e *engine) scrape(s *Server) {
	at := time.Now()
	if !e.history.Scrape(s, at) {
		return
	}
	for _, r := range e.records {
		if r.Record == "" {
			continue
		}
		found, err := e.history.Query(hasten(r.Expr), at)
		if err != nil {
			continue // a query for it says so too
		}
		app := e.history.DB.Appender(context.Background())
		for _, sample := range found {
			b := labels.NewBuilder(sample.Metric)
			b.Set("__name__", r.Record)
			if _, err := app.Append(0, b.Labels(), at.UnixMilli(), sample.F); err != nil {
				break
			}
		}
		app.Commit() //nolint:errcheck // then there is no data
	}
}

// Query is that of Prometheus.
func (e *engine) Query(ctx context.Context, expr string) (all []Series, err error) {
	done := make(chan struct{})
	select {
	case e.ask <- func() {
		defer close(done)
		found, failed := e.history.Query(expr, time.Now())
		err = failed
		for _, s := range found {
			all = append(all, Series{s.Metric.Map(), s.F})
		}
	}:
	case <-ctx.Done():
		return nil, errors.New("the test is over")
	}
	<-done
	return all, err
}
