package oplog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The sizes of a log.
const (
	newest    = 2000        // operations in memory, at least
	batchSize = 256         // operations that are stored together
	batchTime = time.Second // how long one waits at most to be stored with others
	maxWait   = 4096        // operations that wait for a store that fails
	retryMin  = 100 * time.Millisecond
	retryMax  = 30 * time.Second
	stopTime  = time.Second // that Close gives a store to hear that it is over
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("operation log is closed")

// Options of a log. The zero value keeps operations in memory only.
type Options struct {
	// Store, if not nil, is given all that is kept. The log closes it.
	Store Store
	// Routine keeps what is marked as routine too, in memory and in the store; else it is only counted.
	Routine bool
	// Failed, if not nil, hears each failure of the store and how many operations are waiting for it, and how many have been
	// dropped since the log was opened. It is called on the log's own goroutine.
	Failed func(err error, waiting, dropped int)
	// Metrics, if not nil, counts.
	Metrics *Metrics
	// Logger hears when the store fails and when it works again; nil for none.
	Logger *slog.Logger
}

// Log is the log of operations. All methods are safe for concurrent use.
type Log struct {
	opts    Options
	some    chan struct{} // has one when something waits to be stored
	full    chan struct{} // has one when a batch does
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when the store has been given all and closed
	stop    context.CancelFunc
	name    uuid.UUID // the first half of ids that are made here

	mu      sync.Mutex // guards the following
	closed  bool
	seq     uint64
	stats   stats
	ring    ring[Operation] // the newest, and all that waits
	waiting int             // of the ring's newest: they are to be stored
	writing int             // of these the oldest: the store is given them now
	gone    int             // out of the ring, and given to the store now
	dropped int             // of what was to be stored
	err     error           // of the store's closing; set before done

	batch []Operation // what the store is given; nobody but the goroutine that gives it changes it, with mu held
}

// Open returns a log that goes on behind what the store has, whose newest operations it reads.
func Open(ctx context.Context, opts Options) (*Log, error) {
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		opts: opts, some: make(chan struct{}, 1), full: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		name: uuid.New(), stats: newStats(), ring: newRing[Operation](newest),
	}
	l.name[6] = l.name[6]&0x0f | 0x80
	if opts.Store == nil {
		close(l.done)
		l.stop = func() {}
		return l, nil
	}
	l.ring = newRing[Operation](maxWait)
	for before := uint64(0); l.ring.len() < newest; { // pages of the newest, newest page first
		page, err := opts.Store.Query(ctx, Query{Tail: true, Before: before, Limit: MaxLimit})
		if err != nil {
			return nil, fmt.Errorf("read the newest operations: %w", errors.Join(err, opts.Store.Close()))
		}
		if len(page.Operations) == 0 {
			break
		}
		for i := len(page.Operations) - 1; i >= 0 && l.ring.len() < newest; i-- {
			l.ring.unget(page.Operations[i])
		}
		before = page.Operations[0].Seq
	}
	for i := range l.ring.len() {
		o := l.ring.get(i)
		l.seq = o.Seq
		l.stats.add(o)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.run(run)
	return l, nil
}

// Record adds an operation. It returns at once: what is wrong with an operation that is not valid, ErrClosed after Close;
// nil says nothing of the store.
func (l *Log) Record(o Operation) error {
	if err := o.check(); err != nil {
		return err
	}
	o.Time = o.Time.UTC().Truncate(time.Microsecond)

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.stats.add(&o)
	if o.Routine && !l.opts.Routine {
		return nil
	}
	o.Routine = false
	l.seq++
	o.Seq = l.seq
	if o.ID == uuid.Nil {
		o.ID = l.newID()
	}
	l.ring.put(o)
	switch {
	case l.opts.Store == nil:
		return nil
	case l.waiting < l.ring.len():
		l.waiting++
	case l.writing > 0: // it has taken the place of one that the store may still take
		l.writing--
		l.gone++
	default:
		l.drop(1)
	}
	switch {
	case l.writing > 0: // whoever writes looks again
	case l.waiting == 1:
		signal(l.some)
	case l.waiting == batchSize:
		signal(l.full)
	}
	return nil
}

// newID returns an id of this log's own 60 random bits and the operation's number (RFC 9562, version 8): random bits for each
// would cost more than all the rest of Record.
func (l *Log) newID() uuid.UUID {
	id := l.name
	binary.BigEndian.PutUint64(id[8:], l.seq)
	id[8] = id[8]&0x3f | 0x80
	return id
}

// signal puts one into a channel with room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has one
	}
}

// Stats returns the counts of now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats.snapshot()
}

// Query returns operations by Seq, those from memory that are there and the others from the store.
func (l *Log) Query(ctx context.Context, q Query) (Page, error) {
	if q.Limit < 1 || q.Limit > MaxLimit {
		return Page{}, fmt.Errorf("limit %d: want 1 to %d", q.Limit, MaxLimit)
	}
	recent, from, head := l.recent(&q)
	var page Page
	if l.opts.Store != nil && q.After+1 < from && (!q.Tail || len(recent) < q.Limit) {
		old := q
		old.Before = from
		if q.Before != 0 {
			old.Before = min(from, q.Before)
		}
		if q.Tail {
			old.Limit -= len(recent)
		}
		var err error
		if page, err = l.opts.Store.Query(ctx, old); err != nil {
			return Page{}, fmt.Errorf("read operations: %w", err)
		}
		if !q.Tail && (len(page.Operations) >= q.Limit || page.Next+1 < old.Before) {
			return page, nil // there may be more in the store
		}
	}
	page.Operations = append(page.Operations, recent...)
	page.Next = max(head, q.After)
	switch {
	case q.Tail:
		page.Operations = page.Operations[max(0, len(page.Operations)-q.Limit):]
	case len(page.Operations) > q.Limit:
		page.Operations = page.Operations[:q.Limit]
		fallthrough
	case len(page.Operations) == q.Limit:
		page.Next = page.Operations[q.Limit-1].Seq
	}
	if page.Operations == nil {
		page.Operations = []Operation{} // a list in JSON
	}
	return page, nil
}

// recent returns what q selects of the operations in memory, up to its limit, from which Seq on they are all there, and
// the newest one's.
func (l *Log) recent(q *Query) (ops []Operation, from, head uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.seq + 1
	if l.ring.len() > 0 {
		from = l.ring.get(0).Seq
	}
	if l.gone > 0 {
		from = l.batch[0].Seq
	}
	for i := range l.gone {
		if o := &l.batch[i]; q.Selects(o) {
			ops = append(ops, *o)
		}
	}
	for i := range l.ring.len() {
		if o := l.ring.get(i); q.Selects(o) {
			ops = append(ops, *o)
		}
	}
	if q.Tail {
		ops = ops[max(0, len(ops)-q.Limit):]
	} else {
		ops = ops[:min(len(ops), q.Limit)]
	}
	return ops, from, l.seq
}

// Close gives the store what waits, and closes it. What still waits at the end of ctx is lost, and the error says how much
// that is. A store that does not hear of that end is left behind after another second, with ctx's error. Close twice is
// harmless.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		l.stop()
		timer := time.NewTimer(stopTime)
		defer timer.Stop()
		select {
		case <-l.done:
		case <-timer.C: // a disk that hangs must not keep the process from ending
			return fmt.Errorf("close the operation log: %w", ctx.Err())
		}
	}
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
