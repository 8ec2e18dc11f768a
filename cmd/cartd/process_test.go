//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cartd/internal/courier"
	"cartd/pkg/actor"
)

// The tests of this package drive the real program: the test binary starts itself again as cartd, so that the race
// detector watches the server too and nothing has to be built beside it.
const (
	asCartd   = "CARTD_TEST_AS_CARTD"   // set: be cartd
	fileLimit = "CARTD_TEST_FILE_LIMIT" // bytes that a file may have, in decimal
	killAt    = "CARTD_TEST_KILL_AT"    // a courier.Step: the process is killed at the first one
)

// patience bounds every wait. It is far more than anything takes: a test that meets it has failed.
const patience = 60 * time.Second

// token is the backend token of every server here.
const token = "shop-token"

func TestMain(m *testing.M) {
	if os.Getenv(asCartd) == "" {
		os.Exit(m.Run())
	}
	go func() {
		io.Copy(io.Discard, os.Stdin) // ends with the test process, which holds the other end, however that ends
		os.Exit(3)
	}()
	if err := limitFiles(os.Getenv(fileLimit)); err != nil {
		panic(err)
	}
	firstRetry = 5 * time.Millisecond
	if at := os.Getenv(killAt); at != "" {
		onStep = func(step courier.Step, _ actor.Errand) {
			if string(step) == at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // it cannot fail
				select {}
			}
		}
	}
	main()
	os.Exit(0)
}

// child is one run of cartd.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer  // complete when exited is closed
	exited chan struct{} // closed when the process has ended and cmd.ProcessState is set

	mu    sync.Mutex // guards the following
	lines []string   // of stderr
	news  chan struct{}
}

// run starts cartd with args; env holds additional NAME=value. The process is killed when the test ends.
func run(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(exe, args...), exited: make(chan struct{}), news: make(chan struct{})}
	c.cmd.Dir = t.TempDir() // ./data, if a test ends up there, goes away
	c.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CARTD_") })
	// The race detector would wait a second at each exit for other threads to report.
	c.cmd.Env = append(append(c.cmd.Env, asCartd+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")), env...)
	c.cmd.Stdout = &c.stdout
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.exited)
		c.read(stderr)
		c.cmd.Wait() //nolint:errcheck // the tests look at ProcessState
		stdin.Close()
	}()
	t.Cleanup(func() {
		c.signal(syscall.SIGKILL)
		c.wait()
		if log := c.log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "\npanic: ") || t.Failed() {
			t.Errorf("cartd %s wrote:\n%s", strings.Join(args, " "), log)
		}
	})
	return c
}

// read keeps what the process writes, line by line, until it ends.
func (c *child) read(stderr io.Reader) {
	r := bufio.NewReader(stderr)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			c.mu.Lock()
			c.lines = append(c.lines, strings.TrimSuffix(line, "\n"))
			close(c.news)
			c.news = make(chan struct{})
			c.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (c *child) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// logged waits for a log record with the message msg and returns it.
func (c *child) logged(msg string) map[string]any {
	c.t.Helper()
	timeout := time.After(patience)
	for seen, ended := 0, false; ; {
		c.mu.Lock()
		lines, news := c.lines, c.news
		c.mu.Unlock()
		for ; seen < len(lines); seen++ {
			var record map[string]any
			if json.Unmarshal([]byte(lines[seen]), &record) == nil && record["msg"] == msg {
				return record
			}
		}
		if ended {
			c.t.Fatalf("cartd ended (%v) without having logged %q", c.cmd.ProcessState, msg)
		}
		select {
		case <-news:
		case <-c.exited:
			ended = true // after one more look
		case <-timeout:
			c.t.Fatalf("cartd did not log %q", msg)
		}
	}
}

// signal sends sig; a process that has ended is none of its business.
func (c *child) signal(sig syscall.Signal) { c.cmd.Process.Signal(sig) }

// wait waits for the end of the process.
func (c *child) wait() *os.ProcessState {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.signal(syscall.SIGQUIT) // its stacks tell why
		<-c.exited
		c.t.Fatal("cartd did not end")
	}
	return c.cmd.ProcessState
}

// kill ends the process as a power cut would and waits until it is gone.
func (c *child) kill() {
	c.t.Helper()
	c.signal(syscall.SIGKILL)
	c.wait()
}

// wantExit waits for the end of the process and checks its exit code; -1 stands for a signal.
func (c *child) wantExit(code int) {
	c.t.Helper()
	if state := c.wait(); state.ExitCode() != code {
		c.t.Errorf("cartd ended with %v, want exit code %d", state, code)
	}
}

// server is a cartd that serves.
type server struct {
	*child
	data     string // its directory
	api, ops string // base URLs
	http     *http.Client
}

// serve starts a server on data and returns when it is ready.
func serve(t *testing.T, data string, args ...string) *server {
	t.Helper()
	return serveWith(t, nil, data, args...)
}

func serveWith(t *testing.T, env []string, data string, args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--log-format=json", "--data=" + data}, args...)
	return attach(t, run(t, append(env, "CARTD_BACKEND_TOKEN="+token), args...), data)
}

// attach waits until c, which logs JSON, serves.
func attach(t *testing.T, c *child, data string) *server {
	t.Helper()
	record := c.logged("serving")
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	s := &server{child: c, data: data, http: &http.Client{Timeout: patience}}
	s.api, _ = record["api"].(string)
	s.ops, _ = record["operations"].(string)
	s.http.Transport = &conforming{t: t, ops: s.ops, next: transport}
	if code, body := s.ready(); code != http.StatusOK {
		t.Fatalf("/readyz of a server that says it serves: %d %q, want 200", code, body)
	}
	return s
}

// ready asks /readyz; 0 when nobody answers.
func (s *server) ready() (status int, body string) {
	resp, err := s.http.Get(s.ops + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// eventually asks until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never happened: %s", what)
		}
	}
}
