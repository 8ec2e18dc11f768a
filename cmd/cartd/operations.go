package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/oplog"
	"cartd/pkg/actor"
)

// oplogName is the directory of the log of operations in the data directory.
const oplogName = "oplog"

// sourceInternal is the source of what nobody outside has asked for.
const sourceInternal = "internal"

// operationsTime is how long the end of the process waits for operations to be stored. The rest is the event log's.
const operationsTime = 2 * time.Second

// openOperations opens the log of operations.
func (c *serveCmd) openOperations(ctx context.Context, store eventlog.Store, reg prometheus.Registerer, logger *slog.Logger) (*oplog.Log, error) {
	opts := oplog.Options{Routine: c.OperationsAll, Metrics: oplog.NewMetrics(reg), Logger: logger}
	if c.Operations == "file" {
		files, err := oplog.OpenFiles(filepath.Join(c.Data, oplogName))
		if err != nil {
			return nil, err
		}
		opts.Store = roomy{files, store.Writable}
	}
	return oplog.Open(ctx, opts)
}

// roomy stores operations while the event log has room: what is left of the disk is for events.
type roomy struct {
	oplog.Store
	writable func() error
}

func (r roomy) Append(ctx context.Context, ops []oplog.Operation) error {
	if err := r.writable(); errors.Is(err, eventlog.ErrLowSpace) {
		return err
	}
	return r.Store.Append(ctx, ops)
}

// observer also tells the log of operations what happens inside of grains.
type observer struct {
	*grain.Observer
	operations *oplog.Log
}

var _ actor.Observer = observer{}

func (o observer) Activated(kind, id string) {
	o.Observer.Activated(kind, id)
	o.record(oplog.Operation{Kind: "activation", Time: time.Now(), Routine: true}, kind, id, nil) // the replay says more
}

func (o observer) Passivated(kind, id string, version uint64) {
	o.Observer.Passivated(kind, id, version)
	o.record(oplog.Operation{Kind: "passivation", Time: time.Now(), Routine: version == 0}, kind, id, nil)
}

func (o observer) Replayed(kind, id string, took time.Duration, events int, err error) {
	o.Observer.Replayed(kind, id, took, events, err)
	o.record(oplog.Operation{Kind: "replay", Time: time.Now().Add(-took), Took: took, Routine: events == 0 && err == nil}, kind, id, err)
}

func (o observer) CommitFailed(kind, id string, err error) {
	o.Observer.CommitFailed(kind, id, err)
	o.record(oplog.Operation{Kind: "append", Time: time.Now()}, kind, id, err)
}

// record adds an operation on a cart. What happens to grains of other kinds is for metrics and log.
func (o observer) record(op oplog.Operation, kind, id string, err error) {
	if kind != string(eventlog.KindCart) {
		return
	}
	op.Source, op.Cart, op.OK = sourceInternal, id, err == nil
	if err != nil {
		op.Error = err.Error()
	}
	o.operations.Record(op) //nolint:errcheck // while it shuts down
}

// swept records a sweep.
func (o observer) swept(began time.Time, took time.Duration, err error) {
	op := oplog.Operation{Kind: "sweep", Source: sourceInternal, Time: began, Took: took, OK: err == nil}
	if err != nil {
		op.Error = err.Error()
	}
	o.operations.Record(op) //nolint:errcheck // while it shuts down
}
