package subscription

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"cartd/internal/eventlog"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxSubscriptions is how many there may be.
const MaxSubscriptions = 32

// Log is what subscriptions are to.
type Log interface {
	eventlog.Feed
	// Writable returns an error while the disk is too full to be written to.
	Writable() error
}

// Options are what a Manager is made of. Log and Event are required.
type Options struct {
	Log Log
	// Event appends an event as clients see it: JSON.
	Event func(b []byte, ev *eventlog.Event) []byte
	// Backlog is how many events behind the head are kept for subscriptions beyond the feed's retention. Default: 1,000,000.
	Backlog uint64
	// Timeout bounds one call of a webhook. Default: 15 s.
	Timeout time.Duration
	// GiveUp is after how long a failing event becomes a dead letter. Default: 24 h.
	GiveUp time.Duration
	// Transport carries the calls. Default: one of its own.
	Transport http.RoundTripper
	// FirstRetry is about how long the second try comes behind the first. Default: 1 s.
	FirstRetry time.Duration
	// Metrics is told what happens. nil: nobody is.
	Metrics *Metrics
	// Logger gets what an operator should know. nil: it is discarded.
	Logger *slog.Logger
}

var (
	// ErrNotFound means that there is no subscription of this name.
	ErrNotFound = errors.New("there is no such subscription")
	// ErrExists means that there is another subscription of this name.
	ErrExists = errors.New("there is a subscription of this name with other properties")
	// ErrTooMany means that there are MaxSubscriptions.
	ErrTooMany = fmt.Errorf("there are %d subscriptions already", MaxSubscriptions)
	// ErrHasWebhook means that a subscription cannot be acknowledged by hand.
	ErrHasWebhook = errors.New("the subscription has a webhook, whose deliveries move it")
	// ErrUnavailable means that subscriptions cannot be read or stored.
	ErrUnavailable = errors.New("subscriptions cannot be stored")
)

// checkpointEvery is how often what webhooks have delivered is stored.
const checkpointEvery = time.Second

// Manager keeps all subscriptions. Make it with Open, end it with Close. Safe for concurrent use.
type Manager struct {
	opts   Options
	db     db
	broken error // why the database cannot be used; for good
	client *http.Client
	quit   context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup // the clock

	// changing is held while the database is changed. It comes before mu.
	changing sync.Mutex

	mu   sync.Mutex // guards the following, and what is in them
	subs map[string]*sub
	pin  *eventlog.Pin // nil without subscriptions
}

// sub is a subscription in memory.
type sub struct {
	record
	key       []byte      // of the webhook's signatures
	stored    uint64      // Position as it is in the database
	delivery  *dispatcher // nil without a webhook
	lastError string
}

// Info is a subscription as its owner sees it.
type Info struct {
	Name     string
	Types    []string
	Created  time.Time
	Position uint64 // up to which all is acknowledged or delivered
	Missed   uint64 // events that went before they could be delivered
	URL      string // of the webhook; "" without one
	Dead     uint64 // dead letters there ever were
	Failing  int    // carts whose next event has failed and is tried again
	Error    string // of the last try that failed; "" if the last one succeeded
	Secret   string // of the webhook, in the answer to Create alone, if it has made the subscription
}

