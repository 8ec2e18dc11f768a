package cluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	protocluster "github.com/asynkron/protoactor-go/cluster"

	"cartd/internal/cluster"
)

// probes are grains that do what the message says, which is a func(protoactor.Context).
type probes struct {
	*cluster.Single
	logs *logBuffer

	mu   sync.Mutex // guards made
	made map[string]int
}

const probeKind = "probe"

func newProbes() *probes {
	p := &probes{logs: &logBuffer{}, made: map[string]int{}}
	p.Single = cluster.NewSingle(slog.New(slog.NewTextHandler(p.logs, nil)))
	p.Register(probeKind, func(_ *protoactor.ActorSystem, stopped func(string, *protoactor.PID)) *protoactor.Props {
		return protoactor.PropsFromProducer(func() protoactor.Actor { return &probe{all: p, stopped: stopped} })
	})
	return p
}

func (p *probes) activations(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made[id]
}

type probe struct {
	all     *probes
	stopped func(string, *protoactor.PID)
	id      string
}

func (p *probe) Receive(ctx protoactor.Context) {
	switch msg := ctx.Message().(type) {
	case *protocluster.ClusterInit:
		p.id = msg.Identity.GetIdentity()
		p.all.mu.Lock()
		p.all.made[p.id]++
		p.all.mu.Unlock()
	case *protoactor.Stopping:
		p.stopped(p.id, ctx.Self())
	case func(protoactor.Context):
		msg(ctx)
	}
}

// answer makes a message that is answered with v.
func answer(v any) func(protoactor.Context) {
	return func(ctx protoactor.Context) { ctx.Respond(v) }
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func shutdown(t testing.TB, s *cluster.Single) {
	t.Helper()
	if err := s.Shutdown(within(t, 30*time.Second)); err != nil {
		t.Error(err)
	}
	if n := s.Active(); n != 0 {
		t.Errorf("%d activations after Shutdown, want none", n)
	}
}
