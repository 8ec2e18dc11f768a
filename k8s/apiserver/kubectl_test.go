package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// sound runs a command and returns what it prints. An exit code other than 0 is an error, and so is a `Warning:`: that is all
// that the server says of a StatefulSet whose pods it is going to refuse.
func sound(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil && strings.Contains(stdout.String()+stderr.String(), "Warning:") {
		err = errors.New("it warns")
	}
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s%s", cmd.Args, err, &stdout, &stderr)
	}
	return stdout.String(), err
}

// kubectl is the administrator's; it has to succeed without a warning.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.kubectlWith(t, "", args...)
}

// kubectlWith is kubectl with a text at standard input.
func (c *cluster) kubectlWith(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := c.command(t, "kubectl", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := sound(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused is a kubectl that has to fail, or to warn, with a text that has each of these in it.
func (c *cluster) refused(t *testing.T, reasons []string, stdin string, args ...string) {
	t.Helper()
	cmd := c.command(t, "kubectl", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := sound(cmd)
	if err == nil {
		t.Errorf("%v is fine, want it refused:\n%s", args, out)
		return
	}
	for _, reason := range reasons {
		if !strings.Contains(err.Error(), reason) {
			t.Errorf("%v\nwant a refusal with %q", err, reason)
		}
	}
}

// jsonOf is a value as JSON, to be read by a command.
func jsonOf(v any) io.Reader {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the values are those of the tests
	}
	return bytes.NewReader(b)
}

// await gets objects until they are as wanted, and returns them. What is not there yet is waited for.
func await[T any](t *testing.T, c *cluster, wanted func(*T) bool, args ...string) T {
	t.Helper()
	var got string
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) { // it is another program that changes them
		var v T
		got, err = sound(c.command(t, "kubectl", append([]string{"get", "--output=json", "--namespace=" + namespace}, args...)...))
		if err != nil {
			continue
		}
		if err = json.Unmarshal([]byte(got), &v); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		if wanted(&v) {
			return v
		}
	}
	t.Fatalf("%v is not as wanted after %v: %v\n%s", args, patience, err, got)
	panic("not reached")
}