// Open opens the subscriptions in the database at path, which need not be there, and begins to deliver. A database that
// cannot be read is told to the Logger: all calls return ErrUnavailable then, and nothing is delivered.
func Open(path string, opts Options) *Manager {
	opts.Backlog = cmp.Or(opts.Backlog, 1_000_000)
	opts.Timeout = cmp.Or(opts.Timeout, 15*time.Second)
	opts.GiveUp = cmp.Or(opts.GiveUp, 24*time.Hour)
	opts.FirstRetry = cmp.Or(opts.FirstRetry, time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if opts.Transport == nil {
		opts.Transport = newTransport()
	}
	m := &Manager{opts: opts, db: db{path: path}, subs: make(map[string]*sub), client: newClient(opts.Transport, opts.Timeout)}
	m.ctx, m.quit = context.WithCancel(context.Background())
	if m.broken = m.load(); m.broken != nil {
		opts.Logger.Error("subscriptions cannot be read: nothing is delivered", "file", path, "err", m.broken)
	}
	opts.Metrics.manager.Store(m)
	m.move()
	m.wg.Go(m.clock)
	return m
}

func (m *Manager) load() error {
	if err := m.db.open(); err != nil {
		return err
	}
	all, err := m.db.all()
	if err != nil {
		return err
	}
	earliest, err := eventlog.Earliest(m.ctx, m.opts.Log)
	if err != nil && len(all) > 0 {
		return err
	}
	var subs []*sub
	for _, r := range all {
		s := &sub{record: r, stored: r.Position}
		if r.URL != "" {
			if s.key, err = ParseSecret(r.Secret); err != nil {
				return fmt.Errorf("subscription %s: %w", r.Name, err)
			}
		}
		if present := m.opts.Log.Incarnation().String(); r.Incarnation != present || r.Position > m.opts.Log.Head() {
			m.opts.Logger.Warn("a subscription is of another log: it begins with the earliest event of this one", "subscription", r.Name, "was", r.Position, "begins_after", earliest)
			s.Incarnation, s.Position = present, earliest
			if err := m.db.put(&s.record); err != nil {
				return err
			}
			s.stored = s.Position
		}
		subs = append(subs, s)
	}
	for _, s := range subs {
		m.subs[s.Name] = s
		if s.URL != "" {
			s.delivery = m.deliver(s)
		}
	}
	return nil
}

// Close ends all deliveries and stores how far they have come. The log is closed after it, and still asked to keep what
// subscriptions wait for: it lets go of old segments then, too.
func (m *Manager) Close() error {
	m.quit()
	m.wg.Wait()
	m.mu.Lock()
	var all []*dispatcher
	for _, s := range m.subs {
		if s.delivery != nil {
			all = append(all, s.delivery)
		}
	}
	m.mu.Unlock()
	for _, d := range all {
		d.stop()
	}
	m.checkpoint()
	m.client.CloseIdleConnections()
	return m.db.close()
}

// clock stores checkpoints and moves the pin.
func (m *Manager) clock() {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !errors.Is(m.opts.Log.Writable(), eventlog.ErrLowSpace) { // what room there is is the shoppers'
				m.checkpoint()
			}
			m.move()
		case <-m.ctx.Done():
			return
		}
	}
}

// checkpoint stores how far webhooks have come.
func (m *Manager) checkpoint() {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.mu.Lock()
	var late []record
	for _, s := range m.subs {
		if s.Position != s.stored {
			late = append(late, s.record)
		}
	}
	m.mu.Unlock()
	for _, r := range late {
		if err := m.db.put(&r); err != nil {
			m.opts.Logger.Error("a subscription's checkpoint cannot be stored", "subscription", r.Name, "err", err)
			continue
		}
		m.mu.Lock()
		if s := m.subs[r.Name]; s != nil {
			s.stored = r.Position
		}
		m.mu.Unlock()
	}
}

// move asks the log to keep what subscriptions wait for, up to the backlog; the whole of it while nobody knows what they
// wait for, because the database cannot be read.
func (m *Manager) move() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.subs) == 0 && m.broken == nil {
		if m.pin != nil {
			m.pin.Release()
			m.pin = nil
		}
		return
	}
	least := m.opts.Log.Head()
	bound := least - min(least, m.opts.Backlog)
	if m.broken != nil {
		least = bound
	}
	for _, s := range m.subs {
		least = min(least, max(s.stored, bound))
	}
	if m.pin == nil {
		m.pin = m.opts.Log.Pin(least)
	} else {
		m.pin.Move(least)
	}
}

