package subscription_test

import (
	"path/filepath"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/subscription"
)

// A log lets go of old segments when it is closed, too: what a subscription waits for must be there for the next process.
func TestWhatASubscriptionWaitsForOutlivesAShutdown(t *testing.T) {
	dir := t.TempDir()
	opts := filelog.Options{FeedRetention: 0} // nothing is kept but for subscriptions
	open := func() (*filelog.Log, *subscription.Manager) {
		log, err := filelog.Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		return log, subscription.Open(filepath.Join(dir, filelog.SubscriptionsName), subscription.Options{Log: log, Event: appendEvent})
	}
	shut := func(log *filelog.Log, m *subscription.Manager) {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	log, m := open()
	if _, _, err := m.Create(subscription.Definition{Name: "mail"}, nil); err != nil {
		t.Fatal(err)
	}
	for _, cart := range []string{"a", "b", "c"} { // each start begins a new segment
		logtest.MustAppend(t, logtest.Activate(t, log, logtest.Stream(t, cart)), 0, logtest.Events(8)...)
		shut(log, m)
		log, m = open()
	}
	defer shut(log, m)
	page, err := eventlog.ReadFeed(t.Context(), log, &eventlog.FeedQuery{Kind: eventlog.KindCart, Query: eventlog.Query{Limit: 100}})
	if err != nil || len(page.Events) != 24 {
		t.Errorf("%d events wait for the subscription, %v; want 24", len(page.Events), err)
	}
}
