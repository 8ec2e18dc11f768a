//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report prints measurements as they come, and keeps them for the medians.
type report struct {
	w      io.Writer
	names  []string // in the order in which they came first
	rounds map[string][]measurement
	err    error // the first one of writing
}

// columns lines up all rows: round, server, adds/s, p50, p99, processor time of server and generator for each add,
// length of the answer, the others' share of the machine, ratio.
const columns = "%-8s %-14s %8s %9s %9s %11s %9s %8s %7s  %s\n"

func newReport(w io.Writer, o options) *report {
	r := &report{w: w, rounds: map[string][]measurement{}}
	r.printf("adds over %d connections to %d carts; %d rounds of %v for each server, in turn; GOGC=%s GOMAXPROCS=%s but for bare; %d processors, load average %s\n\n",
		o.connections, o.carts, o.rounds, o.round, o.gogc, o.gomaxprocs, runtime.NumCPU(), loadAverage())
	r.printf(columns, "round", "server", "adds/s", "p50", "p99", "server CPU", "load CPU", "answer", "others", "")
	return r
}

// loadAverage is that of the last minute. This program adds to it only later.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

func (r *report) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(r.w, format, args...); r.err == nil {
		r.err = err
	}
}

// add prints what the server did in a round.
func (r *report) add(round int, name string, m measurement) {
	if r.rounds[name] == nil {
		r.names = append(r.names, name)
	}
	r.rounds[name] = append(r.rounds[name], m)
	r.row(fmt.Sprint(round), name, m, "")
}

func (r *report) row(label, name string, m measurement, rest string) {
	r.printf(columns, label, name, fmt.Sprintf("%.0f", m.perSecond), short(m.p50), short(m.p99),
		short(m.serverCPU), short(m.generatorCPU), fmt.Sprintf("%d B", m.answerBytes), fmt.Sprintf("%.0f%%", 100*m.others), rest)
}

// short writes a duration with about three digits.
func short(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.1fµs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.2fms", float64(d)/float64(time.Millisecond))
}

// summary prints the medians, each column's own, and the ratios of the others to the bases within each round.
func (r *report) summary(bases ...string) error {
	r.printf("\n")
	for _, name := range r.names {
		ms := r.rounds[name]
		if slices.Contains(bases, name) {
			r.row("median", name, medians(ms), "")
			continue
		}
		var rest []string
		for _, base := range bases {
			speed := ratios(ms, r.rounds[base], func(m measurement) float64 { return m.perSecond })
			cpu := ratios(ms, r.rounds[base], func(m measurement) float64 { return float64(m.serverCPU) })
			rest = append(rest, fmt.Sprintf("%.2f of %s (%.2f to %.2f), CPU %.1f times", median(speed), base,
				slices.Min(speed), slices.Max(speed), median(cpu)))
		}
		r.row("median", name, medians(ms), strings.Join(rest, "; "))
	}
	r.printf("\n")
	return r.err
}

// ratios divides round by round.
func ratios(a, b []measurement, of func(measurement) float64) []float64 {
	q := make([]float64, len(a))
	for i := range a {
		q[i] = of(a[i]) / of(b[i])
	}
	return q
}

func medians(ms []measurement) measurement {
	duration := func(of func(measurement) time.Duration) time.Duration {
		return time.Duration(medianOf(ms, func(m measurement) float64 { return float64(of(m)) }))
	}
	return measurement{
		perSecond:    medianOf(ms, func(m measurement) float64 { return m.perSecond }),
		p50:          duration(func(m measurement) time.Duration { return m.p50 }),
		p99:          duration(func(m measurement) time.Duration { return m.p99 }),
		serverCPU:    duration(func(m measurement) time.Duration { return m.serverCPU }),
		generatorCPU: duration(func(m measurement) time.Duration { return m.generatorCPU }),
		answerBytes:  int(medianOf(ms, func(m measurement) float64 { return float64(m.answerBytes) })),
		others:       medianOf(ms, func(m measurement) float64 { return m.others }),
	}
}

func medianOf(ms []measurement, of func(measurement) float64) float64 {
	values := make([]float64, len(ms))
	for i, m := range ms {
		values[i] = of(m)
	}
	return median(values)
}

// median returns the middle one, or the mean of the two; values must not be empty.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
