package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"cartd/internal/api"
	"cartd/internal/catalog"
	"cartd/internal/cluster"
	"cartd/internal/courier"
	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/grain"
	"cartd/internal/identity"
	"cartd/internal/live"
	"cartd/internal/oplog"
	"cartd/internal/readmodel"
	"cartd/internal/subscription"
	"cartd/internal/sweep"
	"cartd/pkg/actor"
)

// durabilities are the values of --durability.
var durabilities = map[string]filelog.Durability{"journal": filelog.SyncAlways, "os": filelog.SyncNever}

// service is everything that serve wires together, without its listeners.
type service struct {
	products   *catalog.Products
	deliveries *catalog.Deliveries
	vouchers   *catalog.Vouchers
	users      *identity.Verifier // nil: nobody logs in
	store      *filelog.Log
	list       *readmodel.Model
	hub        *live.Hub
	subs       *subscription.Manager
	grains     *cluster.Single
	courier    *courier.Courier
	sweeper    *sweep.Sweeper // nil: nothing is swept

	operationLog *oplog.Log
	registry     *prometheus.Registry
	api          http.Handler
	operations   http.Handler

	endTraces func(context.Context) error // nil: there are none

	started, draining atomic.Bool
}

func (c *serveCmd) open(ctx context.Context, logger *slog.Logger) (_ *service, err error) {
	svc := &service{}
	defer func() {
		if err != nil {
			err = errors.Join(err, svc.close(ctx))
		}
	}()
	reg := prometheus.NewRegistry()
	svc.registry = reg
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(),
		filelog.NewDiskCollector(c.Data, uint64(c.LowDisk)))

	sources := catalog.Options{Metrics: catalog.NewMetrics(reg)}
	svc.products, err = catalog.Open(ctx, c.Catalog, sources)
	if err != nil {
		return nil, fmt.Errorf("open the catalogue: %w", err)
	}
	svc.deliveries, err = catalog.OpenDeliveries(ctx, c.Deliveries, sources)
	if err != nil {
		return nil, fmt.Errorf("open the delivery options: %w", err)
	}
	svc.vouchers, err = catalog.OpenVouchers(ctx, c.Vouchers, sources)
	if err != nil {
		return nil, fmt.Errorf("open the vouchers: %w", err)
	}
	logMetrics := eventlog.NewMetrics(reg)
	svc.store, err = filelog.Open(c.Data, filelog.Options{
		Durability: durabilities[c.Durability], LowSpaceBytes: uint64(c.LowDisk), FeedRetention: c.FeedRetention, OpenFiles: openFiles(),
		Metrics: logMetrics, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("open the event log in %s: %w", c.Data, err)
	}
	if c.Durability == "os" {
		logger.Warn("durability is os: changes that were answered are lost when the machine dies")
	}

	svc.list = c.openList(svc.store, reg, logger)

	tracer, err := svc.openTraces(ctx, c.Otel, logger)
	if err != nil {
		return nil, fmt.Errorf("open the export of traces: %w", err)
	}
	var users api.Users // a nil of its own kind would be one who logs in
	if c.Auth == "jwt" {
		svc.users, err = identity.Open(ctx, c.JWKS, identity.Options{Issuer: c.JWTIssuer, Audience: c.JWTAudience, Logger: logger})
		if err != nil {
			return nil, fmt.Errorf("--jwks: %w", err)
		}
		if c.JWTIssuer == "" || len(c.JWTAudience) == 0 {
			logger.Warn("without --jwt-issuer and --jwt-audience a token counts that was made for another service with the same keys")
		}
		users = svc.users
	}

	svc.hub = live.New(svc.store, live.Options{Metrics: live.NewMetrics(reg), Logger: logger})

	svc.subs = subscription.Open(filepath.Join(c.Data, filelog.SubscriptionsName), subscription.Options{
		Log: svc.store, Event: api.AppendEvent, Backlog: uint64(c.SubscriptionBacklog), Timeout: c.WebhookTimeout, GiveUp: c.WebhookGiveUp, FirstRetry: firstRetry,
		Metrics: subscription.NewMetrics(reg), Logger: logger,
	})

	limits := grain.Limits{MaxLines: c.MaxLines, MaxQuantity: c.MaxQuantity,
		Lifetimes: grain.Lifetimes{Empty: c.ExpireEmpty, Guest: c.ExpireGuest, User: c.ExpireUser}}
	svc.grains = cluster.NewSingle(logger)
	svc.courier = courier.New(svc.grains, courier.Options{TryFor: c.RequestTimeout, Stepped: countSteps(reg), Logger: logger})
	svc.operationLog, err = c.openOperations(ctx, svc.store, reg, logger)
	if err != nil {
		return nil, fmt.Errorf("open the log of operations: %w", err)
	}
	observer := observer{grain.NewObserver(reg, logMetrics, logger), svc.operationLog}
	svc.grains.Register(string(eventlog.KindVoucher), func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.VoucherConfig(svc.store, grain.Options{Idle: c.Idle, Observer: observer, Logger: logger, Stopped: stopped, Stored: svc.list.Told}))
	})
	svc.grains.Register(string(eventlog.KindCart), func(system *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return actor.Props(system, grain.Config(svc.store, limits, grain.Options{
			Idle: c.Idle, Observer: observer, Logger: logger, Stopped: stopped,
			MaxEvents: c.MaxEvents, Changed: svc.list.Note, Stored: svc.list.Told, Send: svc.courier.Sender(string(eventlog.KindCart)),
		}))
	})

	corsOrigins, err := origins(c.CORSOrigin)
	if err != nil {
		return nil, err
	}
	sweeps := sweep.NewMetrics(reg) // also when nothing is swept: a panel should show 0, and not nothing
	if c.SweepEvery > 0 {
		svc.sweeper = sweep.Start(sweep.Options{Carts: svc.grains, Rows: svc.list, Logs: svc.store, Lifetimes: limits.Lifetimes, Every: c.SweepEvery,
			TryFor: c.RequestTimeout, Swept: observer.swept, Metrics: sweeps, Logger: logger})
	}

	svc.api = api.New(api.Options{
		Carts: svc.grains, Catalog: svc.products, Deliveries: svc.deliveries, Vouchers: svc.vouchers, Events: pages{svc.store}, History: grain.NewHistory(svc.store, limits), List: svc.list,
		Subscriptions: svc.subs,
		Streams:       &api.Streams{Log: svc.store, Hub: svc.hub, MaxCarts: c.MaxStreams, Metrics: api.NewStreamMetrics(reg)},
		Oplog:         svc.operationLog, CORSOrigins: corsOrigins, SecureCookies: c.SecureCookies,
		Registry: grain.Registry(limits), Courier: svc.courier, TaxRounding: rounding(c.TaxRounding), TaxLevel: rounding(c.TaxLevel), CheckoutTTL: c.CheckoutTTL,
		Metrics: api.NewMetrics(reg), Logger: logger, Tracer: tracer, Users: users, BackendTokens: backendTokens(c.BackendToken), Currency: c.Currency,
		MaxBodyBytes: int64(c.MaxBody), MaxMutations: c.MaxItems, MaxDepth: c.MaxDepth, MaxRequests: c.MaxRequests,
		RateLimit: c.RateLimit, TrustedProxies: prefixes(c.TrustedProxies), Timeout: c.RequestTimeout,
	})
	svc.operations = withBackup(api.Operations(reg, svc.ready), api.Backup(backendTokens(c.BackendToken), func(ctx context.Context, w io.Writer) error {
		_, err := svc.store.Backup(ctx, w)
		return err
	}, logger))
	return svc, nil
}

