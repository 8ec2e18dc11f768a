//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBelowLowDiskChangesAreRefusedAndReadsGoOn(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	s.add(t, "c", "BEFORE")
	s.kill()

	s = serve(t, data, "--low-disk=4EiB")
	before := tree(t, data)
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "/v1/carts", `{}`},
		{"POST", "/v1/carts", newCart("new")},
		{"POST", "/v1/carts/c/mutations", addItem("AFTER", 1, 100, "")},
		{"POST", "/v1/carts/c/items", `{"sku":"85123A","quantity":1}`},
		{"PUT", "/v1/carts/c/items", `{"items":[]}`},
		{"PATCH", "/v1/carts/c/items/1", `{"quantity":2}`},
		{"DELETE", "/v1/carts/c/items/1", ""},
		{"DELETE", "/v1/carts/c", ""},
	} {
		a := s.do(t, http.StatusServiceUnavailable, tt.method, tt.path, tt.body, "Idempotency-Key", "after")
		wantProblem(t, a, http.StatusServiceUnavailable, "unavailable")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: 503 without Retry-After", tt.method, tt.path)
		}
	}
	if c := s.cart(t, "c"); c.Version != 2 || len(c.Items) != 1 {
		t.Errorf("cart is %+v, want version 2 with 1 item", c)
	}
	if a := s.add(t, "c", "BEFORE"); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("repeat of what was answered before: %s, want it replayed", a.body)
	}
	if status, body := s.ready(); status != http.StatusOK {
		t.Errorf("/readyz: %d %q, want 200", status, body)
	}
	if v := s.metrics(t)["cartd_event_log_low_space"]; v != 1 {
		t.Errorf("cartd_event_log_low_space is %v, want 1", v)
	}
	if d := cmp.Diff(before, tree(t, data)); d != "" {
		t.Errorf("the data directory has changed (-before +after):\n%s", d)
	}
	s.signal(syscall.SIGTERM)
	s.wait()
	if log := s.log(); strings.Contains(log, "close the event log") || !strings.Contains(log, "operations could not be stored") {
		t.Errorf("stderr is %q: operations that there was no room for have taken the time for the event log's end", log)
	}
}

func TestWriteThatFailsPoisonsTheStoreAndARestartRecovers(t *testing.T) {
	t.Parallel()
	const shared, writers = "shared", 6
	data, l := t.TempDir(), &ledger{}
	s := serveWith(t, []string{fileLimit + "=65536"}, data, "--request-timeout=60s", "--shutdown-timeout=60s")
	s.create(t, shared)
	l.create(shared, true)
	s.create(t, "held")
	late := s.hold(t, "/v1/carts/held/mutations", addItem("LATE", 1, 100, "")) // keeps the process alive while we look

	var mu sync.Mutex // guards codes
	codes := map[string]int{}
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(writer{
			s: s, ledger: l, name: fmt.Sprint("w", n), shared: shared, keys: true, padding: strings.Repeat("x", 400),
			answered: func() {},
			stop: func(a answer, err error) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					codes["no answer"]++ // sent too late: the server is stopping already
				case a.status == http.StatusGatewayTimeout:
					wantProblem(t, a, http.StatusGatewayTimeout, "outcome_unknown")
					codes["outcome_unknown"]++
				default:
					wantProblem(t, a, http.StatusServiceUnavailable, "unavailable")
					codes["unavailable"]++
				}
			},
		}.run)
	}
	wg.Wait()
	// A cart's own file cannot grow any more: what was answered is in the journal, what comes after is not written, and
	// is told so, or finds nobody who listens. (An append that fails half way:
	// TestEventLogThatFailsWhileStoppingIsAFailure.)
	if status, body := s.ready(); status != http.StatusServiceUnavailable || body != "the event log has failed\n" {
		t.Errorf("/readyz of a failed store: %d %q, want 503", status, body)
	}
	m := s.metrics(t)
	if v := m["cartd_event_log_write_failures_total"]; v < 1 {
		t.Errorf("cartd_event_log_write_failures_total is %v, want at least 1", v)
	}
	if v := m["cartd_event_log_failed"]; v != 1 {
		t.Errorf("cartd_event_log_failed is %v, want 1", v)
	}
	wantProblem(t, late.finish(t), http.StatusServiceUnavailable, "unavailable")
	s.wantExit(1)
	if log := s.log(); !strings.Contains(log, "cartd: the event log has failed; start again to recover: ") {
		t.Errorf("stderr is %q, want its end to say that the event log has failed", log)
	}

	s = serve(t, data)
	l.check(t, s)
	l.repeat(t, s)
	l.check(t, s)
	if c := s.cart(t, "held"); c.Version != 1 {
		t.Errorf("cart that was refused a change is at version %d, want 1", c.Version)
	}
	for id := range l.created {
		wantSameAsLog(t, s, id)
	}
	m = s.metrics(t)
	if m["cartd_event_log_recovered_frames"] == 0 {
		t.Error("cartd_event_log_recovered_frames is 0 after a log that was not closed")
	}
	for _, name := range []string{"cart_event_log_replay_failures_total", "cart_event_log_unknown_types_total",
		"cart_event_log_mutation_errors_total", "cartd_event_log_damaged_lines_total", "cartd_event_log_failed"} {
		if m[name] != 0 {
			t.Errorf("%s after the restart is %v, want 0", name, m[name])
		}
	}
	t.Logf("%d adds, the last of %d writers: %v; torn tails cut: %v", len(l.adds), writers, codes, m["cartd_event_log_torn_tails_total"])
}

// wantSameAsLog adds a cart's log up, which holds nothing but AddItem with SKUs of their own, and compares.
func wantSameAsLog(t *testing.T, s *server, id string) {
	t.Helper()
	want := cart{ID: id}
	for line := range bytes.Lines(logFile(t, s.data, id)) {
		var ev struct {
			Seq     uint64 `json:"seq"`
			Type    string `json:"type"`
			Payload struct {
				SKU      string `json:"sku"`
				Quantity int64  `json:"quantity"`
				Price    int64  `json:"price"`
			} `json:"payload"`
		}
		if err := json.Unmarshal(line, &ev); err != nil || ev.Seq != want.Version+1 {
			t.Fatalf("line %d of the log of cart %s: %q, error %v", want.Version+1, id, line, err)
		}
		want.Version = ev.Seq
		if ev.Type == "AddItem" {
			total := ev.Payload.Quantity * ev.Payload.Price
			want.Items = append(want.Items, item{SKU: ev.Payload.SKU, Qty: ev.Payload.Quantity, Total: price{IncVAT: total}})
			want.Total.IncVAT += total
		}
	}
	got := s.cart(t, id)
	got.Total.VAT = nil
	for i := range got.Items {
		got.Items[i].Total.VAT = nil
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("cart %s is not what its log says (-log +cart):\n%s", id, d)
	}
}
