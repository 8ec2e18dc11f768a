//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 30 * time.Second // longer than cartd gives itself
	lastLines  = 20               // of what a server wrote, for errors
)

// process is a server that runs.
type process struct {
	name   string
	url    string // base URL
	ops    string // base URL of the operations port; "" if the server has none
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended; err and lines are set then
	err    error
	lines  []string // the last ones of standard error
}

// serving is the line of JSON that a server logs when it serves.
type serving struct{ Msg, API, Operations string }

// start starts a server and returns when it has logged its addresses: a line with msg "serving" and the field api. env
// is added to the environment, of which CARTD_…, GOGC and GOMAXPROCS are not passed on. The server is killed when this
// process ends, however that ends.
func start(ctx context.Context, name string, env []string, stdin []byte, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Stdin = bytes.NewReader(stdin)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // an interrupt from the terminal is for this process, which ends the servers in order
		Pdeathsig: syscall.SIGKILL,
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CARTD_") && !strings.HasPrefix(v, "GOGC=") && !strings.HasPrefix(v, "GOMAXPROCS=") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, env...) // the last of a name counts
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	addresses := make(chan serving, 1)
	go func() { // ends with the process
		defer close(p.exited)
		p.read(stderr, addresses)
		p.err = p.cmd.Wait()
	}()
	select {
	case s := <-addresses:
		p.url, p.ops = s.API, s.Operations
		return p, nil
	case <-p.exited:
		return nil, p.failure("ended before it served")
	case <-time.After(startLimit):
		err = fmt.Errorf("%s does not serve after %v", name, startLimit)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, errors.Join(err, p.stop())
}

// read keeps the last lines of what the server writes and sends its addresses once.
func (p *process) read(r io.Reader, addresses chan<- serving) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			if len(p.lines) == lastLines {
				p.lines = p.lines[1:]
			}
			p.lines = append(p.lines, line)
			var record serving
			if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "serving" {
				select {
				case addresses <- record:
				default:
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// failure is for a process that has exited.
func (p *process) failure(what string) error {
	return fmt.Errorf("%s %s (%v):\n%s", p.name, what, p.cmd.ProcessState, strings.Join(p.lines, "\n"))
}

// stop asks the process to end, kills it if it does not, and returns an error unless it has ended well.
func (p *process) stop() error {
	signal := func(s syscall.Signal) {
		if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Fprintf(os.Stderr, "bench-http: %v to %s: %v\n", s, p.name, err)
		}
	}
	signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		signal(syscall.SIGKILL)
		<-p.exited
	}
	if p.err != nil {
		return p.failure("did not end well")
	}
	return nil
}

// onDisk refuses a directory in memory, where a sync costs nothing. The numbers are from statfs(2).
func onDisk(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if s.Type == 0x01021994 || s.Type == 0x858458f6 { // tmpfs, ramfs
		return fmt.Errorf("%s is in memory, where a sync costs nothing; name a directory on a disk with -dir", dir)
	}
	return nil
}
