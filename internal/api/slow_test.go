package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A request that took long to be worked on is logged; one whose client was slow is not, or strangers would fill the log.
func TestOnlySlowWorkIsLogged(t *testing.T) {
	var logged bytes.Buffer
	s := &server{Options: Options{Logger: slog.New(slog.NewTextHandler(&logged, nil)), Metrics: NewMetrics(prometheus.NewRegistry()), MaxRequests: 1}}
	work := func(before, during, after time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s.deadlines = newDeadlines(time.Minute)
			s.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(before) // the body comes
				if err := exchangeOf(r).enter(); err != nil {
					t.Error(err)
				}
				time.Sleep(during)
				w.WriteHeader(http.StatusNoContent)
				time.Sleep(after) // the answer is read
			})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
		})
	}
	work(time.Hour, slowRequest-1, time.Hour)
	if logged.Len() > 0 {
		t.Errorf("logged of a slow client: %s", logged.String())
	}
	work(0, slowRequest, 0)
	if log := logged.String(); strings.Count(log, "slow request") != 1 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, "worked=1s") {
		t.Errorf("logged %q, want one warning with the time", log)
	}
	if n := s.working.Load(); n != 0 {
		t.Errorf("%d places are taken, want none", n)
	}
}
