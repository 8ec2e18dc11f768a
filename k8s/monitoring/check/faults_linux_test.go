package check

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of so many bytes in memory, which takes CAP_SYS_ADMIN.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("cartd-check", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d", size))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("\n*** SKIPPED: a real full disk. Mounting a tmpfs takes CAP_SYS_ADMIN (%v); run as root. ***", err)
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

func TestFaultDiskIsFull(t *testing.T) {
	t.Parallel()
	const low = 8 << 20
	disk := smallDisk(t, 160<<20)
	s, w := Start(t, Options{Data: filepath.Join(disk, "data"), Flags: []string{"--low-disk=8MiB"}}), newWatch(t)
	cart := w.shop(s, sound)

	ballast := filepath.Join(disk, "ballast")
	fill := func(rest uint64) {
		t.Helper()
		var f syscall.Statfs_t
		if err := syscall.Statfs(disk, &f); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ballast, make([]byte, f.Bavail*uint64(f.Bsize)-rest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill(3 * low)
	w.scrape(s)
	w.hold(59 * 60e9)
	w.quiet("hardly any room for less than an hour")
	w.hold(2 * 60e9)
	w.want("hardly any room", "CartdDiskFillsUp")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fill(low / 2)
	Eventually(t, "changes are refused", func() bool { return add(s, cart, sound) == http.StatusServiceUnavailable })
	for range 30 {
		add(s, cart, sound)
		w.scrape(s)
	}
	w.want("the disk is full", "CartdDiskFull", "CartdErrorBudgetBurnsFast", "CartdErrorBudgetBurns")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "changes are accepted again", func() bool { return add(s, cart, sound) != http.StatusServiceUnavailable })
	w.scrape(s)
	w.scrape(s)
	for _, name := range w.firing() {
		if strings.Contains(name, "Disk") {
			t.Errorf("%s fires, though there is room again", name)
		}
	}
	s.Stop()
}

func TestFaultLogFails(t *testing.T) {
	t.Parallel()
	// A file of more than 64 KiB cannot be written: EFBIG, in the middle of what is answered.
	s, w := Start(t, Options{Wrap: []string{"sh", "-c", `ulimit -f 128; exec "$@"`, "sh"}}), newWatch(t)
	cart := w.shop(s, sound)

	// Somebody who sends slowly keeps the process alive while it drains.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.API, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/carts HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the slow one is noticed", func() bool {
		body, err := s.Metrics()
		return err == nil && strings.Contains(string(body), "\ncartd_http_requests_in_flight 1\n")
	})
	refused := false
	for range 1000 { // some 250 bytes each
		resp, err := http.Post(s.API+"/v1/carts/"+cart+"/items", "application/json", strings.NewReader(`{"sku":"85123A","quantity":1}`))
		if refused = err != nil; refused { // it does not listen any more
			break
		}
		resp.Body.Close()
		if refused = resp.StatusCode >= 500; refused {
			break
		}
	}
	if !refused {
		t.Fatal("the cart's file has become larger than it may")
	}
	if !w.scrape(s) {
		t.Fatalf("it ended before anybody could look:\n%s", s.Log())
	}
	w.want("a write has failed", "CartdLogFailed")
	conn.Close()
	if code := s.WaitExit(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for range 6 {
		w.scrape(s)
	}
	w.want("the process has ended, and nobody starts it again", "CartdDown", "CartdLogFailed")
	w.scrape(Start(t, Options{Data: s.Data}))
	w.want("somebody has", "CartdCrashed", "CartdLogFailed")
}

// Nobody holds the process up this time, and it is gone before it is scraped: what is left to see is that it did not close
// its log.
func TestFaultLogFailsUnseen(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{Wrap: []string{"sh", "-c", `ulimit -f 128; exec "$@"`, "sh"}}), newWatch(t)
	cart := w.shop(s, sound)
	for range 1000 {
		resp, err := http.Post(s.API+"/v1/carts/"+cart+"/items", "application/json", strings.NewReader(`{"sku":"85123A","quantity":1}`))
		if err != nil {
			break
		}
		resp.Body.Close()
		if resp.StatusCode >= 500 {
			break
		}
	}
	if code := s.WaitExit(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	s = Start(t, Options{Data: s.Data})
	w.scrape(s)
	w.want("a write failed, and it was started again at once", "CartdCrashed")
	w.hold(time.Hour + step)
	w.quiet("an hour later")
}
