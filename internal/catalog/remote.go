package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// failureTTL is how long a known answer is served without trying the failing backend again. With
// less, each shopper would wait for all tries during an outage; with more, a backend that is back
// is noticed late.
const failureTTL = time.Second

var errClosed = errors.New("catalogue is closed")

// remote is a source that asks a backend over HTTP for each key, and keeps the answers.
type remote[T any] struct {
	template   template
	decode     func(answer []byte, id string) (T, error)
	client     *http.Client
	slots      chan struct{} // one element per request at the backend; full: a look-up waits its time limit
	options    Options       // with defaults
	calls      calls         // what is counted
	listAnswer bool          // the answer is a whole list: a 404 says nothing about one entry

	running sync.WaitGroup // one per flight; only grows while closed is false

	mu      sync.Mutex // guards what follows; never held during I/O
	known   *cache[T]
	unknown *cache[struct{}] // apart from known, so that made-up SKUs cannot push real ones out
	flights map[key]*flight[T]
	closed  bool
}

// flight is one look-up at the backend and all who wait for it. golang.org/x/sync/singleflight
// knows neither when the last caller has left, which is when the request should end, nor how to
// wait for what still runs at Close.
type flight[T any] struct {
	cancel  context.CancelCauseFunc
	waiters int           // guarded by remote.mu
	done    chan struct{} // closed once value and err are set
	value   T
	err     error
}

func newRemote[T any](t template, decode func(answer []byte, id string) (T, error), opts Options, source string) *remote[T] {
	r := &remote[T]{
		template: t,
		decode:   decode,
		slots:    make(chan struct{}, opts.Concurrency),
		options:  opts,
		calls:    opts.Metrics.of(source),
		known:    newCache[T](opts.CacheEntries),
		unknown:  newCache[struct{}](opts.CacheEntries),
		flights:  make(map[key]*flight[T]),
	}
	transport := opts.Transport
	if transport == nil {
		// Connecting may take half of a try, so that a host that is gone leaves time for another.
		connect := opts.TryTimeout / 2
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: connect}).DialContext,
			TLSHandshakeTimeout:    connect,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        opts.Concurrency,
			MaxIdleConnsPerHost:    opts.Concurrency,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	r.client = &http.Client{
		Transport: transport,
		// A redirect is an answer like any other that is no product: following it would let the
		// backend, or who can answer in its place, point cartd at any other server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return r
}

// get returns the entry for k: one that is kept if it is fresh, otherwise the backend's answer,
// which all who ask for k meanwhile share. When ctx ends it returns at once, and the others go on.
func (r *remote[T]) get(ctx context.Context, k key) (T, error) {
	var zero T
	if k.country != "" && !isUpper(k.country, 2) {
		return zero, fmt.Errorf("country is not two letters: %w", errNotFound)
	}
	if !r.template.hasCountry {
		k.country = "" // one answer for all
	}
	if ctx.Err() != nil {
		return zero, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}

	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return zero, fmt.Errorf("%w: %w", ErrUnavailable, errClosed)
	}
	now := time.Now()
	if e := r.known.get(k); e != nil && now.Before(e.until) {
		r.mu.Unlock()
		return e.value, nil
	}
	if e := r.unknown.get(k); e != nil && now.Before(e.until) {
		r.mu.Unlock()
		return zero, errNotFound
	}
	f := r.flights[k]
	if f == nil {
		// The flight outlives the caller who began it, but keeps the values of its context.
		shared, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		f = &flight[T]{cancel: cancel, done: make(chan struct{})}
		r.flights[k] = f
		r.running.Go(func() { r.fly(shared, k, f) })
	}
	f.waiters++
	r.mu.Unlock()

	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		r.leave(k, f)
		return zero, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// leave takes one waiter off f, and ends it if that was the last one.
func (r *remote[T]) leave(k key, f *flight[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	if r.flights[k] == f {
		delete(r.flights, k) // who comes now needs a flight that is not ending
	}
	f.cancel(errors.New("nobody waits for it any more"))
}

// fly asks the backend, keeps what it answered and hands it to all who wait.
func (r *remote[T]) fly(ctx context.Context, k key, f *flight[T]) {
	defer f.cancel(nil)
	asked := time.Now()
	value, err := r.fetch(ctx, k)

	r.mu.Lock()
	if r.flights[k] == f {
		delete(r.flights, k)
	}
	now := time.Now()
	switch {
	case err == nil:
		r.known.put(cached[T]{key: k, value: value, asked: asked, until: asked.Add(r.options.TTL)})
	case errors.Is(err, errNotFound):
		r.known.remove(k)
		r.unknown.put(cached[struct{}]{key: k, asked: asked, until: asked.Add(r.options.UnknownTTL)})
	case ctx.Err() == nil: // the backend failed, nobody ended the flight
		e := r.known.get(k)
		if e == nil {
			break
		}
		tooOld := e.asked.Add(r.options.MaxStale)
		if !now.Before(tooOld) {
			r.known.remove(k)
			break
		}
		e.until = now.Add(failureTTL)
		if tooOld.Before(e.until) {
			e.until = tooOld
		}
		value, err = e.value, nil
	}
	r.mu.Unlock()

	f.value, f.err = value, err
	close(f.done)
}

func (r *remote[T]) close() {
	r.mu.Lock()
	r.closed = true
	for _, f := range r.flights {
		f.cancel(errClosed)
	}
	r.mu.Unlock()
	r.running.Wait()
	r.client.CloseIdleConnections()
}

// remoteList is a source that asks a backend for the whole list of a country.
type remoteList[T any] struct{ lists *remote[table[T]] }

func newRemoteList[T any](t template, decode func([]byte) (table[T], error), opts Options, source string) remoteList[T] {
	r := newRemote(t, func(answer []byte, _ string) (table[T], error) { return decode(answer) }, opts, source)
	r.listAnswer = true
	return remoteList[T]{r}
}

func (l remoteList[T]) get(ctx context.Context, k key) (T, error) {
	list, err := l.lists.get(ctx, key{country: k.country})
	if err != nil {
		var zero T
		return zero, err
	}
	return list.get(ctx, k)
}

func (l remoteList[T]) close() { l.lists.close() }
