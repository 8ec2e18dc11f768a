package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"

	"cartd/internal/api"
)

// serveCmd is `cartd serve`. Flags are read here alone; the packages get values.
type serveCmd struct {
	Listen    string `default:"127.0.0.1:8080" help:"Address of the public API."`
	OpsListen string `default:"127.0.0.1:8081" help:"Address of the operations port (metrics, health, pprof). Not for the internet."`
	HTTPSCert string `name:"https-cert" default:"" type:"path" help:"Certificate of the public API, PEM, with its chain; followed when it changes. Empty: plain HTTP."`
	HTTPSKey  string `name:"https-key" default:"" type:"path" help:"Key of --https-cert, PEM."`
	Data      string `default:"./data" type:"path" help:"Directory of the event log."`
	Store     string `default:"file" enum:"file" help:"Event store: file."`

	Catalog       string   `default:"demo" help:"Products: a JSON file, an http(s) URL with {sku} and {country}, or demo."`
	Deliveries    string   `default:"demo" help:"Delivery options: a JSON file, an http(s) URL with {provider} and {country}, or demo."`
	Vouchers      string   `default:"demo" help:"Vouchers: a JSON file, an http(s) URL with {code} or of the whole list, or demo."`
	Currency      string   `default:"" help:"ISO 4217 currency of carts made without one. Empty: that of the first product."`
	CORSOrigin    []string `name:"cors-origin" sep:"," placeholder:"ORIGIN" help:"Origin, like https://shop.example, whose pages may call the API from a browser; several separated by commas or by repeating it. Under /cart their requests may carry the cookie."`
	SecureCookies bool     `help:"Mark cookies Secure although cartd itself does not speak TLS: for a proxy before it that does."`

	BackendToken string `help:"Token of the shop's backend; several separated by commas. Without one the backend's routes do not exist. Better set in the environment than on the command line."`

	Auth        string   `default:"none" enum:"none,jwt" help:"jwt: shoppers who log in send a JSON Web Token, and a cart bound to a user is there for this user alone. none: who has a cart's id has the cart."`
	JWKS        string   `name:"jwks" default:"" help:"Key set that tokens are checked with: a JSON file or an http(s) URL. For --auth=jwt."`
	JWTIssuer   string   `name:"jwt-issuer" default:"" help:"Issuer (iss) that tokens must name. Empty: any."`
	JWTAudience []string `name:"jwt-audience" help:"Audience (aud) that tokens must name; of several separated by commas one. Empty: any."`

	TaxRounding string        `default:"half-even" enum:"half-even,half-up,half-down" help:"What becomes of half a minor unit of VAT: half-even, half-up or half-down. For carts that get their first line from now on."`
	TaxLevel    string        `default:"line" enum:"line,unit" help:"Where VAT is rounded: line or unit. For carts that get their first line from now on."`
	CheckoutTTL time.Duration `name:"checkout-ttl" default:"30m" help:"How long a cart stays frozen without an order."`

	ExpireEmpty time.Duration `default:"48h" help:"How long a cart without lines may rest before it expires; 0 for ever."`
	ExpireGuest time.Duration `default:"720h" help:"The same for a cart with lines that is bound to no user."`
	ExpireUser  time.Duration `default:"2160h" help:"The same for a cart that is bound to a user."`
	SweepEvery  time.Duration `default:"5m" help:"How often expired carts, forgotten checkouts and cut off merges are looked for; 0 for never."`

	Idle          time.Duration `default:"10m" help:"How long a cart without requests stays in memory."`
	LowDisk       bytesFlag     `default:"64MiB" help:"Free disk space below which changes are refused; 0 for no limit."`
	FeedRetention time.Duration `default:"168h" help:"How long the feed of all carts' events goes back, at least; it takes as much of the disk as the carts' events of that time. When the disk gets full the oldest go first."`
	Durability    string        `default:"journal" enum:"journal,os" help:"journal: answer when the events are on stable storage. os: when the kernel has them, UNSAFE: answered changes are lost when the machine dies; for tests."`

	Operations    string `default:"file" enum:"file,none" help:"Where the log of operations is kept: file, below --data; or none, the newest 2,000 in memory alone."`
	OperationsAll bool   `help:"Keep also what happens all the time: reads that find what they ask for or do not, activations."`

	MaxBody        bytesFlag    `default:"1MiB" help:"Largest request body."`
	MaxItems       int          `default:"1000" help:"Most items or mutations in one request."`
	MaxLines       int          `default:"5000" help:"Most lines in a cart."`
	MaxQuantity    int64        `default:"1000000" help:"Largest quantity of a line."`
	MaxEvents      int          `default:"1000000" help:"Most changes of a cart in its life."`
	MaxDepth       int          `default:"64" help:"How deep arrays and objects may be nested in a request body."`
	MaxHeader      bytesFlag    `default:"16KiB" help:"Largest request header."`
	MaxRequests    int          `default:"1024" help:"Most requests that are worked on at a time; what comes on top is answered 503 at once. Sending a body and reading an answer do not count."`
	MaxConnections int          `default:"10000" help:"Most connections at a time, and no more than half of the files that the process may open. Beyond it idle ones make room."`
	RateLimit      float64      `default:"0" help:"Requests per second of each client address, IPv6 by /64; what comes on top is answered 429. The backend is exempt. 0 for no limit."`
	TrustedProxies []prefixFlag `help:"Addresses like 10.0.0.0/8, separated by commas, of the proxies whose X-Forwarded-For says who the client is. Without any the connection says."`
	MaxStreams     int          `default:"1000" help:"Most streams of carts' events at once."`

	SubscriptionBacklog int64         `default:"1000000" help:"Most events that stay beyond --feed-retention because a subscription waits for them."`
	WebhookTimeout      time.Duration `default:"15s" help:"Longest time for one call of a webhook."`
	WebhookGiveUp       time.Duration `default:"24h" help:"How long an event is tried again before its webhook's next one is sent without it."`

	ReadHeaderTimeout time.Duration `default:"5s" help:"Longest time for a request's header."`
	ReadTimeout       time.Duration `default:"0s" help:"Longest time for a request's header and body. 0s: that of --request-timeout."`
	WriteTimeout      time.Duration `default:"0s" help:"Longest time from a request's header to the end of the answer. 0s: twice --request-timeout."`
	IdleTimeout       time.Duration `default:"2m" help:"How long a connection stays open without a request."`

	RequestTimeout  time.Duration `default:"10s" help:"Longest time for one request."`
	ShutdownTimeout time.Duration `default:"20s" help:"Longest time to finish what runs when told to stop."`

	Otel bool `help:"Send traces (OpenTelemetry), where the standard OTEL_… variables say. They turn it on by themselves, too: OTEL_TRACES_EXPORTER or OTEL_EXPORTER_OTLP_ENDPOINT."`

	LogLevel  slog.Level `default:"info" help:"debug, info, warn or error."`
	LogFormat string     `default:"text" enum:"text,json" help:"text or json."`
}

