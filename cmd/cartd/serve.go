package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"
)

// serveCmd is `cartd serve`. Flags are read here alone; the packages get values.
type serveCmd struct {
	Listen    string `default:"127.0.0.1:8080" help:"Address of the public API."`
	OpsListen string `default:"127.0.0.1:8081" help:"Address of the operations port (metrics, health, pprof). Not for the internet."`
	Data      string `default:"./data" type:"path" help:"Directory of the event log."`
	Store     string `default:"file" enum:"file" help:"Event store: file."`

	Catalog    string `default:"demo" help:"Products: a JSON file, an http(s) URL with {sku} and {country}, or demo."`
	Deliveries string `default:"demo" help:"Delivery options: a JSON file, an http(s) URL with {provider} and {country}, or demo."`
	Vouchers   string `default:"demo" help:"Vouchers: a JSON file, an http(s) URL with {code} or of the whole list, or demo."`
	Currency   string `default:"" help:"ISO 4217 currency of carts made without one. Empty: that of the first product."`

	BackendToken string `help:"Token of the shop's backend; several separated by commas. Without one the backend's routes do not exist. Better set in the environment than on the command line."`

	TaxRounding string        `default:"half-even" enum:"half-even,half-up,half-down" help:"What becomes of half a minor unit of VAT: half-even, half-up or half-down. For carts that get their first line from now on."`
	TaxLevel    string        `default:"line" enum:"line,unit" help:"Where VAT is rounded: line or unit. For carts that get their first line from now on."`
	CheckoutTTL time.Duration `name:"checkout-ttl" default:"30m" help:"How long a cart stays frozen without an order."`

	Idle          time.Duration `default:"10m" help:"How long a cart without requests stays in memory."`
	LowDisk       bytesFlag     `default:"64MiB" help:"Free disk space below which changes are refused; 0 for no limit."`
	FeedRetention time.Duration `default:"168h" help:"How long the feed of all carts' events goes back, at least; it takes as much of the disk as the carts' events of that time. When the disk gets full the oldest go first."`
	Durability    string        `default:"journal" enum:"journal,os" help:"journal: answer when the events are on stable storage. os: when the kernel has them, UNSAFE: answered changes are lost when the machine dies; for tests."`

	MaxBody             bytesFlag     `default:"1MiB" help:"Largest request body."`
	MaxItems            int           `default:"1000" help:"Most items or mutations in one request."`
	MaxLines            int           `default:"5000" help:"Most lines in a cart."`
	MaxQuantity         int64         `default:"1000000" help:"Largest quantity of a line."`
	MaxEvents           int           `default:"1000000" help:"Most changes of a cart in its life."`
	MaxStreams          int           `default:"1000" help:"Most streams of carts' events at once."`
	SubscriptionBacklog int64         `default:"1000000" help:"Most events that stay beyond --feed-retention because a subscription waits for them."`
	WebhookTimeout      time.Duration `default:"15s" help:"Longest time for one call of a webhook."`
	WebhookGiveUp       time.Duration `default:"24h" help:"How long an event is tried again before its webhook's next one is sent without it."`
	RequestTimeout      time.Duration `default:"10s" help:"Longest time for one request."`
	ShutdownTimeout     time.Duration `default:"20s" help:"Longest time to finish what runs when told to stop."`

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
	}{{"--checkout-ttl", c.CheckoutTTL}, {"--idle", c.Idle}, {"--webhook-timeout", c.WebhookTimeout}, {"--webhook-give-up", c.WebhookGiveUp}, {"--request-timeout", c.RequestTimeout}, {"--shutdown-timeout", c.ShutdownTimeout}} {
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
	}{{"--max-body", int64(c.MaxBody)}, {"--max-items", int64(c.MaxItems)}, {"--max-lines", int64(c.MaxLines)}, {"--max-quantity", c.MaxQuantity}, {"--max-events", int64(c.MaxEvents)}, {"--max-streams", int64(c.MaxStreams)}, {"--subscription-backlog", c.SubscriptionBacklog}} {
		if limit.value < 1 {
			return fmt.Errorf("%s: %d must be at least 1", limit.flag, limit.value)
		}
	}
	if c.FeedRetention < 0 {
		return fmt.Errorf("--feed-retention: %v must not be negative", c.FeedRetention)
	}
	if c.Currency != "" && !currencyForm.MatchString(c.Currency) {
		return fmt.Errorf("--currency: %q is not three capital letters", c.Currency)
	}
	return nil
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

	api := c.server(svc.api, logger)
	api.RegisterOnShutdown(svc.hub.Close) // streams go on until then
	opsServer := c.server(svc.operations, logger)
	opsServer.WriteTimeout = 0 // profiles and traces take as long as they are asked to
	failed := make(chan error, 2)
	serve := func(s *http.Server, l net.Listener) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	go serve(api, public) // both end with Shutdown or Close
	go serve(opsServer, ops)
	svc.started.Store(true)
	logger.Info("serving", "api", "http://"+public.Addr().String(), "operations", "http://"+ops.Addr().String(),
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
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       c.RequestTimeout,
		WriteTimeout:      2 * c.RequestTimeout, // its clock starts with the header's end, before the request's own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // what strangers do wrong is no news
	}
}
