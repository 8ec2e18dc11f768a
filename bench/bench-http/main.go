//go:build linux

// Command bench-http measures what an add costs over HTTP beside the least that it could cost. It starts four servers
// as processes of their own:
//
//	bare           cmd bench-bare: decodes the same body with encoding/json and writes the same answer, keeps nothing;
//	               with the GOGC and GOMAXPROCS that Go gives every program
//	bare tuned     the same with the GOGC and GOMAXPROCS of cartd
//	cartd journal  cartd --durability journal: answers when the event is on stable storage
//	cartd os       cartd --durability os: the same without a sync
//
// and sends POST /v1/carts/{id}/items for one SKU to them in rounds, one server after the other, so that a machine
// whose speed changes changes it for all of them; what counts is the ratio within a round. The answer holds the whole
// cart. A connection sends the next add when the last one is answered. Every answer must be a 2xx, and after the rounds
// each cart must hold as many units as adds to it were answered.
//
// The load is made in this process, on the same processors, which is part of the result: the table shows its share. It
// also shows what the rest of the machine took meanwhile ("others"): a round in which that was much, or not the same for
// all servers, says little.
// Everything is on the loopback interface; the data is in a directory that is removed at the end.
//
//	bench-http -cartd bin/cartd -bare bin/bench-bare -dir bin
//
// It needs Linux: processor times are read from /proc.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	cartd, bare, dir     string
	profile              string
	connections, carts   int
	rounds               int
	round, warmup, pause time.Duration
	gogc, gomaxprocs     string
}

func init() {
	// The servers are to die with this process, and Linux takes the thread that started them for their parent. The
	// main goroutine starts them; locked to the main thread it is there until the end.
	runtime.LockOSThread()
}

func main() {
	var o options
	flag.StringVar(&o.cartd, "cartd", "", "the cartd binary")
	flag.StringVar(&o.bare, "bare", "", "the bench-bare binary")
	flag.StringVar(&o.dir, "dir", ".", "where to make the data directories, on a disk; they are removed at the end")
	flag.IntVar(&o.connections, "connections", 64, "keep-alive connections to each server")
	flag.IntVar(&o.carts, "carts", 1000, "carts that the adds go to, at random")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; each drives each server once")
	flag.DurationVar(&o.round, "round", 2*time.Second, "how long a server is driven in a round")
	flag.DurationVar(&o.warmup, "warmup", time.Second, "how long each server is driven before the first round")
	flag.DurationVar(&o.pause, "pause", 200*time.Millisecond, "pause behind each drive; processor time that a server takes in it counts")
	flag.StringVar(&o.profile, "profile", "", "a directory for profiles of cartd, taken behind the rounds; empty for none")
	flag.Parse()
	o.gogc = cmp.Or(os.Getenv("GOGC"), "400") // cartd's own defaults
	o.gomaxprocs = cmp.Or(os.Getenv("GOMAXPROCS"), strconv.Itoa(runtime.NumCPU()+1))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := errors.Join(o.check(), flagsOnly()); err != nil {
		fmt.Fprintf(os.Stderr, "bench-http: %v\n", err)
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "bench-http: %v\n", err)
		os.Exit(1)
	}
}

func flagsOnly() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flag.Arg(0))
	}
	return nil
}

func (o options) check() error {
	if o.cartd == "" || o.bare == "" {
		return errors.New("-cartd and -bare are needed")
	}
	for _, n := range []struct {
		flag       string
		value, max int
	}{{"-connections", o.connections, 1024}, {"-carts", o.carts, 100_000}, {"-rounds", o.rounds, 100}} {
		if n.value < 1 || n.value > n.max {
			return fmt.Errorf("%s: %d is not within 1 and %d", n.flag, n.value, n.max)
		}
	}
	for _, d := range []struct {
		flag            string
		value, min, max time.Duration
	}{{"-round", o.round, 100 * time.Millisecond, time.Minute}, {"-warmup", o.warmup, 0, time.Minute}, {"-pause", o.pause, 0, time.Minute}} {
		if d.value < d.min || d.value > d.max {
			return fmt.Errorf("%s: %v is not within %v and %v", d.flag, d.value, d.min, d.max)
		}
	}
	return nil
}

// run starts the servers, drives them and prints what was measured.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp(o.dir, "bench-http-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // when all servers have ended
	if err := onDisk(dir); err != nil {
		return err
	}
	targets, stop, err := o.start(ctx, dir)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	if err := o.measure(ctx, targets); err != nil {
		return err
	}
	if o.profile != "" {
		if err := o.profileAll(ctx, targets); err != nil {
			return err
		}
	}
	for _, t := range targets {
		if t.verify == nil {
			continue
		}
		units, err := t.verify(ctx, t.answered)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("%s: %d carts hold %d units, each cart as many as adds to it were answered with a 2xx\n", t.name, len(t.answered), units)
	}
	return nil
}

// start starts the servers. stop ends those that run and must be called also after an error.
func (o options) start(ctx context.Context, dir string) (targets []*target, stop func() error, err error) {
	var running []*process
	stop = func() error {
		var errs []error
		for _, p := range running {
			errs = append(errs, p.stop())
		}
		return errors.Join(errs...)
	}
	env := []string{"GOGC=" + o.gogc, "GOMAXPROCS=" + o.gomaxprocs}
	var example []byte
	for _, durability := range []string{"journal", "os"} {
		name := "cartd " + durability
		p, err := start(ctx, name, env, nil, o.cartd, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0",
			"--log-format=json", "--durability="+durability, "--data="+filepath.Join(dir, durability))
		if err != nil {
			return nil, stop, err
		}
		running = append(running, p)
		c := newShop(p.url)
		ids, err := c.create(ctx, o.carts)
		if err != nil {
			return nil, stop, fmt.Errorf("%s: %w", name, err)
		}
		t := newTarget(name, p, ids)
		t.verify = func(ctx context.Context, want []int64) (int64, error) { return c.verify(ctx, ids, want) }
		if durability == "journal" {
			if example, err = c.example(ctx, ids[0]); err != nil {
				return nil, stop, fmt.Errorf("%s: %w", name, err)
			}
			t.answered[0] += exampleAdds
		}
		targets = append(targets, t)
	}
	var bares []*target
	for _, b := range []struct {
		name string
		env  []string
	}{{"bare", nil}, {"bare tuned", env}} {
		p, err := start(ctx, b.name, b.env, example, o.bare, "-listen=127.0.0.1:0")
		if err != nil {
			return nil, stop, err
		}
		running = append(running, p)
		bares = append(bares, newTarget(b.name, p, targets[0].ids))
	}
	return append(bares, targets...), stop, nil
}

// measure drives the targets in turn, forwards in one round and backwards in the next, and prints each drive.
func (o options) measure(ctx context.Context, targets []*target) error {
	workers := newWorkers(o.connections, o.carts)
	if o.warmup > 0 {
		for _, t := range targets {
			if _, err := workers.drive(ctx, t, o.warmup, o.pause); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	r := newReport(os.Stdout, o)
	for i := range o.rounds {
		for j := range targets {
			k := j
			if i%2 == 1 {
				k = len(targets) - 1 - j
			}
			m, err := workers.drive(ctx, targets[k], o.round, o.pause)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", targets[k].name, i+1, err)
			}
			r.add(i+1, targets[k].name, m)
		}
	}
	return r.summary("bare", "bare tuned")
}
