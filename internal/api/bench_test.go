//go:build unix

package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/api"
	"cartd/internal/catalog"
	"cartd/internal/cluster"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/grain"
	"cartd/internal/oplog"
	"cartd/internal/readmodel"
	"cartd/pkg/actor"
)

// BenchmarkAdd is all that cartd itself does for an add over HTTP, from the header that has been read to the answer
// that has been written: without net/http, sockets, the wait for the disk and the opening of files. 64 clients add one
// product to 1,000 carts.
// cpu-µs/op is the processor time of the process, the log's goroutines and the garbage collection included.
func BenchmarkAdd(b *testing.B) {
	handler := benchShop(b)
	const clients, carts = 64, benchCarts
	path := func(i int) string { return fmt.Sprintf("/v1/carts/c%d", i%carts) }
	c := newBenchClient(b)
	for i := range carts {
		c.send(handler, "/v1/carts", fmt.Sprintf(`{"id":"c%d","country":"GB"}`, i), http.StatusCreated)
		c.send(handler, path(i)+"/items", benchAdd, http.StatusOK)
	}
	paths := make([]string, carts)
	for i := range paths {
		paths[i] = path(i) + "/items"
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c := newBenchClient(b)
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				c.send(handler, paths[i%carts], benchAdd, http.StatusOK)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(time.Microsecond)/float64(b.N), "cpu-µs/op")
}

const benchCarts = 1000

const benchAdd = `{"sku":"85123A","quantity":1}`

// benchShop is cartd as it serves, with a log in files that is not synced, the list of carts and the log of operations.
func benchShop(b *testing.B) http.Handler {
	b.Helper()
	logger, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	metrics := eventlog.NewMetrics(reg)
	store, err := filelog.Open(b.TempDir(), filelog.Options{Durability: filelog.SyncNever, OpenFiles: 2 * benchCarts, Metrics: metrics, Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	products, err := catalog.Open(b.Context(), "demo", catalog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	deliveries, err := catalog.OpenDeliveries(b.Context(), "demo", catalog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	carts := grain.Config(store, grain.Limits{}, grain.Options{})
	list := readmodel.Open(filepath.Join(b.TempDir(), "list.db"), readmodel.Options{Store: store, Metrics: readmodel.NewMetrics(reg), Logger: logger,
		Read: func(ctx context.Context, id eventlog.StreamID) (grain.Summary, error) {
			return grain.ReadSummary(ctx, carts, store, id)
		}})
	files, err := oplog.OpenFiles(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	operations, err := oplog.Open(b.Context(), oplog.Options{Store: files, Metrics: oplog.NewMetrics(reg), Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	grains := cluster.NewSingle(logger)
	grains.Register("cart", func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.Config(store, grain.Limits{}, grain.Options{
			Observer: grain.NewObserver(reg, metrics, logger), Logger: logger, Stopped: stopped, Changed: list.Note, Stored: list.Told,
		}))
	})
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(grains.Shutdown(ctx), list.Close(), operations.Close(ctx), store.Close()); err != nil {
			b.Error(err)
		}
	})
	return api.New(api.Options{
		Carts: grains, Catalog: products, Deliveries: deliveries, Events: pages{store}, Registry: grain.Registry(grain.Limits{}),
		Metrics: api.NewMetrics(reg), Logger: logger, BackendTokens: []string{token}, List: list, Oplog: operations,
	})
}

// benchClient is a client of the handler that allocates next to nothing of its own.
type benchClient struct {
	b      *testing.B
	req    http.Request
	url    url.URL
	body   strings.Reader
	header http.Header
	status int
	bytes  int
}

func newBenchClient(b *testing.B) *benchClient {
	c := &benchClient{b: b, header: http.Header{}}
	c.req = http.Request{Method: "POST", URL: &c.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "shop",
		Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}, Body: io.NopCloser(&c.body)}
	return c
}

func (c *benchClient) send(h http.Handler, path, body string, want int) {
	c.url = url.URL{Path: path}
	c.body.Reset(body)
	c.req.ContentLength = int64(len(body))
	clear(c.header)
	c.status, c.bytes = 0, 0
	r := c.req // middleware may change it
	h.ServeHTTP(c, &r)
	if c.status != want || c.bytes == 0 {
		c.b.Errorf("POST %s: status %d, %d bytes; want %d and some", path, c.status, c.bytes, want)
	}
}

func (c *benchClient) Header() http.Header { return c.header }

func (c *benchClient) WriteHeader(status int) { c.status = status }

func (c *benchClient) Write(p []byte) (int, error) {
	c.bytes += len(p)
	return len(p), nil
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
