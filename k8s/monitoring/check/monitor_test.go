package check

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMonitorShowsWhereToLookAndEndsAllThatItStarted(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("SKIPPED: `make monitor` was not tried: prometheus is not on the PATH (Debian: apt-get install prometheus; `make test` does so as root)")
	}
	exe := filepath.Join(t.TempDir(), "monitor")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exe, "./monitor").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-cartd", Cartd(t), "-config", "../prometheus.yaml", "-dir", t.TempDir(), "-rate", "200", "-for", "4s")
	endWithParent(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("monitor: %v\n%s", err, out)
	}
	addresses := regexp.MustCompile(`http://(127\.0\.0\.1:\d+)/(docs|metrics|targets)`).FindAllStringSubmatch(string(out), -1)
	if len(addresses) != 3 || strings.Contains(string(out), "\n0 requests were sent") || !strings.Contains(string(out), " requests were sent") {
		t.Errorf("monitor says %q, want where to look, and how many requests were sent", out)
	}
	for _, a := range addresses {
		if conn, err := net.Dial("tcp", a[1]); err == nil {
			conn.Close()
			t.Errorf("somebody listens at %s still", a[1])
		}
	}
	// A directory of somebody else's is left alone.
	other := t.TempDir()
	mine := filepath.Join(other, "mine")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), exe, "-dir", other).CombinedOutput(); err == nil || !strings.Contains(string(out), "not empty") {
		t.Errorf("monitor with somebody else's directory: %v %q, want it refused", err, out)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"-rate", "0"}, {"-rate", "1001"}, {"-for", "25h"}, {"more"}} {
		if out, err := exec.CommandContext(t.Context(), exe, args...).CombinedOutput(); err == nil || !strings.Contains(string(out), "must be") {
			t.Errorf("monitor %q: %v %q, want it refused", args, err, out)
		}
	}
}