// onStep, if not nil, hears of each step between two grains. Tests set it, to kill the process there.
var onStep func(courier.Step, actor.Errand)

// firstRetry, if not 0, is about when a webhook is called for the second time. Tests set it, that have no seconds to wait.
var firstRetry time.Duration

// countSteps returns what counts the steps of errands.
func countSteps(reg prometheus.Registerer) func(courier.Step, actor.Errand) {
	steps := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cartd_errand_steps_total",
		Help: "Steps of errands from one grain to another: those that are taken, and neither reported nor given up, are under way."}, []string{"step"})
	reg.MustRegister(steps)
	for _, step := range courier.Steps {
		steps.WithLabelValues(string(step))
	}
	return func(step courier.Step, e actor.Errand) {
		steps.WithLabelValues(string(step)).Inc()
		if onStep != nil {
			onStep(step, e)
		}
	}
}

// buildInfo says which program this is, so that a change of what others measure can be seen beside that of the program.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cartd_build_info", Help: "1; which cartd this is, and what it was built with.",
		ConstLabels: prometheus.Labels{"version": versionString(), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

func prefixes(flags []prefixFlag) (list []netip.Prefix) {
	for _, f := range flags {
		list = append(list, netip.Prefix(f))
	}
	return list
}

// rounding leaves out what is the default, also in events.
func rounding(flag string) string {
	if flag == "half-even" || flag == "line" {
		return ""
	}
	return flag
}

// withBackup adds the backup, if there is one, to the operations port.
func withBackup(operations, backup http.Handler) http.Handler {
	if backup == nil {
		return operations
	}
	mux := http.NewServeMux()
	mux.Handle(api.BackupPath, backup)
	mux.Handle("/", operations)
	return mux
}

// readModelName is the file of the read model in the data directory.
const readModelName = "readmodel.db"

// openList opens the list of carts, which lives beside the event log.
func (c *serveCmd) openList(store *filelog.Log, reg prometheus.Registerer, logger *slog.Logger) *readmodel.Model {
	carts := grain.Config(store, grain.Limits{}, grain.Options{}) // limits do not matter to what is stored
	return readmodel.Open(filepath.Join(c.Data, readModelName), readmodel.Options{
		Store: store, Metrics: readmodel.NewMetrics(reg), Logger: logger,
		Read: func(ctx context.Context, id eventlog.StreamID) (grain.Summary, error) {
			return grain.ReadSummary(ctx, carts, store, id)
		},
	})
}

// pages reads events as the API asks for them.
type pages struct{ store eventlog.Store }

func (p pages) ReadPage(ctx context.Context, id eventlog.StreamID, q eventlog.Query) (eventlog.Page, error) {
	return eventlog.ReadPage(ctx, p.store, id, q)
}

// ready returns what keeps the process from serving; nil if nothing does.
func (s *service) ready() error {
	select {
	case <-s.store.Failed():
		return errors.New("the event log has failed")
	default:
	}
	switch {
	case !s.started.Load():
		return errors.New("starting")
	case s.draining.Load():
		return errors.New("draining")
	}
	return nil
}

// close passivates all carts, so that everything they queued is decided, and closes the log. It returns when ctx ends,
// done or not.
func (s *service) close(ctx context.Context) error {
	s.draining.Store(true)
	var errs []error
	if s.sweeper != nil {
		s.sweeper.Close() // first: what it asks for goes through all the others
	}
	if s.hub != nil {
		s.hub.Close()
	}
	if s.subs != nil {
		errs = append(errs, s.subs.Close())
	}
	if s.courier != nil {
		s.courier.Close() // what it leaves undone is in the log, and resumed by the carts' next activations
	}
	if s.grains != nil {
		errs = append(errs, s.grains.Shutdown(ctx))
	}
	if s.list != nil {
		errs = append(errs, s.list.Close())
	}
	if s.operationLog != nil {
		brief, cancel := context.WithTimeout(ctx, operationsTime)
		errs = append(errs, s.operationLog.Close(brief))
		cancel()
	}
	if s.store != nil {
		closed := make(chan error, 1)
		go func() { closed <- s.store.Close() }() // a disk that hangs must not keep the process from ending
		select {
		case err := <-closed:
			errs = append(errs, err)
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("close the event log: %w", ctx.Err()))
		}
	}
	if s.users != nil {
		s.users.Close()
	}
	if s.products != nil {
		errs = append(errs, s.products.Close())
	}
	if s.deliveries != nil {
		errs = append(errs, s.deliveries.Close())
	}
	if s.vouchers != nil {
		errs = append(errs, s.vouchers.Close())
	}
	if s.endTraces != nil {
		errs = append(errs, s.endTraces(ctx))
	}
	return errors.Join(errs...)
}
