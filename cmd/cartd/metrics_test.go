package main

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"cartd/internal/identity/identitytest"
)

// gathered returns the metrics that `cartd serve` with args registers, by name, and lints them.
func gathered(t *testing.T, args ...string) map[string]*dto.MetricFamily {
	t.Helper()
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve", "--data=" + t.TempDir()}, args...)); err != nil {
		t.Fatal(err)
	}
	svc, err := c.Serve.open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := svc.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	problems, err := testutil.GatherAndLint(svc.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics with %q: %v %v, want nothing to be said of them", args, problems, err)
	}
	families, err := svc.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.MetricFamily{}
	for _, f := range families {
		all[f.GetName()] = f
	}
	return all
}

func TestMetricsAreTheSameInEveryMode(t *testing.T) {
	backend := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(backend.Close)
	issuer := httptest.NewServer(identitytest.New(t))
	t.Cleanup(issuer.Close)
	want := slices.Sorted(maps.Keys(gathered(t)))
	if !slices.Contains(want, "cartd_build_info") || !slices.Contains(want, "cartd_event_log_failed") {
		t.Fatalf("metrics are %q", want)
	}
	for _, args := range [][]string{
		{"--backend-token=secret"},
		{"--auth=jwt", "--jwks=" + issuer.URL},
		{"--operations=none"},
		{"--operations-all"},
		{"--sweep-every=0s"},
		{"--durability=os", "--low-disk=0"},
		{"--feed-retention=0s"},
		{"--catalog=" + backend.URL + "/{sku}", "--deliveries=" + backend.URL + "/list", "--vouchers=" + backend.URL + "/{code}"},
	} {
		got := slices.Sorted(maps.Keys(gathered(t, args...)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics with %q (-without +with):\n%s", args, diff)
		}
	}
}

// A rate over a series that begins with its first event does not see that event.
func TestKnownLabelsAreThereFromTheStart(t *testing.T) {
	all := gathered(t)
	for name, want := range map[string]int{
		"cartd_catalog_requests_total": 9, "cartd_catalog_request_duration_seconds": 3,
		"cartd_grain_activations": 2, "cartd_grain_activations_total": 2, "cartd_grain_panics_total": 2, "cartd_grain_commit_failures_total": 2,
		"cartd_streams_open": 2, "cartd_stream_events_total": 2, "cartd_webhook_deliveries_total": 3, "cartd_swept_carts_total": 5,
	} {
		if got := len(all[name].GetMetric()); got != want {
			t.Errorf("%s has %d series at the start, want %d", name, got, want)
		}
	}
	for name, f := range all {
		if len(f.GetMetric()) == 0 {
			t.Errorf("%s has no series at the start", name)
		}
	}
}

func TestHistogramsAreClassicAndNative(t *testing.T) {
	// What an objective is about has to be the edge of a bucket.
	edges := map[string]float64{"cartd_http_request_duration_seconds": .1, "cartd_event_log_append_duration_seconds": .1, "cart_event_log_replay_duration_seconds": .1}
	for name, f := range gathered(t) {
		if f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if len(h.GetBucket()) == 0 || h.Schema == nil && name != "cartd_event_log_frame_events" { // counts of events have exact buckets
			t.Errorf("%s: %d classic buckets, native: %v, want both", name, len(h.GetBucket()), h.Schema != nil)
		}
		if edge, ok := edges[name]; ok && !slices.ContainsFunc(h.GetBucket(), func(b *dto.Bucket) bool { return b.GetUpperBound() == edge }) {
			t.Errorf("%s has no bucket that ends at %v", name, edge)
		}
	}
}