// Validate is what kong calls when all flags are read. It refuses what would otherwise mean something that nobody asked
// for: an empty address is every interface of the machine, an empty directory the present one, and a server without a
// time-out waits for its clients for ever.
func (c *serveCmd) Validate() error {
	for _, address := range []struct{ flag, value string }{{"--listen", c.Listen}, {"--ops-listen", c.OpsListen}} {
		if _, port, err := net.SplitHostPort(address.value); err != nil || port == "" {
			return fmt.Errorf("%s: %q is no address like 127.0.0.1:8080", address.flag, address.value)
		}
	}
	if c.Data == "" {
		return errors.New("--data: a directory is needed")
	}
	for _, timeout := range []struct {
		flag  string
		value time.Duration
	}{{"--checkout-ttl", c.CheckoutTTL}, {"--idle", c.Idle}, {"--request-timeout", c.RequestTimeout}, {"--read-header-timeout", c.ReadHeaderTimeout}, {"--webhook-timeout", c.WebhookTimeout}, {"--webhook-give-up", c.WebhookGiveUp}, {"--idle-timeout", c.IdleTimeout}, {"--shutdown-timeout", c.ShutdownTimeout}} {
		if timeout.value <= 0 {
			return fmt.Errorf("%s: %v must be positive", timeout.flag, timeout.value)
		}
	}
	if c.CheckoutTTL < time.Millisecond || c.CheckoutTTL > 365*24*time.Hour {
		return fmt.Errorf("--checkout-ttl: %v must be between 1ms and 8760h", c.CheckoutTTL)
	}
	for _, limit := range []struct {
		flag  string
		value int64
	}{{"--max-body", int64(c.MaxBody)}, {"--max-items", int64(c.MaxItems)}, {"--max-lines", int64(c.MaxLines)}, {"--max-quantity", c.MaxQuantity}, {"--max-events", int64(c.MaxEvents)},
		{"--max-streams", int64(c.MaxStreams)}, {"--subscription-backlog", c.SubscriptionBacklog}, {"--max-depth", int64(c.MaxDepth)}, {"--max-header", int64(c.MaxHeader)}, {"--max-requests", int64(c.MaxRequests)}, {"--max-connections", int64(c.MaxConnections)}} {
		if limit.value < 1 {
			return fmt.Errorf("%s: %d must be at least 1", limit.flag, limit.value)
		}
	}
	if c.ReadTimeout < 0 || c.WriteTimeout < 0 || c.WriteTimeout > 0 && c.WriteTimeout <= c.RequestTimeout {
		return fmt.Errorf("--read-timeout, --write-timeout: %v and %v must not be negative, and the latter be longer than --request-timeout", c.ReadTimeout, c.WriteTimeout)
	}
	if !(c.RateLimit >= 0) || math.IsInf(c.RateLimit, 0) {
		return fmt.Errorf("--rate-limit: %v must be 0 or a number of requests per second", c.RateLimit)
	}
	if c.MaxHeader > 1<<30 {
		return errors.New("--max-header: must be at most 1GiB")
	}
	if (c.HTTPSCert == "") != (c.HTTPSKey == "") {
		return errors.New("--https-cert and --https-key: one does not go without the other")
	}
	switch {
	case c.Auth == "jwt" && c.JWKS == "":
		return errors.New("--auth=jwt: --jwks is needed, the key set that tokens are checked with")
	case c.Auth == "none" && (c.JWKS != "" || c.JWTIssuer != "" || len(c.JWTAudience) > 0): // else they would seem to be checked
		return errors.New("--jwks, --jwt-issuer, --jwt-audience: mean nothing without --auth=jwt")
	}
	for _, life := range []struct {
		flag  string
		value time.Duration
	}{{"--expire-empty", c.ExpireEmpty}, {"--expire-guest", c.ExpireGuest}, {"--expire-user", c.ExpireUser}, {"--sweep-every", c.SweepEvery}} {
		if life.value != 0 && life.value < time.Second {
			return fmt.Errorf("%s: %v must be 0 or at least 1s", life.flag, life.value)
		}
	}
	if c.FeedRetention < 0 {
		return fmt.Errorf("--feed-retention: %v must not be negative", c.FeedRetention)
	}
	if c.Currency != "" && !currencyForm.MatchString(c.Currency) {
		return fmt.Errorf("--currency: %q is not three capital letters", c.Currency)
	}
	if _, err := origins(c.CORSOrigin); err != nil {
		return fmt.Errorf("--cors-origin: %w", err)
	}
	return nil
}

