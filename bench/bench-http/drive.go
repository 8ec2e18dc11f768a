//go:build linux

package main

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// target is a server under load.
type target struct {
	name     string
	process  *process
	ids      []string // of the carts
	requests [][]byte // an add to each cart
	answered []int64  // adds that were answered with a 2xx, by cart
	// verify reads the carts and compares; nil for a server that keeps nothing.
	verify func(ctx context.Context, want []int64) (units int64, err error)
}

func newTarget(name string, p *process, ids []string) *target {
	t := &target{name: name, process: p, ids: ids, answered: make([]int64, len(ids))}
	for _, id := range ids {
		t.requests = append(t.requests, addRequest(strings.TrimPrefix(p.url, "http://"), id, sku))
	}
	return t
}

// measurement is what one drive came to.
type measurement struct {
	perSecond    float64       // adds answered within the time
	p50, p99     time.Duration // from the first byte written to the last byte read
	serverCPU    time.Duration // per add, pause included
	generatorCPU time.Duration // per add, of this process
	answerBytes  int           // mean length of the body
	others       float64       // share of all processors that neither server nor generator had and that was not idle
}

// worker is what one connection has done in the present drive.
type worker struct {
	random  *rand.Rand
	took    []time.Duration // of adds that were answered within the time
	perCart []int64         // adds that were answered
	bytes   int             // of their bodies
}

type workers []*worker

// newWorkers returns a worker for each connection; they choose the same carts in each run.
func newWorkers(connections, carts int) workers {
	ws := make(workers, connections)
	for i := range ws {
		ws[i] = &worker{random: rand.New(rand.NewPCG(1, uint64(i))), perCart: make([]int64, carts)}
	}
	return ws
}

// drive sends adds to t over new connections, one for each worker, for the time d, and counts what was answered in t.
// It fails with the first answer that is no 2xx; t then lacks the adds of this drive.
func (ws workers) drive(ctx context.Context, t *target, d, pause time.Duration) (measurement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]*conn, 0, len(ws))
	for range ws {
		c, err := dial(ctx, strings.TrimPrefix(t.process.url, "http://"), d+30*time.Second)
		if err != nil {
			return measurement{}, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	defer context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.Close()
		}
	})()

	before, err := usageOf(t.process)
	if err != nil {
		return measurement{}, err
	}
	start := time.Now()
	var wg sync.WaitGroup
	for i, w := range ws {
		w.took, w.bytes = w.took[:0], 0
		clear(w.perCart)
		wg.Go(func() {
			if err := w.run(conns[i], t.requests, start.Add(d)); err != nil {
				cancel(err) // the first one counts
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return measurement{}, err
	}
	if err := sleep(ctx, pause); err != nil {
		return measurement{}, err
	}
	after, err := usageOf(t.process)
	if err != nil {
		return measurement{}, err
	}
	return ws.measured(t, d, before, after), nil
}

// measured adds the workers up.
func (ws workers) measured(t *target, d time.Duration, before, after usage) measurement {
	var took []time.Duration
	var answered int64
	var bytes int
	for _, w := range ws {
		took = append(took, w.took...)
		bytes += w.bytes
		for cart, n := range w.perCart {
			t.answered[cart] += n
			answered += n
		}
	}
	slices.Sort(took)
	each := time.Duration(max(answered, 1))
	server, generator := after.server-before.server, after.generator-before.generator
	all := after.at.Sub(before.at) * time.Duration(runtime.NumCPU())
	return measurement{
		perSecond: float64(len(took)) / d.Seconds(), p50: quantile(took, 0.5), p99: quantile(took, 0.99),
		serverCPU: server / each, generatorCPU: generator / each, answerBytes: bytes / int(each),
		others: max(0, float64(after.machine-before.machine-server-generator)/float64(all)),
	}
}

// run sends adds until end; the last answer may come later.
func (w *worker) run(c *conn, requests [][]byte, end time.Time) error {
	for sent := time.Now(); ; {
		cart := w.random.IntN(len(requests))
		n, err := c.roundTrip(requests[cart])
		if err != nil {
			return err
		}
		w.perCart[cart]++
		w.bytes += n
		now := time.Now()
		if now.After(end) {
			return nil
		}
		w.took = append(w.took, now.Sub(sent))
		sent = now
	}
}

// quantile returns the smallest of the sorted values that the share q of them do not exceed; 0 if there is none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
