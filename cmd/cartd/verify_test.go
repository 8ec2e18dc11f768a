//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/logtest"
)

// cartdCmd runs the command to its end and returns its exit code.
func cartdCmd(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := run(t, nil, args...)
	select {
	case <-c.exited:
	case <-time.After(patience):
		t.Fatalf("cartd %q has not ended", args)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stdout.String(), strings.Join(c.lines, "\n"), c.cmd.ProcessState.ExitCode()
}

// storedCart makes a data directory with a cart of three events, and returns it with the path of the cart's file.
func storedCart(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	l, err := filelog.Open(dir, filelog.Options{SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	act := logtest.Activate(t, l, logtest.Stream(t, "c1"))
	for i := range uint64(3) {
		logtest.MustAppend(t, act, i, logtest.Event(int(i)))
	}
	act.Release()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "carts", "*", "c1.events.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got files %v, %v; want one", files, err)
	}
	return dir, files[0]
}

// flip changes one byte of a file.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyExitCodes(t *testing.T) {
	dir, path := storedCart(t)
	if out, errs, code := cartdCmd(t, "verify", dir); code != 0 || !strings.Contains(out, "all is well") {
		t.Errorf("clean: got exit code %d, %q, %q; want 0", code, out, errs)
	}
	flip(t, path, 60)
	if out, errs, code := cartdCmd(t, "verify", dir); code != 1 || !strings.Contains(out, "c1.events.log:1 (byte 0): checksum") || !strings.Contains(out, "cartd repair "+dir+" --yes") {
		t.Errorf("damaged: got exit code %d, %q, %q; want 1 with place and remedy", code, out, errs)
	}
	out, _, code := cartdCmd(t, "verify", "--json", dir)
	var r filelog.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 1 || len(r.Faults) != 1 || r.Faults[0].Kind != filelog.BadChecksum {
		t.Errorf("damaged, as JSON: got exit code %d, %v, %s", code, err, out)
	}
	if _, errs, code := cartdCmd(t, "verify", filepath.Join(dir, "none")); code != 2 || errs == "" {
		t.Errorf("no directory: got exit code %d, %q; want 2", code, errs)
	}
}

func TestRepairNeedsYesAndThenMends(t *testing.T) {
	dir, path := storedCart(t)
	flip(t, path, 60)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, code := cartdCmd(t, "repair", dir); code != 1 || !strings.Contains(out, "checksum") || !strings.Contains(errs, "--yes") {
		t.Errorf("without --yes: got exit code %d, %q, %q; want 1", code, out, errs)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Error("without --yes: the file was changed")
	}
	if out, errs, code := cartdCmd(t, "repair", dir, "--yes"); code != 0 || !strings.Contains(out, "restored from the journal") {
		t.Errorf("got exit code %d, %q, %q; want 0", code, out, errs)
	}
	if out, errs, code := cartdCmd(t, "verify", dir); code != 0 {
		t.Errorf("verify afterwards: got exit code %d, %q, %q; want 0", code, out, errs)
	}
}

func TestExportPrintsEventsAsTheAPIShowsThem(t *testing.T) {
	dir, _ := storedCart(t)
	out, errs, code := cartdCmd(t, "export", "--data", dir, "--cart", "c1")
	if code != 0 {
		t.Fatalf("got exit code %d, %q", code, errs)
	}
	dec := json.NewDecoder(strings.NewReader(out))
	for i := range uint64(3) {
		var ev exported
		if err := dec.Decode(&ev); err != nil || ev.CartID != "c1" || ev.Branch != "main" || ev.Version != i+1 || ev.Position != i+1 || ev.Type != "AddItem" || len(ev.Payload) == 0 {
			t.Errorf("event %d: got %+v, %v", i, ev, err)
		}
	}
	if dec.More() {
		t.Error("there is more than three events")
	}
	if _, errs, code := cartdCmd(t, "export", "--data", dir, "--cart", "none"); code != 1 || errs == "" {
		t.Errorf("no such cart: got exit code %d, %q; want 1", code, errs)
	}
}
