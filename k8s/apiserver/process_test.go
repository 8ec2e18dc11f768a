package apiserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs until its test ends, or its test's process, however that ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string        // file with all that it says
	exited chan struct{} // closed when it has ended
}

// start starts a program of bin/k8s. It is ended after the test, by its own pid; if the test has failed the end of its log is
// shown.
func start(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(filepath.Join(programs(t), name), args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = out, out, dir
	p.cmd.SysProcAttr = endsWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // the log says why it ended
		close(p.exited)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said last:\n%s", name, p.said(10))
		}
		p.end()
	})
	return p
}

// end asks the program to end, and kills it if it does not. What it kept is thrown away, so nothing is lost.
func (p *process) end() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second): // kube-apiserver waits for watches that nobody ends
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.exited
	}
}

// said returns the last lines of the program's log.
func (p *process) said(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
