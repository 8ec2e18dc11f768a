package filelog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cartd/internal/eventlog/filelog/vfs/errfs"
	"cartd/internal/eventlog/logtest"
)

// TestHistoriesWithFailuresAreLinearizable: clients compete for streams in real files, a call on the journal fails, and
// they go on after a restart. What was of unknown outcome then is there or it is not, for good.
func TestHistoriesWithFailuresAreLinearizable(t *testing.T) {
	const streams, clients, restarts = 4, 3, 5
	failures := 0
	for seed := range uint64(4) {
		dir := t.TempDir()
		r := rand.New(rand.NewPCG(seed, 1))
		histories := make([]*logtest.History, streams)
		for i := range histories {
			histories[i] = logtest.NewHistory(logtest.Stream(t, fmt.Sprintf("c%d", i)), true)
		}
		for restart := range uint64(restarts) {
			op, left := []string{"WriteAt", "Datasync"}[r.IntN(2)], 3+r.IntN(12)
			l, err := Open(dir, Options{SegmentBytes: 8 << 10, CheckpointSegments: 1, FS: errfs.Wrap(openDir(t, dir), func(c errfs.Call) error {
				if c.Op == op && strings.HasPrefix(c.Name, "journal/") {
					if left--; left == 0 {
						return syscall.EIO
					}
				}
				return nil
			})})
			if err != nil {
				continue // it has met the failure
			}
			var wg sync.WaitGroup
			for i, h := range histories {
				for client := range uint64(clients) {
					wg.Go(func() { h.Client(t, l, rand.New(rand.NewPCG(seed*100+restart, uint64(i)*10+client))) })
				}
			}
			wg.Wait()
			if l.Cause() != nil {
				failures++
			}
			_ = l.Close() // may fail now, if it has not before
		}
		l := mustOpen(t, dir, Options{})
		for _, h := range histories {
			h.Read(t, l)
			h.Check(t)
		}
		checkEntries(t, l)
	}
	if failures == 0 {
		t.Error("nothing failed")
	}
}
