package filelog

import (
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

func TestContract(t *testing.T) {
	for name, durability := range map[string]Durability{"sync=on": SyncAlways, "sync=off": SyncNever} {
		t.Run(name, func(t *testing.T) {
			logtest.Run(t, func(t *testing.T) eventlog.Store {
				l := mustOpen(t, t.TempDir(), Options{Durability: durability, FeedRetention: time.Hour})
				t.Cleanup(func() { checkEntries(t, l) })
				return l
			})
		})
	}
}
