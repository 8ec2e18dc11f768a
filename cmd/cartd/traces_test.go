//go:build unix

package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
)

// collector takes traces as an OpenTelemetry collector does (OTLP over HTTP).
type collector struct {
	mu  sync.Mutex // guards got
	got bytes.Buffer
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.Write(b)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func TestTracesAreSentWhereTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	var traces collector
	receiver := httptest.NewServer(&traces)
	defer receiver.Close()
	s := serveWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver.URL, "OTEL_SERVICE_NAME=carts-of-the-shop"}, t.TempDir())
	s.create(t, "c")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	s.do(t, http.StatusOK, "POST", "/v1/carts/c/items", `{"sku":"85123A","quantity":1}`, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	s.signal(syscall.SIGTERM) // what is not sent yet is sent now
	s.wantExit(0)
	id, err := hex.DecodeString(trace)
	if err != nil {
		t.Fatal(err)
	}
	got := traces.got.Bytes()
	for _, want := range []string{string(id), "POST /v1/carts/{id}/items", "ask cart", "append", "carts-of-the-shop"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%d bytes of traces came without %q", len(got), want)
		}
	}
}

func TestTracesThatNobodyTakesDisturbNothing(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.NotFoundHandler())
	defer receiver.Close()
	s := serveWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver.URL}, t.TempDir(), "--otel")
	s.create(t, "c")
	s.add(t, "c", "A")
	s.signal(syscall.SIGTERM) // what is not sent yet is sent now
	s.logged("traces could not be sent")
	s.wantExit(0)
}

func TestTracesAreOffUnlessTheyAreAskedFor(t *testing.T) {
	for _, tc := range []struct {
		flag bool
		env  map[string]string
		want bool
	}{
		{false, nil, false},
		{true, nil, true},
		{false, map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, false},
		{false, map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		{false, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		{false, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, true},
		{true, map[string]string{"OTEL_SDK_DISABLED": "true"}, false},
		{true, map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, false},
	} {
		if got := wantsTraces(tc.flag, func(name string) string { return tc.env[name] }); got != tc.want {
			t.Errorf("--otel=%t with %v: %t, want %t", tc.flag, tc.env, got, tc.want)
		}
	}
}
