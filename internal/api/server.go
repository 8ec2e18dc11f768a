package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/cpu"

	"cartd/internal/catalog"
	"cartd/internal/courier"
	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/oplog"
	"cartd/internal/readmodel"
	"cartd/internal/subscription"
	"cartd/pkg/actor"
)

// Asker asks a grain once. The context must have a deadline. It answers *actor.Command and *actor.Query with an
// *actor.Reply.
type Asker interface {
	Ask(ctx context.Context, kind, id string, msg any) (any, error)
}

// Catalog looks products up.
type Catalog interface {
	Product(ctx context.Context, sku, country string) (catalog.Product, error)
	// ByCountry reports whether the country makes a difference.
	ByCountry() bool
}

// Deliveries looks delivery options up.
type Deliveries interface {
	Delivery(ctx context.Context, provider, country string) (catalog.Delivery, error)
}

// Events reads the events of a stream, as far as they are on stable storage.
type Events interface {
	ReadPage(ctx context.Context, id eventlog.StreamID, q eventlog.Query) (eventlog.Page, error)
}

// History reads carts as they once were.
type History interface {
	At(ctx context.Context, id eventlog.StreamID, m actor.Moment) (*grain.Past, error)
}

// CartList lists carts.
type CartList interface {
	List(ctx context.Context, q readmodel.Query) (readmodel.Page, error)
}

// Options is what a Server is made of. Everything but List and the limits is required.
type Options struct {
	Carts      Asker
	Catalog    Catalog
	Deliveries Deliveries
	Vouchers   Vouchers
	Events     Events
	History    History
	List       CartList // nil: there is no list of carts
	// Subscriptions are those of the backend to the feed of all events, which Streams has. nil: there are none.
	Subscriptions *subscription.Manager
	Streams       *Streams // nil: there are only pages of a cart's events
	Registry      *actor.MutationRegistry[grain.Cart]
	Courier       *courier.Courier // carries the errands of Carts
	Metrics       *Metrics
	Logger        *slog.Logger
	// Oplog is told of each request to a route, and shown to the backend. nil: there is no log of operations.
	Oplog *oplog.Log
	// Tracer makes spans of requests. nil: nobody looks at them.
	Tracer trace.Tracer
	// Users knows who logs in: a cart that is bound to a user is not there for anybody else. nil: nobody logs in, and who
	// has a cart's id has the cart.
	Users Users
	// BackendTokens let the shop's own backend in; without one the backend's routes do not exist.
	BackendTokens []string
	// CORSOrigins are the origins whose pages may read answers, and change the cart of their browser's cookie.
	CORSOrigins []Origin
	// SecureCookies marks cookies Secure on connections without TLS too: for TLS that ends before cartd.
	SecureCookies bool
	// Currency of carts that are made without one; "" leaves it to the first product.
	Currency string
	// TaxRounding and TaxLevel say how carts that get their first line from now on round VAT: half-even, half-up or
	// half-down; line or unit. Default: half-even, line.
	TaxRounding, TaxLevel string
	// CheckoutTTL is how long a cart stays frozen without an order. Default: 30 min.
	CheckoutTTL time.Duration
	// MaxBodyBytes bounds a request's body. Default: 1 MiB.
	MaxBodyBytes int64
	// MaxDepth bounds how deep arrays and objects are nested in a body. Default: 64.
	MaxDepth int
	// MaxRequests bounds how many requests are worked on at a time: from the end of the body to the begin of the answer. What
	// comes on top is answered 503 at once. Default: 1,024.
	MaxRequests int
	// RateLimit is how many requests a second each client's address may send, the backend apart. Default: any number.
	RateLimit float64
	// TrustedProxies are the addresses whose X-Forwarded-For says who the client is. Default: none, the connection says.
	TrustedProxies []netip.Prefix
	// MaxMutations bounds the items or mutations of one request. Default: 1,000.
	MaxMutations int
	// Timeout bounds the handling of a request from its first line to the answer, to a hundredth. Default: 10 s.
	Timeout time.Duration
}

// server holds what handlers need. It is read-only once made, but for counts.
type server struct {
	Options
	tokens       tokens
	deadlines    *deadlines
	clients      *clients // nil: nobody is limited
	crossOrigin  *http.CrossOriginProtection
	successorKey [32]byte

	cartStreams, feedStreams chan struct{} // each open stream has put something in

	// Counts are written by every request, on all processors: apart from what is only read, which would be fetched anew.
	_        cpu.CacheLinePad
	inFlight atomic.Int64 // requests that are handled, without streams that have begun
	working  atomic.Int64 // requests that are worked on
	buffered atomic.Int64 // bytes of larger bodies
	_        cpu.CacheLinePad
}

// New returns the handler of the public port.
func New(opts Options) http.Handler {
	if opts.MaxBodyBytes <= 0 {
		opts.MaxBodyBytes = 1 << 20
	}
	if opts.CheckoutTTL <= 0 {
		opts.CheckoutTTL = 30 * time.Minute
	}
	if opts.MaxMutations <= 0 {
		opts.MaxMutations = 1000
	}
	if opts.MaxDepth <= 0 {
		opts.MaxDepth = 64
	}
	if opts.MaxRequests <= 0 {
		opts.MaxRequests = 1024
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 10 * time.Second
	}
	opts.Streams = opts.Streams.defaults()
	s := &server{
		Options: opts, tokens: hashTokens(opts.BackendTokens), deadlines: newDeadlines(opts.Timeout),
		clients: newClients(opts.RateLimit, opts.TrustedProxies), crossOrigin: trusting(opts.CORSOrigins),
		cartStreams: make(chan struct{}, opts.Streams.MaxCarts), feedStreams: make(chan struct{}, opts.Streams.MaxFeeds),
	}
	s.Metrics.inFlight.Store(&s.inFlight)
	_, _ = rand.Read(s.successorKey[:]) // never fails
	return s.observe(s.cors(s.router()))
}
