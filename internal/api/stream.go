package api

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/live"
	"cartd/internal/sse"

	"github.com/prometheus/client_golang/prometheus"
)

// EventLog is what streams and feeds of events are read from.
type EventLog interface {
	eventlog.Feed
	// Read yields a stream's events, as far as they were on stable storage when the loop began.
	Read(ctx context.Context, id eventlog.StreamID) iter.Seq2[eventlog.Event, error]
}

// Streams is what a server needs to send events as they come.
type Streams struct {
	Log EventLog
	Hub *live.Hub // its end is that of all streams
	// MaxCarts bounds the streams of carts that are open at once, MaxFeeds those of the feed of all. Default: 1,000 and 32.
	MaxCarts, MaxFeeds int
	// Heartbeat is after which silence a stream says that it is there. Default: 15 s.
	Heartbeat time.Duration
	// Patience is how long a client may take nothing. Default: 30 s.
	Patience time.Duration
	// Metrics is told what happens. nil: nobody is.
	Metrics *StreamMetrics
}

// StreamMetrics counts streams.
type StreamMetrics struct {
	open    *prometheus.GaugeVec
	refused *prometheus.CounterVec
	events  *prometheus.CounterVec
}

// NewStreamMetrics registers the metrics with reg.
func NewStreamMetrics(reg prometheus.Registerer) *StreamMetrics {
	label := []string{"of"}
	m := &StreamMetrics{
		open:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cartd_streams_open", Help: "Streams of events that are open: of a cart, or of the feed of all carts."}, label),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cartd_streams_refused_total", Help: "Streams of events that were refused because too many were open."}, label),
		events:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cartd_stream_events_total", Help: "Events that were sent in streams."}, label),
	}
	for _, of := range []string{ofCart, ofFeed} {
		m.open.WithLabelValues(of)
		m.refused.WithLabelValues(of)
		m.events.WithLabelValues(of)
	}
	reg.MustRegister(m.open, m.refused, m.events)
	return m
}

// What streams are of.
const (
	ofCart = "cart"
	ofFeed = "feed"
)

// reconnectAfter is how many milliseconds a client should wait before it comes back.
const reconnectAfter = "1000"

func (s *Streams) defaults() *Streams {
	var d Streams
	if s != nil {
		d = *s
	}
	if d.MaxCarts <= 0 {
		d.MaxCarts = 1000
	}
	if d.MaxFeeds <= 0 {
		d.MaxFeeds = 32
	}
	if d.Heartbeat <= 0 {
		d.Heartbeat = 15 * time.Second
	}
	if d.Patience <= 0 {
		d.Patience = 30 * time.Second
	}
	if d.Metrics == nil {
		d.Metrics = NewStreamMetrics(prometheus.NewRegistry())
	}
	return &d
}

// wantsStream reports whether r asks for a stream of events, at least as much as for JSON, and there are any.
func (s *server) wantsStream(r *http.Request) bool {
	if s.Streams.Log == nil {
		return false
	}
	accept := strings.Join(r.Header["Accept"], ",")
	stream := quality(accept, sse.ContentType)
	return stream > 0 && stream >= quality(accept, "application/json")
}

// quality returns how much the header Accept wants the media type, from 0 to 1; 0 if it does not name it, for "anything"
// is no wish for a stream. A weight that is none counts as 1.
func quality(accept, mediaType string) float64 {
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), mediaType) {
			continue
		}
		for param := range strings.SplitSeq(params, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			if q, err := strconv.ParseFloat(value, 64); err == nil && strings.EqualFold(name, "q") && 0 <= q && q <= 1 {
				return q
			}
		}
		return 1
	}
	return 0
}