// Create makes a subscription to what follows a position, that of the log's head if after is nil. made is false, and nothing
// is changed, when it is there already with the same properties. It is on stable storage when Create returns. Errors: a
// *FieldError, ErrExists, ErrTooMany, ErrUnavailable.
func (m *Manager) Create(def Definition, after *uint64) (info Info, made bool, err error) {
	r, key, err := def.record()
	if err != nil {
		return Info{}, false, err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.broken != nil {
		return Info{}, false, fmt.Errorf("%w: %w", ErrUnavailable, m.broken)
	}
	m.mu.Lock()
	old, n := m.subs[r.Name], len(m.subs)
	if old != nil {
		defer m.mu.Unlock()
		if !old.is(&def) {
			return Info{}, false, ErrExists
		}
		return old.info(), false, nil
	}
	m.mu.Unlock()
	if n >= MaxSubscriptions {
		return Info{}, false, ErrTooMany
	}
	if err := m.opts.Log.Writable(); err != nil { // what room there is is the shoppers'
		return Info{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	r.Created, r.Incarnation, r.Position = time.Now().UTC().Truncate(time.Millisecond), m.opts.Log.Incarnation().String(), m.opts.Log.Head()
	if after != nil {
		r.Position = *after
	}
	if err := m.db.put(&r); err != nil {
		return Info{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	m.mu.Lock()
	s := &sub{record: r, key: key, stored: r.Position}
	m.subs[r.Name] = s
	if s.URL != "" && m.ctx.Err() == nil {
		s.delivery = m.deliver(s)
	}
	info = s.info()
	info.Secret = s.Secret
	m.mu.Unlock()
	m.move()
	return info, true, nil
}

// Delete ends a subscription. Nothing is delivered any more when it returns. Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Delete(name string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	s, err := m.get(name)
	if err != nil {
		return err
	}
	if err := m.db.remove(name); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	m.mu.Lock()
	delete(m.subs, name)
	m.mu.Unlock()
	if s.delivery != nil {
		m.changing.Unlock() // it may be about to bury a letter
		s.delivery.stop()
		m.changing.Lock()
	}
	m.move()
	return nil
}

// Ack moves a subscription's checkpoint to position; one behind it changes nothing. It is on stable storage when Ack returns.
// The caller has compared position with the log's head. Errors: ErrNotFound, ErrHasWebhook, ErrUnavailable.
func (m *Manager) Ack(name string, position uint64) (Info, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	s, err := m.get(name)
	if err != nil {
		return Info{}, err
	}
	m.mu.Lock()
	r := s.record
	m.mu.Unlock()
	if r.URL != "" {
		return Info{}, ErrHasWebhook
	}
	if position > r.Position {
		r.Position = position
		if err := m.db.put(&r); err != nil {
			return Info{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		m.mu.Lock()
		s.Position, s.stored = position, position
		m.mu.Unlock()
		m.move()
	}
	return m.Get(name)
}

// Get returns a subscription. Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Get(name string) (Info, error) {
	s, err := m.get(name)
	if err != nil {
		return Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.info(), nil
}

func (m *Manager) get(name string) (*sub, error) {
	if m.broken != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, m.broken)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.subs[name]; s != nil {
		return s, nil
	}
	return nil, ErrNotFound
}

// List returns all subscriptions by name. The error is ErrUnavailable.
func (m *Manager) List() ([]Info, error) {
	if m.broken != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, m.broken)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Info, 0, len(m.subs))
	for _, s := range m.subs {
		all = append(all, s.info())
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// DeadLetters returns those of a subscription behind a position, by position, limit at the most. Errors: ErrNotFound,
// ErrUnavailable.
func (m *Manager) DeadLetters(name string, after uint64, limit int) ([]DeadLetter, error) {
	if _, err := m.get(name); err != nil {
		return nil, err
	}
	letters, err := m.db.dead(name, after, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return letters, nil
}

// lag returns how many events the one that is furthest behind has not been told, of whatever kind, and how many there are.
func (m *Manager) lag() (events uint64, subs int) {
	head := m.opts.Log.Head()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.subs {
		events = max(events, head-min(head, s.Position))
	}
	return events, len(m.subs)
}

// info returns what the owner sees. The Manager's mu is held.
func (s *sub) info() Info {
	i := Info{Name: s.Name, Types: slices.Clone(s.Types), Created: s.Created, Position: s.Position, Missed: s.Missed, URL: s.URL, Dead: s.Dead, Error: s.lastError}
	if s.delivery != nil {
		i.Failing = s.delivery.failing
	}
	return i
}

// is reports whether def says what s is. A secret that it leaves out is any.
func (s *sub) is(def *Definition) bool {
	if !slices.Equal(s.Types, def.Types) {
		return false
	}
	if def.Webhook == nil {
		return s.URL == ""
	}
	return s.URL == def.Webhook.URL && (def.Webhook.Secret == "" || s.Secret == def.Webhook.Secret)
}
