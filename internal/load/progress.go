package load

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress is a progress bar; nil draws nothing. Safe for concurrent use.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress returns a bar of total steps on w, of unknown length when total is negative, or nil when w is
// no terminal.
func newProgress(w io.Writer, total int64, what, unit string) *progress {
	f, ok := w.(*os.File)
	if !ok || f == nil || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return drawProgress(f, total, what, unit)
}

// drawProgress returns a bar on w, whatever that is.
func drawProgress(w io.Writer, total int64, what, unit string) *progress {
	return &progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// step moves the bar on by one. A terminal that cannot be written to is no reason to stop a load.
func (p *progress) step() {
	if p != nil {
		_ = p.bar.Add64(1)
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	if p != nil {
		_ = p.bar.Finish()
	}
}

// outage logs that requests are being repeated, at most once in quietFor: each of many workers meets the
// same outage many times.
type outage struct {
	log *slog.Logger

	mu      sync.Mutex // guards the two below
	last    time.Time
	repeats int // since last
}

const quietFor = 10 * time.Second

// warn is called before each repeat with its reason and the pause that comes first.
func (o *outage) warn(err error, pause time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.repeats++
	if now := time.Now(); now.Sub(o.last) >= quietFor {
		o.log.Warn("no outcome from the server, trying again", "err", err, "pause", pause, "repeats", o.repeats)
		o.last, o.repeats = now, 0
	}
}