// stream is an answer that goes on until its client or the server goes. It belongs to its handler.
type stream struct {
	ctx       context.Context // ends with the client, and with the hub
	cancel    context.CancelFunc
	w         http.ResponseWriter
	control   *http.ResponseController
	streams   *Streams
	heartbeat *time.Timer
	buf       []byte // what is not written yet
	count     prometheus.Counter
	left      func()

	mu    sync.Mutex // guards the following, and is held while a deadline is set
	ended bool       // from outside
	gone  bool       // the handler returns: its writer is not its own any more
}

const (
	flushBytes = 16 << 10 // from when on what is not written yet is
	keepBuffer = 4 << 10  // how much of a buffer an idle stream keeps
	lastWord   = time.Second
)

// openStream begins the answer. The caller closes the stream. The error is a problem for the client.
func (s *server) openStream(w http.ResponseWriter, r *http.Request, of string, places chan struct{}) (*stream, error) {
	metrics := s.Streams.Metrics
	select {
	case places <- struct{}{}:
	default:
		metrics.refused.WithLabelValues(of).Inc()
		return nil, fault("unavailable", "too many streams are open")
	}
	open := metrics.open.WithLabelValues(of)
	open.Inc()
	x := exchangeOf(r)
	x.streaming()
	st := &stream{w: w, control: http.NewResponseController(w), streams: s.Streams, count: metrics.events.WithLabelValues(of)}
	st.ctx, st.cancel = context.WithCancel(x.client)
	// The header's read deadline would end the stream as if the client had gone, and its write deadline would cut it.
	err := st.control.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(s.Streams.Hub.Context(), st.end)
	st.heartbeat = time.NewTimer(s.Streams.Heartbeat)
	st.left = func() {
		if !stop() { // end has begun
			st.mu.Lock()
			st.gone = true
			st.mu.Unlock()
		}
		st.cancel()
		st.heartbeat.Stop()
		open.Dec()
		<-places
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		st.left()
		return nil, err
	}
	h := w.Header()
	h.Set("Content-Type", sse.ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would wait for more
	w.WriteHeader(http.StatusOK)
	st.buf = append(st.buf, "retry: "+reconnectAfter+"\n\n"...)
	return st, nil
}

// end ends the stream from outside: what its handler is writing has a last second.
func (st *stream) end() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.gone {
		return
	}
	st.ended = true
	st.control.SetWriteDeadline(time.Now().Add(lastWord)) //nolint:errcheck // then it is the server's own
	st.cancel()
}

// close gives all back. What has been put and not written goes first, if somebody is there to read it.
func (st *stream) close() {
	st.flush() //nolint:errcheck // the client has gone
	st.left()
}

// put adds an event; data appends its JSON.
func (st *stream) put(id uint64, name string, ev *eventlog.Event) error {
	st.buf = sse.AppendType(sse.AppendID(st.buf, id), name)
	st.buf = append(st.buf, "data: "...)
	st.buf = append(AppendEvent(st.buf, ev), '\n', '\n')
	st.count.Inc()
	if len(st.buf) >= flushBytes {
		return st.flush()
	}
	return nil
}

// beat adds a sign of life: a comment, or the cursor if that is above 0.
func (st *stream) beat(cursor uint64) error {
	if cursor > 0 {
		st.buf = append(sse.AppendID(st.buf, cursor), '\n')
	} else {
		st.buf = sse.AppendComment(st.buf, "")
	}
	return st.flush()
}

// flush writes what was put. An error means that the client has gone, or takes nothing.
func (st *stream) flush() error {
	if len(st.buf) == 0 {
		return nil
	}
	st.mu.Lock()
	if !st.ended {
		if err := st.control.SetWriteDeadline(time.Now().Add(st.streams.Patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			st.mu.Unlock()
			return err
		}
	}
	st.mu.Unlock()
	_, err := st.w.Write(st.buf)
	if err == nil {
		err = st.control.Flush()
	}
	if st.buf = st.buf[:0]; cap(st.buf) > keepBuffer {
		st.buf = nil
	}
	st.heartbeat.Reset(st.streams.Heartbeat)
	return err
}
