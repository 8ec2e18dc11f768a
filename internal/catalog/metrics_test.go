package catalog_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"cartd/internal/catalog"
)

func TestEachRequestAtABackendIsCountedByWhatCameOfIt(t *testing.T) {
	asked := make(chan struct{})
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/there":
			writeProduct(w, "there", 100)
		case "/gone":
			http.NotFound(w, r)
		case "/slow":
			close(asked)
			<-r.Context().Done()
		default:
			http.Error(w, "", http.StatusInternalServerError)
		}
	})
	reg := prometheus.NewRegistry()
	opts := catalog.Options{Metrics: catalog.NewMetrics(reg), Tries: 2}
	p := open(t, base+"/{sku}", opts)
	for _, sku := range []string{"there", "there", "gone", "broken"} { // the second is answered from what is kept
		p.Product(t.Context(), sku, "") //nolint:errcheck // what is counted is looked at
	}
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-asked
		leave()
	}()
	if _, err := p.Product(ctx, "slow", ""); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("product that nobody waits for any more: got %v, want ErrUnavailable", err)
	}
	p.Close() // waits for the requests that run

	d, err := catalog.OpenDeliveries(t.Context(), "demo", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Delivery(t.Context(), "postnord", "SE"); err != nil {
		t.Fatal(err)
	}

	const want = `
		# HELP cartd_catalog_requests_total Requests at the backends of products, vouchers and deliveries, each try counted, by what came of it.
		# TYPE cartd_catalog_requests_total counter
		cartd_catalog_requests_total{outcome="failed",source="deliveries"} 0
		cartd_catalog_requests_total{outcome="failed",source="products"} 2
		cartd_catalog_requests_total{outcome="failed",source="vouchers"} 0
		cartd_catalog_requests_total{outcome="found",source="deliveries"} 0
		cartd_catalog_requests_total{outcome="found",source="products"} 1
		cartd_catalog_requests_total{outcome="found",source="vouchers"} 0
		cartd_catalog_requests_total{outcome="not_found",source="deliveries"} 0
		cartd_catalog_requests_total{outcome="not_found",source="products"} 1
		cartd_catalog_requests_total{outcome="not_found",source="vouchers"} 0
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "cartd_catalog_requests_total"); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	timed := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); h != nil {
				timed[m.GetLabel()[0].GetValue()] = h.GetSampleCount()
			}
		}
	}
	if timed["products"] != 4 || timed["vouchers"] != 0 || len(timed) != 3 {
		t.Errorf("requests that were timed: %v, want 4 of products and none of the two others", timed)
	}
}

func TestBackendThatDoesNotAnswerInTimeHasFailed(t *testing.T) {
	base, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	reg := prometheus.NewRegistry()
	p := open(t, base+"/{sku}", catalog.Options{Metrics: catalog.NewMetrics(reg), TryTimeout: time.Millisecond})
	p.Product(t.Context(), "slow", "") //nolint:errcheck // what is counted is looked at
	if n, err := testutil.GatherAndCount(reg); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	families, _ := reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if c := m.GetCounter(); c != nil && m.GetLabel()[0].GetValue() == "failed" && m.GetLabel()[1].GetValue() == "products" && c.GetValue() != 1 {
				t.Errorf("failed requests: %v, want 1", c.GetValue())
			}
		}
	}
}
