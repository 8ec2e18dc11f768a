package live

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cartd/internal/eventlog"

	"github.com/prometheus/client_golang/prometheus"
)

// What waits in memory for one who watches, and for all of them. An event counts as its payload and eventCost.
const (
	maxEvents  = 64
	maxBytes   = 256 << 10
	eventCost  = 256
	totalBytes = 64 << 20
)

// again is how long the hub rests after an error of the feed.
const again = time.Second

// ErrClosed is returned after Close.
var ErrClosed = errors.New("streams are closed")

// Options tune a Hub.
type Options struct {
	// Every is how long the hub rests after a look at the feed, so that it reads many commits at once. Default: 10 ms.
	Every time.Duration
	// Metrics is told what happens. nil: nobody is.
	Metrics *Metrics
	// Logger gets what an operator should know. nil: it is discarded.
	Logger *slog.Logger
}

// Metrics counts what the hub does.
type Metrics struct {
	Behind prometheus.Counter // times that somebody had to go back to the log
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{Behind: prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_stream_fallbacks_total",
		Help: "Times that a stream of events was too slow, and went back to reading the log."})}
	reg.MustRegister(m.Behind)
	return m
}

// Hub tells who watches a stream of its events. Make it with New, end it with Close. Safe for concurrent use.
type Hub struct {
	feed eventlog.Feed
	opts Options
	ctx  context.Context // ends with Close
	quit context.CancelFunc

	mu      sync.Mutex // guards the following, and what is in the watches
	watches map[eventlog.StreamID][]*Watch
	bytes   int                // that wait
	stop    context.CancelFunc // of the goroutine that follows; nil when there is none
	running sync.WaitGroup     // added to with mu held, and not after Close
}

// New returns a hub of the feed. It has no goroutine until somebody watches.
func New(feed eventlog.Feed, opts Options) *Hub {
	if opts.Every <= 0 {
		opts.Every = 10 * time.Millisecond
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hub{feed: feed, opts: opts, watches: make(map[eventlog.StreamID][]*Watch)}
	h.ctx, h.quit = context.WithCancel(context.Background())
	return h
}

// Context ends when the hub is closed: so should all streams.
func (h *Hub) Context() context.Context { return h.ctx }

// Watch begins to put down the stream's events. Close the watch. The error is ErrClosed.
func (h *Hub) Watch(id eventlog.StreamID) (*Watch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, ErrClosed
	}
	w := &Watch{hub: h, id: id, news: make(chan struct{}, 1)}
	h.watches[id] = append(h.watches[id], w)
	if h.stop == nil {
		ctx, stop := context.WithCancel(h.ctx)
		h.stop = stop
		after := h.feed.Head()
		h.running.Go(func() { h.follow(ctx, after) })
	}
	return w, nil
}

// Close ends the streams' context, and returns when the hub's goroutine has ended.
func (h *Hub) Close() {
	h.mu.Lock()
	h.quit()
	h.mu.Unlock()
	h.running.Wait()
}

// follow puts events down until ctx ends, or the feed does.
func (h *Hub) follow(ctx context.Context, after uint64) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	rest := func(d time.Duration) bool {
		timer.Reset(d)
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for {
		select {
		case <-h.feed.Changed(after):
		case <-ctx.Done():
			return
		}
		var err error
		if after, err = h.look(ctx, after); err == nil {
			if !rest(h.opts.Every) {
				return
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, eventlog.ErrClosed) {
			h.quit()
			return
		}
		after = h.feed.Head()
		h.lost() // the logs have it
		if _, slow := errors.AsType[*eventlog.CompactedError](err); !slow {
			h.opts.Logger.Error("the feed cannot be read: streams read the carts' logs", "err", err)
			if !rest(again) {
				return
			}
		}
	}
}

// look puts down what is behind after, and returns the position of the last event that it has seen.
func (h *Hub) look(ctx context.Context, after uint64) (uint64, error) {
	for ev, err := range h.feed.ReadAll(ctx, after) {
		if err != nil {
			return after, err
		}
		h.put(&ev)
		after = ev.Position
	}
	return after, nil
}

// put puts ev down for those who watch its stream.
func (h *Hub) put(ev *eventlog.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var kept *eventlog.Event // shared by all
	for _, w := range h.watches[ev.Stream] {
		if cost := len(ev.Payload) + eventCost; !w.behind {
			if len(w.events) == maxEvents || w.bytes+cost > maxBytes || h.bytes+cost > totalBytes {
				w.forget()
			} else {
				if kept == nil {
					kept = new(*ev)
					kept.Payload = slices.Clone(ev.Payload)
				}
				w.events = append(w.events, kept)
				w.bytes += cost
				h.bytes += cost
			}
		}
		w.tell()
	}
}

// lost sends all back to their logs.
func (h *Hub) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ws := range h.watches {
		for _, w := range ws {
			w.forget()
			w.tell()
		}
	}
}

// Watch is what one who watches has to take. Its methods are for one goroutine.
type Watch struct {
	hub    *Hub
	id     eventlog.StreamID
	news   chan struct{} // capacity 1: when it is full there is something to take anyway
	events []*eventlog.Event
	bytes  int
	behind bool // there were more events than fit
}

// News receives when there may be something to take.
func (w *Watch) News() <-chan struct{} { return w.news }

// Take returns what came since it was called last, oldest first. behind is true when that was too much: then there are
// no events, and the stream's log, read from now on, has them. Events are shared and must not be changed.
func (w *Watch) Take() (events []*eventlog.Event, behind bool) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	events, behind = w.events, w.behind
	w.hub.bytes -= w.bytes
	w.events, w.bytes, w.behind = nil, 0, false
	return events, behind
}

// Close ends the watch. The hub's goroutine ends with the last one.
func (w *Watch) Close() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes -= w.bytes
	w.events, w.bytes = nil, 0
	left := slices.DeleteFunc(h.watches[w.id], func(other *Watch) bool { return other == w })
	if len(left) > 0 {
		h.watches[w.id] = left
		return
	}
	if delete(h.watches, w.id); len(h.watches) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// forget drops what waits: it is in the log. The hub's mu is held.
func (w *Watch) forget() {
	if !w.behind {
		w.hub.opts.Metrics.Behind.Inc()
	}
	w.hub.bytes -= w.bytes
	w.events, w.bytes, w.behind = nil, 0, true
}

// tell wakes who waits for news.
func (w *Watch) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}
