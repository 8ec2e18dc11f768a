package check

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// window is what stands for Grafana's own windows: a few scrapes.
const window = "5s"

// notOnPanels are the metrics that no panel shows, and why.
var notOnPanels = map[string]string{
	"go_memstats_alloc_bytes":          "the same as go_memstats_heap_alloc_bytes",
	"go_memstats_buck_hash_sys_bytes":  "of the profiler, which runs when it is asked to",
	"go_memstats_frees_total":          "with mallocs it makes go_memstats_heap_objects, which is shown",
	"go_memstats_mallocs_total":        "with frees it makes go_memstats_heap_objects, which is shown",
	"go_memstats_gc_sys_bytes":         "a part of go_memstats_sys_bytes that nobody can do anything about",
	"go_memstats_heap_sys_bytes":       "the sum of pages in use and kept, which are shown",
	"go_memstats_last_gc_time_seconds": "the rate of collections is shown",
	"go_memstats_mcache_inuse_bytes":   "a part of go_memstats_sys_bytes that nobody can do anything about",
	"go_memstats_mcache_sys_bytes":     "a part of go_memstats_sys_bytes that nobody can do anything about",
	"go_memstats_mspan_inuse_bytes":    "a part of go_memstats_sys_bytes that nobody can do anything about",
	"go_memstats_mspan_sys_bytes":      "a part of go_memstats_sys_bytes that nobody can do anything about",
	"go_memstats_other_sys_bytes":      "a part of go_memstats_sys_bytes that nobody can do anything about",
	"go_memstats_stack_sys_bytes":      "stacks in use are shown",
	"process_virtual_memory_bytes":     "Go reserves addresses that it does not use: what is resident is shown",
	"process_virtual_memory_max_bytes": "addresses are not what runs out",
}

// asker evaluates an expression now.
type asker interface {
	Query(ctx context.Context, expr string) ([]Series, error)
}

// missing says why an expression shows nothing; "" if it does.
func missing(ctx context.Context, a asker, e expression) string {
	found, err := a.Query(ctx, e.expr)
	if err != nil {
		return err.Error()
	}
	for _, s := range found {
		if !math.IsNaN(s.Value) && (e.label == "" || s.Labels[e.label] != "") {
			return ""
		}
	}
	return fmt.Sprintf("%d series, and no number among them", len(found))
}

func TestEveryExpressionReturnsDataUnderLoad(t *testing.T) {
	s := startBusy(t)
	var a asker
	if _, err := exec.LookPath("prometheus"); err == nil {
		a = StartPrometheus(t, s.Ops, "500ms")
	} else {
		t.Log("SKIPPED: no real Prometheus has scraped cartd (Debian: apt-get install prometheus): what follows is its engine over samples that this test has scraped itself")
		a = scrapeOften(t, s, 500*time.Millisecond)
	}
	all := append(panelExpressions(t, window), ruleExpressions(t)...)
	if len(all) < 100 {
		t.Fatalf("%d expressions: there are more", len(all))
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for pending := all; len(pending) > 0; {
		var still []expression
		for _, e := range pending {
			if why := missing(t.Context(), a, e); why != "" {
				still = append(still, e)
			}
		}
		pending = still
		select {
		case <-tick.C:
		case <-timeout:
			for _, e := range pending {
				t.Errorf("%s shows nothing: %s\n\t%s", e.where, missing(t.Context(), a, e), e.expr)
			}
			t.Fatalf("%d of %d expressions show nothing", len(pending), len(all))
		}
	}
	t.Logf("%d expressions have data", len(all))

	// Each expression with a typo in the name of one metric, or in a label, has none.
	typos := 0
	for _, e := range all {
		for _, name := range metricsOf(t, e.expr) {
			if name == "" || strings.Contains(e.expr, "vector(0)") || strings.Contains(e.expr, " or ") {
				continue
			}
			typo := e
			typo.expr = strings.ReplaceAll(e.expr, name, name+"_")
			if missing(t.Context(), a, typo) == "" {
				t.Errorf("%s: a typo is not found: %s", e.where, typo.expr)
			}
			typos++
		}
	}
	for _, typo := range []string{
		`sum(rate(cartd_http_request_total{job=~".+"}[5s]))`, `sum(cartd_streams_open{off="cart"}`, `sum(cartd_streams_open{kind="cart"})`,
		`histogram_quantile(0.99, sum by (route) (rate(cartd_http_request_duration_seconds_bucket[5s])))`,
	} {
		if missing(t.Context(), a, expression{expr: typo}) == "" {
			t.Errorf("a typo is not found: %s", typo)
		}
	}
	if typos < 100 {
		t.Errorf("only %d typos were looked for", typos)
	}
}

func TestEveryMetricIsOnAPanelOrHasAReason(t *testing.T) {
	body, err := Start(t, Options{}).Metrics()
	if err != nil {
		t.Fatal(err)
	}
	_, types, err := ParseText(body)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, e := range panelExpressions(t, window) {
		for _, name := range metricsOf(t, e.expr) {
			for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
				shown[strings.TrimSuffix(name, suffix)] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		switch _, excused := notOnPanels[name]; {
		case !shown[name] && !excused:
			t.Errorf("%s is on no panel, and there is no reason for it", name)
		case shown[name] && excused:
			t.Errorf("%s is on a panel, and there is a reason why it is not", name)
		}
	}
	for name, reason := range notOnPanels {
		if _, ok := types[name]; !ok || reason == "" {
			t.Errorf("%s has the reason %q, and is no metric of cartd's", name, reason)
		}
	}
}

func TestDocsListEveryMetricAndNoOther(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(Root, "docs/monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(text), "\n## Metrics\n")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`(cart\\w+)[`{]").FindAllStringSubmatch(tables, -1) {
		listed[m[1]] = true
	}
	body, err := Start(t, Options{}).Metrics()
	if err != nil {
		t.Fatal(err)
	}
	_, types, err := ParseText(body)
	if err != nil {
		t.Fatal(err)
	}
	for name := range types {
		if strings.HasPrefix(name, "cart") && !listed[name] {
			t.Errorf("docs/monitoring.md does not have %s", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("docs/monitoring.md has %s, which cartd has not", name)
	}
}

func TestPromtoolFindsNothingInMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: promtool has not checked the metrics: it is not on the PATH (Debian: apt-get install prometheus; `make test` does so as root)")
	}
	s := Start(t, Options{})
	if code, answer, _ := s.Do("POST", "/v1/carts", `{}`); code != 201 {
		t.Fatalf("POST /v1/carts: %d %s", code, answer)
	}
	body, err := s.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	check := func(body string) (string, error) {
		cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := check(string(body)); err != nil || out != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	if out, err := check(string(body) + "# TYPE cartd_bad counter\ncartd_bad 1\n"); err == nil {
		t.Errorf("a counter without _total and a text is not found: %q", out)
	}
}
