package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/api"
	"cartd/internal/catalog"
	"cartd/internal/cluster"
	"cartd/internal/courier"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/memlog"
	"cartd/internal/grain"
	"cartd/internal/oplog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

const token = "secret-of-the-backend"

// shop is a whole cartd on a store in memory, with a catalogue that can be taken away.
type shop struct {
	t       testing.TB
	url     string
	handler http.Handler
	store   *memlog.Log
	grains  *cluster.Single
	reg     *prometheus.Registry
	catalog *switchedCatalog
	courier *courier.Courier
	ahead   atomic.Int64 // nanoseconds by which the clock of the carts is
}

// openShop starts a shop; change may alter what it is made of.
func openShop(t testing.TB, change func(*api.Options)) *shop {
	t.Helper()
	s := &shop{t: t, store: memlog.New(), reg: prometheus.NewRegistry(), catalog: &switchedCatalog{}}
	products, err := catalog.Open(t.Context(), "demo", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.catalog.Catalog = products
	deliveries, err := catalog.OpenDeliveries(t.Context(), "demo", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	vouchers, err := catalog.OpenVouchers(t.Context(), "demo", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	registry := grain.Registry(grain.Limits{})
	s.grains = cluster.NewSingle(logger)
	s.courier = courier.New(s.grains, courier.Options{})
	observer := grain.NewObserver(s.reg, eventlog.NewMetrics(s.reg), logger)
	s.grains.Register("voucher", func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.VoucherConfig(s.store, grain.Options{Observer: observer, Stopped: stopped}))
	})
	s.grains.Register("cart", func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.Config(s.store, grain.Limits{}, grain.Options{
			Observer: observer, Stopped: stopped, Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) },
			Send: s.courier.Sender("cart"),
		}))
	})
	opts := api.Options{
		Carts: s.grains, Catalog: s.catalog, Deliveries: deliveries, Vouchers: vouchers, Events: pages{s.store}, History: grain.NewHistory(s.store, grain.Limits{}), Registry: registry, Courier: s.courier,
		Metrics: api.NewMetrics(s.reg), Logger: logger, BackendTokens: []string{"another", token},
	}
	if opts.Oplog, err = oplog.Open(t.Context(), oplog.Options{}); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&opts)
	}
	s.handler = api.New(opts)
	server := httptest.NewServer(conforming(t, s.handler))
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		s.courier.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.grains.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type pages struct{ store eventlog.Store }

func (p pages) ReadPage(ctx context.Context, id eventlog.StreamID, q eventlog.Query) (eventlog.Page, error) {
	return eventlog.ReadPage(ctx, p.store, id, q)
}

// switchedCatalog is a catalogue that can be down, and whose products can go.
type switchedCatalog struct {
	api.Catalog
	mu  sync.Mutex // guards err
	err error
}

func (c *switchedCatalog) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *switchedCatalog) Product(ctx context.Context, sku, country string) (catalog.Product, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return catalog.Product{}, err
	}
	return c.Catalog.Product(ctx, sku, country)
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// field returns a part of the JSON body, "" if it is not there. Parts of the path are separated by dots.
func (a answer) field(path string) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return "not JSON: " + string(a.body)
	}
	for part := range strings.SplitSeq(path, ".") {
		switch w := v.(type) {
		case map[string]any:
			v = w[part]
		case []any:
			var i int
			if json.Unmarshal([]byte(part), &i) != nil || i >= len(w) {
				return ""
			}
			v = w[i]
		default:
			return ""
		}
	}
	switch w := v.(type) {
	case nil:
		return ""
	case string:
		return w
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// request is one call; headers are pairs of name and value.
func (s *shop) request(method, path, body string, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.URL.Opaque = path // sent as it is, strange or not
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

var asBackend = []string{"Authorization", "Bearer " + token}

// want fails the test unless the answer has the status, and the code if it is an error.
func (s *shop) want(a answer, status int, code string) answer {
	s.t.Helper()
	if a.status != status || code != "" && a.field("code") != code {
		s.t.Fatalf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
	return a
}

// newCart makes a cart and returns its path.
func (s *shop) newCart() string {
	s.t.Helper()
	return s.want(s.request("POST", "/v1/carts", `{"currency":"GBP"}`), 201, "").header.Get("Location")
}

// events returns how many events a cart has.
func (s *shop) events(cart string) string {
	s.t.Helper()
	return s.want(s.request("GET", cart+"/events", ""), 200, "").field("head")
}

// streamOf returns the stream of the cart at a path.
func streamOf(t *testing.T, cart string) eventlog.StreamID {
	t.Helper()
	id, err := eventlog.ParseStreamID(eventlog.KindCart, strings.TrimPrefix(cart, "/v1/carts/"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// waitQueued returns once an append waits in the store.
func (s *shop) waitQueued() {
	s.t.Helper()
	for s.store.Queued() == 0 {
		select {
		case <-s.t.Context().Done():
			s.t.Fatal("nothing was queued")
		default:
			runtime.Gosched()
		}
	}
}

// hangUp sends a request and closes its connection once the change is on its way.
func (s *shop) hangUp(method, path, body string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := http.DefaultTransport.RoundTrip(req)
		done <- err
	}()
	s.waitQueued()
	cancel()
	if err := <-done; err == nil {
		s.t.Error("the request was answered before its client hung up")
	}
}

// waitInFlight returns once n requests are being handled, and those that handle them have had time to get stuck.
func (s *shop) waitInFlight(n float64) {
	s.t.Helper()
	for range 200 { // what should wait waits; what should not would be answered by now
		for s.inFlight() != n {
			if s.t.Failed() {
				return
			}
			runtime.Gosched()
		}
		runtime.Gosched()
	}
}

func (s *shop) inFlight() float64 {
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "cartd_http_requests_in_flight" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return 0
}

// timeout is a context of a minute.
func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var queryAll = actor.Query{}

func viewOf(answer any) []byte {
	if reply, ok := answer.(*actor.Reply); ok {
		return reply.View
	}
	return nil
}

// reserve keeps a use of a voucher as a server does that dies before it asks the cart; release gives it back.
func (s *shop) reserve(code, cart, name string, until int64) {
	s.t.Helper()
	s.tellVoucher(code, &messages.UseReserved{Code: code, Cart: cart, Reservation: name, Until: until, Limit: 3})
}

func (s *shop) release(code, cart, name string) {
	s.t.Helper()
	s.tellVoucher(code, &messages.UseReleased{Cart: cart, Reservation: name})
}

func (s *shop) tellVoucher(code string, m actor.Mutation) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	answer, err := s.grains.Ask(ctx, "voucher", grain.VoucherStream(code), &actor.Command{Steps: []actor.Step{{Mutation: m}}})
	if reply, ok := answer.(*actor.Reply); err != nil || !ok || reply.Refusal != nil {
		s.t.Fatalf("%T: %v, %v", m, answer, err)
	}
}
