//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestSummaryShowsMediansAndTheRatiosWithinRounds(t *testing.T) {
	var out strings.Builder
	r := newReport(&out, options{connections: 64, carts: 1000, rounds: 3, round: time.Second})
	for i, perSecond := range []float64{1000, 4000, 2000} { // the machine's speed changes for both
		cost := time.Duration(float64(time.Second) / perSecond)
		r.add(i+1, "bare", measurement{perSecond: perSecond, p50: cost, p99: 2 * cost, serverCPU: cost, answerBytes: 10, others: 0.07})
		r.add(i+1, "tuned", measurement{perSecond: 2 * perSecond, p50: cost, p99: 2 * cost, serverCPU: cost / 2, answerBytes: 10})
		r.add(i+1, "cartd", measurement{perSecond: perSecond / 2, p50: 2 * cost, p99: 4 * cost, serverCPU: 3 * cost, answerBytes: 12})
	}
	if err := r.summary("bare", "tuned"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"median bare 2000 500.0µs 1.00ms 500.0µs 0.0µs 10 B 7%",
		"median tuned 4000 500.0µs 1.00ms 250.0µs 0.0µs 10 B 0% median",
		"median cartd 1000 1.00ms 2.00ms 1.50ms 0.0µs 12 B 0% 0.50 of bare (0.50 to 0.50), CPU 3.0 times; 0.25 of tuned (0.25 to 0.25), CPU 6.0 times",
	} {
		if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, want) {
			t.Errorf("report is\n%s\nwant it to have %q", out.String(), want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median of %v: %v, want %v", tt.values, got, tt.want)
		}
	}
}
