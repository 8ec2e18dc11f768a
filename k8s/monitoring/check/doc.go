// Package check is what the dashboards, rules and alerts of k8s/monitoring are tested with: a real cartd, and Prometheus'
// own parser, storage and query engine. It is a module of its own, so that cartd does not depend on Prometheus.
//
// [Start] starts a cartd on loopback. A [History] keeps what its /metrics said, as Prometheus would, at times that the test
// chooses: a window of 30 days takes no 30 days.
//
//	s := check.Start(t, check.Options{})
//	h := check.NewHistory(t)
//	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
//	h.Scrape(s, at)
//	// … something happens to s …
//	at = h.Hold(at, 24*time.Hour, 30*time.Second) // a day in which nothing else does
//	h.Scrape(s, at.Add(30*time.Second))
//	got, err := h.Query(`rate(cart_event_log_appends_total[5m])`, at)
package check
