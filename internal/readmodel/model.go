package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
)

// ErrBuilding means that the model is being built and knows only part of the carts.
var ErrBuilding = errors.New("the list of carts is being built")

// Log is what the model needs of the event log.
type Log interface {
	eventlog.Feed
	// Failed is closed when the log has failed for good.
	Failed() <-chan struct{}
	// Writable returns an error that wraps eventlog.ErrLowSpace while the disk is too full to be written to.
	Writable() error
}

// Options are what a Model is made of. Store and Read are required.
type Options struct {
	Store Log
	// Read returns what a cart is on stable storage now. Called from one goroutine.
	Read func(ctx context.Context, id eventlog.StreamID) (grain.Summary, error)
	// Every is how often the rows are written while carts change and nobody asks. Default: 1 s.
	Every time.Duration
	// Metrics is told what happens. nil: nobody is.
	Metrics *Metrics
	// Logger gets what an operator should know. nil: it is discarded.
	Logger *slog.Logger
}

// Metrics counts what the model does.
type Metrics struct {
	Lag    prometheus.Gauge   // events that are not in the rows yet, at the last write
	Reads  prometheus.Counter // carts whose log was read
	Builds prometheus.Counter // databases built anew
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Lag:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "cartd_read_model_lag_events", Help: "Events that the list of carts lacked after it was written last."}),
		Reads:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_read_model_reads_total", Help: "Logs read for the list of carts."}),
		Builds: prometheus.NewCounter(prometheus.CounterOpts{Name: "cartd_read_model_builds_total", Help: "Times that the list of carts was built anew."}),
	}
	reg.MustRegister(m.Lag, m.Reads, m.Builds)
	return m
}

// Model is the read model. Make it with [Open]. Safe for concurrent use.
type Model struct {
	opts   Options
	path   string
	notes  notes
	rows   eventlog.Tail // up to which position the rows know the log
	ready  atomic.Bool   // the rows have all carts
	broken atomic.Bool   // a reader has found what does not check out
	asked  chan struct{} // capacity 1: somebody waits for rows; when it is full a round is due anyway
	quit   context.CancelFunc
	wg     sync.WaitGroup

	position uint64        // of the goroutine that writes
	trusted  bool          // the same's: the notes have all that was told and is not in the rows
	pin      *eventlog.Pin // of what the rows do not know

	mu sync.RWMutex // held for reading while db is read, for writing while it is replaced
	db *bbolt.DB    // nil after Close
}

// Open opens the model whose database is at path, made if need be, and keeps it up to date until Close. It returns
// before a model that has to be built is. A database that cannot be opened or made is told to the Logger and tried again
// later: there is no list until then, and all else works. Only one process may use it.
func Open(path string, opts Options) *Model {
	if opts.Every <= 0 {
		opts.Every = time.Second
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Model{opts: opts, path: path, asked: make(chan struct{}, 1)}
	usable, err := m.load()
	if err != nil {
		opts.Logger.Warn("list of carts cannot be read: it is built anew", "file", path, "error", err)
	}
	m.pin = opts.Store.Pin(m.position)
	m.ready.Store(usable)
	m.rows.Advance(m.position)
	m.notes.told(0, m.position)
	ctx, quit := context.WithCancel(context.Background())
	m.quit = quit
	m.wg.Go(func() { m.run(ctx) })
	return m
}

// load opens the database, and reports whether its rows are of use.
func (m *Model) load() (usable bool, err error) {
	if _, err := os.Stat(m.path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	err = contained(func() error {
		m.db, err = openDB(m.path)
		return err
	})
	if err != nil {
		m.db = nil
		return false, err
	}
	s, usable, err := readState(m.db)
	head := m.opts.Store.Head()
	if err != nil || !usable || s.Incarnation != m.opts.Store.Incarnation().String() || s.Position > head || s.Head > head {
		return false, err
	}
	m.position = s.Position
	return true, nil
}

// Note tells of a cart as a commit has left it that is on stable storage. The model keeps s, which must not change. It
// returns at once.
func (m *Model) Note(s *grain.Summary) { m.notes.add(s) }

// Told says that Note was called for all that a commit on stable storage has changed. Its last event is at position, and
// it has so many events. It returns at once.
func (m *Model) Told(position uint64, events int) { m.notes.told(position-uint64(events), position) }

// Drop deletes the rows of carts that are not to be listed any more, unless they have changed since rows were read. A
// row that is lost again, or comes again because the log is read once more, is dropped the next time.
func (m *Model) Drop(rows []grain.Summary) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.db == nil || !m.ready.Load() {
		return ErrBuilding
	}
	return contained(func() error {
		return m.db.Update(func(tx *bbolt.Tx) error {
			w, err := newWriter(tx)
			for i := 0; i < len(rows) && err == nil; i++ {
				err = w.drop(&rows[i])
			}
			return err
		})
	})
}

// Position returns up to which position of the log the rows know everything.
func (m *Model) Position() uint64 { return m.rows.Head() }

// Ready reports whether the rows have all carts; while they are being built they have not.
func (m *Model) Ready() bool { return m.ready.Load() }

// Fresh waits until the rows know all that was on stable storage when it was called. It returns ErrBuilding while they
// are being built, and ctx's cause when that ends first.
func (m *Model) Fresh(ctx context.Context) error {
	for head := m.opts.Store.Head(); ; {
		if !m.ready.Load() {
			return ErrBuilding
		}
		if m.rows.Head() >= head {
			return nil
		}
		changed := m.rows.Changed(head - 1)
		m.ask()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *Model) ask() {
	select {
	case m.asked <- struct{}{}:
	default:
	}
}

// Close writes what is known, while the log is open still, and closes the database. It waits for that.
func (m *Model) Close() error {
	m.quit()
	m.wg.Wait()
	m.pin.Release()
	m.ready.Store(false)
	m.rows.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return nil
	}
	err := m.db.Close()
	m.db = nil
	if err != nil {
		return fmt.Errorf("close read model: %w", err)
	}
	return nil
}
