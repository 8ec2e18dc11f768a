package check

import (
	"testing"
	"time"
)

var day1 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestHistoryOfARealServerAnswersOverDays(t *testing.T) {
	s := Start(t, Options{})
	h := NewHistory(t)
	if !h.Scrape(s, day1) {
		t.Fatal("a server that serves is down")
	}
	at := h.Hold(day1, 24*time.Hour, time.Minute)
	for range 5 {
		if code, body, _ := s.Do("POST", "/v1/carts", `{}`); code != 201 {
			t.Fatalf("POST /v1/carts: %d %s", code, body)
		}
	}
	at = at.Add(time.Minute)
	h.Scrape(s, at)
	h.want(t, at, `increase(cart_event_log_appends_total[2d]) > 4`, 1)
	h.want(t, at, `up`, 1)

	s.Kill()
	at = at.Add(time.Minute)
	if h.Scrape(s, at) {
		t.Error("a server that was killed is up")
	}
	h.want(t, at, `up == 0`, 1)
	h.want(t, at, `cart_event_log_appends_total`, 0) // no longer there
}

// want evaluates expr and wants that many series.
func (h *History) want(t *testing.T, at time.Time, expr string, series int) {
	t.Helper()
	got, err := h.Query(expr, at)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
	} else if len(got) != series {
		t.Errorf("%s: %v, want %d series", expr, got, series)
	}
}
