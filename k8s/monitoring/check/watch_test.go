package check

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

// step is the time between two scrapes, each with an evaluation of all rules.
const step = 30 * time.Second

// watch is a Prometheus with the rules of k8s/monitoring/rules, for which time goes by as a test says.
type watch struct {
	t      *testing.T
	h      *History
	at     time.Time
	groups []*rules.Group
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	h := NewHistory(t)
	w := &watch{t: t, h: h, at: day1}
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(h.Engine, h.DB), Appendable: h.DB, Queryable: h.DB, Context: context.Background(), Logger: slog.New(slog.DiscardHandler),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
	})
	files := RuleFiles(t)
	slices.SortFunc(files, func(a, b string) int { return order(a) - order(b) })
	for _, file := range files {
		groups, errs := manager.LoadGroups(step, labels.EmptyLabels(), "", nil, false, file)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			w.groups = append(w.groups, groups[name])
		}
	}
	return w
}

// order has what is recorded come before what asks for it.
func order(file string) int {
	if filepath.Base(file) == "recording.yaml" {
		return 0
	}
	return 1
}

// scrape lets a step go by, asks s for its metrics, and evaluates the rules.
func (w *watch) scrape(s *Server) (up bool) {
	w.t.Helper()
	w.at = w.at.Add(step)
	up = w.h.Scrape(s, w.at)
	w.evaluate()
	return up
}

// hold lets time go by in which nothing happens.
func (w *watch) hold(d time.Duration) {
	w.t.Helper()
	for range int(d / step) {
		w.at = w.h.Hold(w.at, step, step)
		w.evaluate()
	}
}

func (w *watch) evaluate() {
	w.t.Helper()
	for _, g := range w.groups {
		g.Eval(context.Background(), w.at)
		for _, r := range g.Rules() {
			if err := r.LastError(); err != nil {
				w.t.Fatalf("rule %s: %v", r.Name(), err)
			}
		}
	}
}

// firing returns the alerts that fire now, sorted.
func (w *watch) firing() (names []string) {
	for _, g := range w.groups {
		for _, r := range g.AlertingRules() {
			if r.State() == rules.StateFiring {
				names = append(names, r.Name())
			}
		}
	}
	slices.Sort(names)
	return names
}

// quiet wants no alert to fire.
func (w *watch) quiet(when string) {
	w.t.Helper()
	if names := w.firing(); len(names) > 0 {
		w.t.Errorf("%s: %v fire, want none", when, names)
	}
}

// want wants these alerts to fire now, and no other.
func (w *watch) want(when string, names ...string) {
	w.t.Helper()
	slices.Sort(names)
	if got := w.firing(); !slices.Equal(got, names) {
		w.t.Errorf("%s: %v fire, want %v", when, got, names)
	}
}
