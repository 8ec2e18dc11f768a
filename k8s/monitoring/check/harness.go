package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Token is the backend token of every server here.
const Token = "shop-token"

// patience bounds every wait. It is far more than anything takes: a test that meets it has failed.
const patience = 60 * time.Second

// binaryDir is what TestMain removes; empty when no test has needed a cartd.
var binaryDir string

// binary is cartd, built once for all tests of the process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cartd-check-")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	exe := filepath.Join(dir, "cartd")
	build := exec.Command("go", "build", "-o", exe, "./cmd/cartd")
	build.Dir = Root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return exe, fmt.Errorf("go build ./cmd/cartd: %w\n%s", err, out)
	}
	return exe, nil
})

// Root is the checkout, from the directory that tests run in.
const Root = "../../.."

// Cartd returns the path of a cartd of this checkout, which is built by the first call.
func Cartd(t testing.TB) string {
	t.Helper()
	exe, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// Options say how a cartd is started. The zero value is one with an empty directory.
type Options struct {
	Data  string   // its directory; default: a new one that goes away with the test
	Flags []string // more flags of `cartd serve`
	Env   []string // more NAME=value
	// Wrap comes before the command, which it has to run in its own process: {"sh", "-c", `ulimit -f 64; exec "$@"`, "sh"}.
	Wrap []string
}

// Server is a cartd that serves, or has served.
type Server struct {
	Data     string // its directory
	API, Ops string // base URLs
	// Exited is closed when the process has ended and State may be called.
	Exited chan struct{}

	t   testing.TB
	cmd *exec.Cmd

	mu    sync.Mutex // guards the following
	lines []string   // of stderr
	news  chan struct{}
}

// Start starts a cartd on free ports of loopback and returns when it serves. It is killed when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := Launch(t, o)
	record := s.Logged("serving")
	s.API, _ = record["api"].(string)
	s.Ops, _ = record["operations"].(string)
	return s
}

// Launch is Start without the waiting: for a cartd that may not come to serve.
func Launch(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Data == "" {
		o.Data = t.TempDir()
	}
	args := append(slices.Clone(o.Wrap), Cartd(t), "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--log-format=json", "--data="+o.Data)
	args = append(args, o.Flags...)
	s := &Server{Data: o.Data, t: t, cmd: exec.Command(args[0], args[1:]...), Exited: make(chan struct{}), news: make(chan struct{})}
	s.cmd.Dir = t.TempDir()
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CARTD_") })
	s.cmd.Env = append(append(s.cmd.Env, "CARTD_BACKEND_TOKEN="+Token), o.Env...)
	endWithParent(s.cmd)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.Exited)
		s.read(stderr)
		s.cmd.Wait() //nolint:errcheck // State has it
	}()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("cartd %s wrote:\n%s", strings.Join(o.Flags, " "), s.Log())
		}
	})
	return s
}

// read keeps what the process writes, line by line, until it ends.
func (s *Server) read(stderr io.Reader) {
	r := bufio.NewReader(stderr)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			s.mu.Lock()
			s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
			close(s.news)
			s.news = make(chan struct{})
			s.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// Log returns what the process has written to stderr.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// Logged waits for a log record with the message msg and returns it.
func (s *Server) Logged(msg string) map[string]any {
	s.t.Helper()
	timeout := time.After(patience)
	for seen, ended := 0, false; ; {
		s.mu.Lock()
		lines, news := s.lines, s.news
		s.mu.Unlock()
		for ; seen < len(lines); seen++ {
			var record map[string]any
			if json.Unmarshal([]byte(lines[seen]), &record) == nil && record["msg"] == msg {
				return record
			}
		}
		if ended {
			s.t.Fatalf("cartd ended (%v) without having logged %q:\n%s", s.cmd.ProcessState, msg, s.Log())
		}
		select {
		case <-news:
		case <-s.Exited:
			ended = true // after one more look
		case <-timeout:
			s.t.Fatalf("cartd did not log %q:\n%s", msg, s.Log())
		}
	}
}

// Kill ends the process as a power cut would, and waits until it is gone.
func (s *Server) Kill() {
	s.cmd.Process.Signal(syscall.SIGKILL) //nolint:errcheck // it may have ended
	<-s.Exited
}

// Stop asks the process to end, and waits until it has.
func (s *Server) Stop() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	s.WaitExit()
}

// WaitExit waits for the end of the process and returns its exit code; -1 stands for a signal.
func (s *Server) WaitExit() int {
	s.t.Helper()
	select {
	case <-s.Exited:
	case <-time.After(patience):
		s.Kill()
		s.t.Fatal("cartd did not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// client follows no redirects and has no time-out: the test's own is there.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// Do sends a request to the public API and returns the answer. header holds names and values in turn; "backend" as a name
// alone stands for the backend's token. It is an error of the test when there is no answer.
func (s *Server) Do(method, path, body string, header ...string) (status int, answer string, h http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.API+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// Backend is the header of the shop's backend, for Do.
var Backend = []string{"Authorization", "Bearer " + Token}

// Metrics returns what /metrics says. The error is that there is no answer, or not 200.
func (s *Server) Metrics() ([]byte, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.Ops+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4") // native histograms would come without classic buckets
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: %s", resp.Status)
	}
	return b.Bytes(), nil
}

// Eventually asks until ok says yes.
func Eventually(t testing.TB, what string, ok func() bool) {
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
