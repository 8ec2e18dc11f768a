//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// counting is a server that counts adds by path and answers with the status that it is told.
type counting struct {
	mu     sync.Mutex // guards the following
	adds   map[string]int64
	status func(adds int) int
	total  int
}

func (s *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	s.adds[r.URL.Path]++
	w.WriteHeader(s.status(s.total))
	fmt.Fprint(w, "a cart")
}

func countingTarget(t *testing.T, carts int, status func(int) int) (*counting, *target) {
	t.Helper()
	s := &counting{adds: map[string]int64{}, status: status}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, carts)
	for i := range ids {
		ids[i] = fmt.Sprintf("C%d", i)
	}
	return s, newTarget("counting", &process{url: srv.URL, cmd: &exec.Cmd{Process: self}, exited: make(chan struct{})}, ids)
}

func TestEveryAnsweredAddIsCountedForItsCart(t *testing.T) {
	s, target := countingTarget(t, 10, func(int) int { return http.StatusOK })
	ws := newWorkers(4, 10)
	for range 2 {
		m, err := ws.drive(t.Context(), target, 50*time.Millisecond, 0)
		if err != nil {
			t.Fatal(err)
		}
		if m.perSecond <= 0 || m.p50 <= 0 || m.p50 > m.p99 || m.answerBytes != len("a cart") || m.others < 0 || m.others > 1.5 {
			t.Errorf("measured %+v, want adds, times in order and answers of 6 bytes", m)
		}
	}
	for i, id := range target.ids {
		if got, want := target.answered[i], s.adds["/v1/carts/"+id+"/items"]; got != want || got == 0 {
			t.Errorf("%d adds to %s counted, want %d and some", got, id, want)
		}
	}
}

func TestDriveFailsWithTheFirstAnswerThatIsNo2xx(t *testing.T) {
	_, target := countingTarget(t, 10, func(adds int) int {
		if adds == 100 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	_, err := newWorkers(4, 10).drive(t.Context(), target, time.Minute, 0)
	if e, ok := errors.AsType[*statusError](err); !ok || e.status != "HTTP/1.1 503 Service Unavailable" {
		t.Errorf("error %v, want the 503", err)
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{{nil, 0.5, 0}, {hundred[:1], 0.99, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}} {
		if got := quantile(tt.sorted, tt.q); got != tt.want {
			t.Errorf("quantile %v of %d values: %v, want %v", tt.q, len(tt.sorted), got, tt.want)
		}
	}
}