// origins reads the values of --cors-origin.
func origins(values []string) (all []api.Origin, err error) {
	for _, v := range values {
		o, err := api.ParseOrigin(v)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

func (c *serveCmd) logger() *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// Run serves until ctx ends (SIGTERM), then stops accepting, finishes what runs, passivates all carts and returns nil.
// It returns an error when the service cannot start, when the event log fails, or when it cannot stop in time.
func (c *serveCmd) Run(ctx context.Context) error {
	logger := c.logger()
	tuneRuntime(logger)
	var secured *certificate
	if c.HTTPSCert != "" {
		var err error
		if secured, err = openCertificate(c.HTTPSCert, c.HTTPSKey, logger); err != nil {
			return fmt.Errorf("--https-cert, --https-key: %w", err)
		}
		defer secured.close()
	}
	svc, err := c.open(ctx, logger)
	if err != nil {
		return err
	}
	public, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the API: %w", err), svc.close(ctx))
	}
	ops, err := net.Listen("tcp", c.OpsListen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for operations: %w", err), public.Close(), svc.close(ctx))
	}

	api := c.server(unwatched(svc.api), logger)
	api.ConnState, api.ConnContext = noteState, noteConnection
	api.RegisterOnShutdown(svc.hub.Close) // streams go on until then
	opsServer := c.server(svc.operations, logger)
	opsServer.WriteTimeout = 0 // profiles and traces take as long as they are asked to
	failed := make(chan error, 2)
	serve := func(s *http.Server, l net.Listener) {
		run := s.Serve
		if s.TLSConfig != nil {
			run = func(l net.Listener) error { return s.ServeTLS(l, "", "") } // and HTTP/2
		}
		if err := run(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	scheme := "http://"
	if secured != nil {
		scheme, api.TLSConfig = "https://", secured.config()
	}
	go serve(api, limitConnections(public, maxConnections(c.MaxConnections))) // both end with Shutdown or Close
	go serve(opsServer, ops)
	svc.started.Store(true)
	logger.Info("serving", "api", scheme+public.Addr().String(), "operations", "http://"+ops.Addr().String(),
		"data", c.Data, "version", versionString())

	select {
	case <-ctx.Done():
	case <-svc.store.Failed():
	case err = <-failed:
	}
	logger.Info("stopping")
	svc.draining.Store(true)

	stopping, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	err = errors.Join(err, api.Shutdown(stopping), svc.close(stopping), opsServer.Close())
	if cause := svc.store.Cause(); cause != nil { // before, or only while stopping: what it was told last is not certain
		err = errors.Join(fmt.Errorf("the event log has failed; start again to recover: %w", cause), err)
	}
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

func (c *serveCmd) server(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       cmp.Or(c.ReadTimeout, c.RequestTimeout),
		WriteTimeout:      cmp.Or(c.WriteTimeout, 2*c.RequestTimeout), // its clock starts with the header's end, before the request's own
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    int(c.MaxHeader),
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // what strangers do wrong is no news
	}
}
