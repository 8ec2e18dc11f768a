// Command monitor lets one look at cartd's metrics without a cluster: a cartd with the demo catalogue, a moderate load, and a
// Prometheus with the rules of k8s/monitoring, all on loopback. It is what `make monitor` runs.
//
//	monitor -cartd bin/cartd -rate 50 -for 1h
//
// It ends all that it has started, by itself after -for, at Ctrl-C, or when one of them ends. What they have written is below
// -dir until the next run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"cartd/k8s/monitoring/check/shoppers"
)

// token is the backend's of this one cartd.
const token = "monitor"

// configName is that of Prometheus' configuration in -dir, which is written before anything is started.
const configName = "prometheus.yaml"

type options struct {
	cartd, prometheus, config, dir string
	rate                           int
	limit                          time.Duration
}

func init() {
	// What is started dies with this process, and Linux takes the thread that started it for the parent: that of main.
	runtime.LockOSThread()
}

func main() {
	var o options
	flag.StringVar(&o.cartd, "cartd", "bin/cartd", "the cartd binary")
	flag.StringVar(&o.prometheus, "prometheus", "prometheus", "the Prometheus binary")
	flag.StringVar(&o.config, "config", "k8s/monitoring/prometheus.yaml", "its configuration")
	flag.StringVar(&o.dir, "dir", "bin/monitor-data", "where their data is; what an earlier run has left there is removed")
	flag.IntVar(&o.rate, "rate", 50, "requests a second, up to 1000")
	flag.DurationVar(&o.limit, "for", time.Hour, "how long, up to 24h")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "monitor: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if flag.NArg() > 0 || o.rate < 1 || o.rate > 1000 || o.limit <= 0 || o.limit > 24*time.Hour {
		return errors.New("-rate must be 1 to 1000, -for up to 24h, and there are no other arguments")
	}
	if err := empty(o.dir); err != nil {
		return err
	}
	var calls atomic.Int64
	receiver, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer receiver.Close()
	go http.Serve(receiver, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:errcheck // until it is closed
		if calls.Add(1)%100 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // as receivers do now and then
		}
	}))

	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	api, ops, web := ports[0], ports[1], ports[2]
	config, err := configFor(o, ops)
	if err != nil {
		return err
	}
	cartd, err := start(o.dir, o.cartd, []string{"CARTD_BACKEND_TOKEN=" + token}, "serve", "--listen="+api, "--ops-listen="+ops, "--data="+filepath.Join(o.dir, "cartd"),
		"--sweep-every=1m", "--idle=1m", "--expire-empty=5m", "--expire-guest=15m")
	if err != nil {
		return err
	}
	defer cartd.end()
	prometheus, err := start(o.dir, o.prometheus, nil, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(o.dir, "prometheus"),
		"--web.listen-address="+web, "--storage.tsdb.retention.time=30d")
	if err != nil {
		return err
	}
	defer prometheus.end()
	for _, p := range []struct {
		*process
		url string
	}{{cartd, "http://" + ops + "/readyz"}, {prometheus, "http://" + web + "/-/ready"}} {
		if err := p.ready(ctx, p.url); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithTimeout(ctx, o.limit) // however long all of it took to start
	defer cancel()
	load := &shoppers.Load{URL: "http://" + api, Token: token, PerSecond: o.rate}
	if err := load.Subscribe(ctx, "monitor", "http://"+receiver.Addr().String()); err != nil {
		return err
	}
	fmt.Printf(`
cartd       http://%[1]s/docs        %[4]d requests a second; backend token %[5]q
its metrics http://%[2]s/metrics
Prometheus  http://%[3]s/targets     is cartd up?
            http://%[3]s/alerts      nothing should fire
            http://%[3]s/graph?g0.expr=%[6]s&g0.tab=0&g0.range_input=15m
dashboards  k8s/monitoring/dashboards/*.json, for a Grafana whose data source is that Prometheus
logs        %[7]s

Ctrl-C ends all of it; so does %[8]v.
`, api, ops, web, o.rate, token, "sum%20by%20(route)(rate(cartd_http_requests_total%5B1m%5D))", filepath.Join(o.dir, "*.log"), o.limit)

	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	for _, p := range []*process{cartd, prometheus} {
		go func() {
			<-p.ended
			failed(fmt.Errorf("%s has ended: see %s", p.name, p.log))
		}()
	}
	sent, err := load.Run(ctx)
	fmt.Printf("\n%d requests were sent.\n", sent)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

// empty makes dir an empty directory, unless it has what no monitor has left there.
func empty(dir string) error {
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(there) > 0 && !slices.ContainsFunc(there, func(e os.DirEntry) bool { return e.Name() == configName }) {
		return fmt.Errorf("-dir %s is not empty, and not of an earlier monitor", dir)
	}
	return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700))
}

// freePorts returns addresses of loopback that nobody listens at, now.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, or one port would come twice
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// configFor writes o.config for the address ops, with the rules beside it, and returns the path.
func configFor(o options, ops string) (string, error) {
	text, err := os.ReadFile(o.config)
	if err != nil {
		return "", err
	}
	const there = "127.0.0.1:8081"
	if !strings.Contains(string(text), there) {
		return "", fmt.Errorf("%s does not scrape %s", o.config, there)
	}
	path := filepath.Join(o.dir, configName)
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), there, ops, 1)), 0o600); err != nil {
		return "", err
	}
	rules, err := filepath.Abs(filepath.Join(filepath.Dir(o.config), "rules"))
	if err != nil {
		return "", err
	}
	return path, os.Symlink(rules, filepath.Join(o.dir, "rules"))
}

// process is one that was started here.
type process struct {
	name, log string
	cmd       *exec.Cmd
	ended     chan struct{} // closed when it has
}

// start starts a program, which writes to a file in dir.
func start(dir, exe string, env []string, args ...string) (*process, error) {
	name := filepath.Base(exe)
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	p := &process{name: name, log: log.Name(), cmd: exec.Command(exe, args...), ended: make(chan struct{})}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CARTD_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	apart(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait() //nolint:errcheck // its log says more
	}()
	return p, nil
}

// ready waits until url answers 200.
func (p *process) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s has ended: see %s", p.name, p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, ctx.Err())
		}
	}
}

// end asks the process to end, and sees that it does.
func (p *process) end() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.ended
	}
}
