package filelog

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cartd/internal/eventlog/filelog/vfs"

	"github.com/prometheus/client_golang/prometheus"
)

// lookEvery is how often the disk is looked at when nobody asks.
const lookEvery = time.Second

// space knows whether there is room. Between two looks at the disk it counts what was accepted.
type space struct {
	fs     vfs.FS
	mark   uint64        // bytes that are left free; 0: there is always room
	kick   chan struct{} // capacity 1: asks for a look; when it is full one is due anyway
	gauge  prometheus.Gauge
	logger *slog.Logger

	// reclaim frees so many bytes that are kept for readers only, and reports whether it has freed any. It is asked when
	// there is less room than headroom. nil: nothing is kept.
	reclaim  func(bytes int64) bool
	headroom int64 // bytes

	low atomic.Bool // set with mu held

	mu      sync.Mutex // guards the following
	starved bool       // there is no room for the journal's next segment
	room    int64      // above the mark, less what was accepted since
	pending int64      // accepted and not written yet
	since   int64      // accepted since the look that runs began
	spent   bool       // the last reclaim has freed nothing
}

// starve says whether there is room for the journal's next segment. Without, appends are refused, even with no mark.
func (sp *space) starve(is bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.starved = is
	sp.setLow(is || sp.mark > 0 && sp.room <= 0)
}

// take reports whether n bytes may be written. They are pending until give.
func (sp *space) take(n int) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.low.Load() {
		return false // the next tick looks
	}
	if sp.mark == 0 {
		return true
	}
	if sp.room < int64(n) {
		sp.ask()
		return false
	}
	sp.room -= int64(n)
	sp.pending += int64(n)
	sp.since += int64(n)
	if sp.room < sp.headroom && !sp.spent {
		sp.ask()
	}
	return true
}

// ask asks for a look.
func (sp *space) ask() {
	select {
	case sp.kick <- struct{}{}:
	default:
	}
}

// reserve is take for the journal's next segment, which may be what makes the disk low.
func (sp *space) reserve(n int) bool {
	if sp.mark == 0 {
		return true
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.room < int64(n) {
		sp.ask()
		return false
	}
	sp.room -= int64(n)
	sp.pending += int64(n)
	sp.since += int64(n)
	return true
}

// give says that n bytes are not pending any more: they are in the free space that the next look finds, or were
// never written.
func (sp *space) give(n int) {
	if sp.mark == 0 || n == 0 {
		return
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.pending -= int64(n)
}

func (sp *space) isLow() bool { return sp.low.Load() }

// look asks the file system whether there is room.
func (sp *space) look() error {
	if sp.mark == 0 {
		return nil
	}
	if _, err := sp.measure(); err != nil {
		return err
	}
	sp.judge()
	return nil
}

// measure asks the file system. Bytes that are written while it looks count twice, which errs on the safe side.
func (sp *space) measure() (room int64, err error) {
	sp.mu.Lock()
	pending := sp.pending
	sp.since = 0
	sp.mu.Unlock()
	free, err := sp.fs.Free()
	if err != nil {
		return 0, err
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.room = int64(min(free, 1<<62)) - int64(min(sp.mark, 1<<62)) - pending - sp.since
	return sp.room, nil
}

func (sp *space) judge() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.setLow(sp.room <= 0 || sp.starved)
}

// clear is look that frees first, when there is little room, what is kept for readers.
func (sp *space) clear() error {
	room, err := sp.measure()
	if err != nil {
		return err
	}
	if short := sp.headroom - room; sp.reclaim != nil && short > 0 {
		freed := sp.reclaim(short)
		sp.mu.Lock()
		sp.spent = !freed
		sp.mu.Unlock()
		if freed {
			if _, err := sp.measure(); err != nil {
				return err
			}
		}
	}
	sp.judge()
	return nil
}

// setLow is called with mu held.
func (sp *space) setLow(low bool) {
	if low == sp.low.Load() {
		return
	}
	sp.low.Store(low)
	if low {
		sp.gauge.Set(1)
		sp.logger.Warn("event log is low on disk space: appends are refused", "low_mark_bytes", sp.mark)
		return
	}
	sp.gauge.Set(0)
	sp.logger.Info("event log has disk space again", "low_mark_bytes", sp.mark)
}

// watch looks every lookEvery, and when asked, until stop is closed.
func (sp *space) watch(stop <-chan struct{}) {
	sp.ask() // nothing could be freed so far
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		case <-sp.kick:
		}
		err := sp.clear()
		if err != nil && (last == nil || !errors.Is(err, last)) {
			sp.logger.Error("event log cannot look at the disk space", "error", err)
		}
		last = err
	}
}
