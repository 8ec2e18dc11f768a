package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// smallDisk mounts a file system of so many bytes in memory. It needs CAP_SYS_ADMIN: without, the test is skipped, and
// says so.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("cartd-test", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d", size))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("\n*** NOT TESTED: a real full disk. Mounting a tmpfs takes CAP_SYS_ADMIN (%v); run as root. ***", err)
	}
	if err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill takes all but rest bytes of the disk, until the function that it returns is called.
func fill(t *testing.T, disk string, rest uint64) (release func()) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	free := s.Bavail * uint64(s.Bsize)
	path := filepath.Join(disk, "ballast")
	if free > rest {
		if err := os.WriteFile(path, make([]byte, free-rest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

// flood lets writers add until each of them has been refused, and returns what they were told.
func flood(t *testing.T, s *server, l *ledger, name, shared string) map[string]int {
	t.Helper()
	var mu sync.Mutex // guards codes
	codes := map[string]int{}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(writer{
			s: s, ledger: l, name: fmt.Sprint(name, n), shared: shared, keys: true, padding: strings.Repeat("x", 500),
			answered: func() {},
			stop: func(a answer, err error) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					codes["no answer"]++ // sent too late: the server is stopping
				case a.status == http.StatusGatewayTimeout:
					wantProblem(t, a, http.StatusGatewayTimeout, "outcome_unknown")
					codes["outcome_unknown"]++
				default:
					wantProblem(t, a, http.StatusServiceUnavailable, "unavailable")
					codes["unavailable"]++
				}
			},
		}.run)
	}
	wg.Wait()
	return codes
}

// TestFullDiskIsNoticedInAdvanceAndWritesResumeByThemselves: the disk runs full under load. Changes are refused before
// anything fails, reads go on; when there is room again, so do changes, in the same process.
func TestFullDiskIsNoticedInAdvanceAndWritesResumeByThemselves(t *testing.T) {
	t.Parallel()
	const shared = "shared"
	disk := smallDisk(t, 96<<20)
	l := &ledger{}
	s := serve(t, filepath.Join(disk, "data"), "--low-disk=8MiB")
	s.create(t, shared)
	l.create(shared, true)
	s.create(t, "probe")
	release := fill(t, disk, 8<<20+256<<10)

	codes := flood(t, s, l, "w", shared)
	if codes["unavailable"] != 8 {
		t.Errorf("writers were told %v, want 503 each", codes)
	}
	if v := s.metrics(t)["cartd_event_log_low_space"]; v != 1 {
		t.Errorf("cartd_event_log_low_space is %v, want 1", v)
	}
	if status, body := s.ready(); status != http.StatusOK {
		t.Errorf("/readyz: %d %q, want 200: reads go on", status, body)
	}
	l.check(t, s)

	release()
	eventually(t, "changes are accepted again", func() bool {
		a, err := s.try("POST", "/v1/carts/probe/mutations", addItem("A", 1, 1, ""), "Idempotency-Key", "probe")
		return err == nil && a.status == http.StatusOK
	})
	l.repeat(t, s)
	l.check(t, s)
	if v := s.metrics(t)["cartd_event_log_write_failures_total"]; v != 0 {
		t.Errorf("cartd_event_log_write_failures_total is %v, want 0", v)
	}
	s.kill()
	s = serve(t, filepath.Join(disk, "data"), "--low-disk=8MiB")
	l.check(t, s)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}

// TestDiskThatFillsUpUnnoticedLosesNothingAnswered: with no low-water mark a write fails with ENOSPC in the middle of a
// load. The process ends; it starts again when there is room, and everything that was answered is there.
func TestDiskThatFillsUpUnnoticedLosesNothingAnswered(t *testing.T) {
	t.Parallel()
	const shared = "shared"
	disk := smallDisk(t, 96<<20)
	data, l := filepath.Join(disk, "data"), &ledger{}
	s := serve(t, data, "--low-disk=0", "--request-timeout=60s", "--shutdown-timeout=60s")
	s.create(t, shared)
	l.create(shared, true)
	s.create(t, "held")
	late := s.hold(t, "/v1/carts/held/mutations", addItem("LATE", 1, 100, "")) // keeps the process alive while we look
	release := fill(t, disk, 256<<10)

	codes := flood(t, s, l, "w", shared)
	if codes["unavailable"]+codes["outcome_unknown"]+codes["no answer"] != 8 {
		t.Errorf("writers were told %v, want 503 or 504 each, or nothing", codes)
	}
	if status, body := s.ready(); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a failed store: %d %q, want 503", status, body)
	}
	wantProblem(t, late.finish(t), http.StatusServiceUnavailable, "unavailable")
	s.wantExit(1)
	if log := s.log(); !strings.Contains(log, "no space left on device") {
		t.Errorf("stderr is %q, want the reason", log)
	}

	release()
	s = serve(t, data, "--low-disk=0")
	l.check(t, s)
	l.repeat(t, s)
	l.check(t, s)
	for id := range l.created {
		wantSameAsLog(t, s, id)
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	t.Logf("%d adds, the last of 8 writers: %v", len(l.adds), codes)
}

// TestStartOnAFullDiskRefusesChangesAndServesReads: what is stored is shown all the same.
func TestStartOnAFullDiskRefusesChangesAndServesReads(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 96<<20)
	data := filepath.Join(disk, "data")
	s := serve(t, data, "--low-disk=8MiB")
	s.create(t, "c")
	s.add(t, "c", "BEFORE")
	want := s.cart(t, "c")
	s.signal(syscall.SIGTERM)
	s.wantExit(0)

	release := fill(t, disk, 128<<10)
	before := bytes.Clone(logFile(t, data, "c"))
	s = serve(t, data, "--low-disk=8MiB")
	if d := cmp.Diff(want, s.cart(t, "c")); d != "" {
		t.Errorf("cart on a full disk (-want +got):\n%s", d)
	}
	a := s.do(t, http.StatusServiceUnavailable, "POST", "/v1/carts/c/mutations", addItem("AFTER", 1, 100, ""))
	wantProblem(t, a, http.StatusServiceUnavailable, "unavailable")
	if !bytes.Equal(before, logFile(t, data, "c")) {
		t.Error("the cart's file was changed")
	}
	release()
	eventually(t, "changes are accepted again", func() bool {
		a, err := s.try("POST", "/v1/carts/c/mutations", addItem("AFTER", 1, 100, ""), "Idempotency-Key", "after")
		return err == nil && a.status == http.StatusOK
	})
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}
