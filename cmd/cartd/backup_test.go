//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cartd/internal/eventlog/filelog"
)

// cartdEnv is cartdCmd with additional NAME=value.
func cartdEnv(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := run(t, env, args...)
	code = c.wait().ExitCode()
	return c.stdout.String(), c.log(), code
}

// mustCartd wants the command to end well.
func mustCartd(t *testing.T, env []string, args ...string) (stdout string) {
	t.Helper()
	out, errs, code := cartdEnv(t, env, args...)
	if code != 0 {
		t.Fatalf("cartd %q: exit code %d, %s%s", args, code, out, errs)
	}
	return out
}

var withToken = []string{"CARTD_BACKEND_TOKEN=" + token}

// answers are what a server says of all carts.
func answers(t *testing.T, s *server, ids []string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for _, id := range ids {
		got[id] = string(s.do(t, http.StatusOK, "GET", "/v1/carts/"+id, "").body) +
			string(s.do(t, http.StatusOK, "GET", "/v1/carts/"+id+"/events?limit=1000", "").body)
	}
	return got
}

func TestRestoredShopAnswersByteForByteTheSame(t *testing.T) {
	t.Parallel()
	data, dir := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := serve(t, data)
	var ids []string
	for n := range 5 {
		id := fmt.Sprint("c", n)
		ids = append(ids, id)
		s.create(t, id)
		for i := range n {
			s.add(t, id, fmt.Sprint("sku-", i))
		}
		s.do(t, http.StatusOK, "POST", "/v1/carts/"+id+"/items", `{"items":[{"sku":"85123A","quantity":1},{"sku":"71053","quantity":2}]}`)
	}
	want := answers(t, s, ids)

	online, offline := filepath.Join(dir, "online"), filepath.Join(dir, "offline")
	out := mustCartd(t, withToken, "backup", "--url", s.ops, "--to", online, "--json")
	info := decodeAs[filelog.BackupInfo](t, []byte(out))
	if info.Carts != 5 || info.Position != 25 || info.Events != 25 {
		t.Errorf("got %s, want 5 carts with 25 events", out)
	}
	if _, errs, code := cartdCmd(t, "backup", "--data", data, "--to", offline); code != 2 ||
		!strings.Contains(errs, fmt.Sprintf("pid %d", s.cmd.Process.Pid)) || !strings.Contains(errs, "--url") {
		t.Errorf("of a directory in use: got exit code %d, %s; want 2, the pid, and --url", code, errs)
	}
	if _, err := os.Stat(offline); !os.IsNotExist(err) {
		t.Error("the refused backup has made a directory")
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	mustCartd(t, nil, "backup", "--data", data, "--to", offline)

	for _, backup := range []string{online, offline} {
		if out := mustCartd(t, nil, "verify", backup); !strings.Contains(out, "all is well") {
			t.Errorf("verify: %s", out)
		}
		restored := backup + "-restored"
		mustCartd(t, nil, "restore", "--from", backup, "--to", restored)
		if out := mustCartd(t, nil, "verify", restored); !strings.Contains(out, "all is well") || strings.Contains(out, "note") {
			t.Errorf("verify: %s", out)
		}
		r := serve(t, restored)
		for id, got := range answers(t, r, ids) {
			if got != want[id] {
				t.Errorf("%s: %s answers\n%s\nwant\n%s", backup, id, got, want[id])
			}
		}
		if a := r.do(t, http.StatusOK, "POST", "/v1/carts/c4/mutations", addItem("sku-0", 1, 100, ""), "Idempotency-Key", "c4/sku-0"); a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("a key from before is not known any more: %s", a.body)
		}
		r.add(t, "c0", "new")
		events := r.do(t, http.StatusOK, "GET", "/v1/carts/c0/events?after=2", "").body
		if !bytes.Contains(events, []byte(`"position":26`)) {
			t.Errorf("the next event is %s, want position 26", events)
		}
	}
}

func TestBackupOfARunningServerIsForTheBackendAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	to := filepath.Join(t.TempDir(), "to")
	for name, test := range map[string]struct {
		env  []string
		url  string
		want string
	}{
		"no token":      {nil, s.ops, "CARTD_BACKEND_TOKEN"},
		"another token": {[]string{"CARTD_BACKEND_TOKEN=x"}, s.ops, "is not the server's"},
		"public port":   {withToken, s.api, "404"},
		"no URL":        {withToken, "127.0.0.1", "is no URL"},
		"nobody there":  {withToken, "http://127.0.0.1:1", "refused"},
	} {
		if _, errs, code := cartdEnv(t, test.env, "backup", "--url", test.url, "--to", to); code != 2 || !strings.Contains(errs, test.want) {
			t.Errorf("%s: got exit code %d, %s; want 2 and %q", name, code, errs, test.want)
		}
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Error("a refused backup has made a directory")
	}
	without := attach(t, run(t, nil, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--log-format=json", "--data="+t.TempDir()), "")
	if _, errs, code := cartdEnv(t, withToken, "backup", "--url", without.ops, "--to", to); code != 2 || !strings.Contains(errs, "404") {
		t.Errorf("server without a token: got exit code %d, %s; want 2 and 404", code, errs)
	}
	if a, err := s.http.Get(s.ops + "/metrics"); err != nil || a.StatusCode != http.StatusOK {
		t.Errorf("/metrics beside it: %v", err)
	}
}

func TestBackupWhile16AddHasWhatWasAnsweredBefore(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var (
		wg       sync.WaitGroup
		stop     atomic.Bool
		answered [16]atomic.Uint64 // versions
	)
	for w := range answered {
		id := fmt.Sprint("w", w)
		s.create(t, id)
		answered[w].Store(1)
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				a, err := s.try("POST", "/v1/carts/"+id+"/mutations", addItem(fmt.Sprint("s", n), 1, 100, ""), "Prefer", "return=minimal")
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%s: %d %s, %v", id, a.status, a.body, err)
					return
				}
				answered[w].Store(uint64(n) + 2)
			}
		})
	}
	eventually(t, "adds to each cart", func() bool {
		for w := range answered {
			if answered[w].Load() < 20 {
				return false
			}
		}
		return true
	})
	var before, after [16]uint64
	for w := range answered {
		before[w] = answered[w].Load()
	}
	backup := filepath.Join(t.TempDir(), "backup")
	out := mustCartd(t, withToken, "backup", "--url", s.ops, "--to", backup, "--json")
	stop.Store(true)
	wg.Wait()
	for w := range answered {
		after[w] = answered[w].Load()
	}
	info := decodeAs[filelog.BackupInfo](t, []byte(out))
	restored := filepath.Join(t.TempDir(), "restored")
	mustCartd(t, nil, "restore", "--from", backup, "--to", restored)
	if out := mustCartd(t, nil, "verify", restored); strings.Contains(out, "note") {
		t.Errorf("verify: %s", out) // positions are dense
	}
	r := serve(t, restored)
	sum := uint64(0)
	for w := range answered {
		c := r.cart(t, fmt.Sprint("w", w))
		if c.Version < before[w] || c.Version > after[w] || uint64(len(c.Items)) != c.Version-1 {
			t.Errorf("cart %d has version %d with %d items, want %d to %d", w, c.Version, len(c.Items), before[w], after[w])
		}
		for i, item := range c.Items {
			if item.SKU != fmt.Sprint("s", i) || item.Qty != 1 {
				t.Errorf("cart %d: line %d is %+v", w, i, item)
			}
		}
		sum += c.Version
	}
	if sum != info.Position {
		t.Errorf("%d events, want one for each position up to %d", sum, info.Position)
	}
}

// A client that takes nothing costs writers nothing, keeps others from making a backup, and no server from stopping.
func TestSlowClientOfABackupHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	putLog(t, data, "large", strings.Repeat(oldAdd, 100_000)) // more than sockets hold
	s := serve(t, data)
	req, err := http.NewRequest("GET", s.ops+"/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s", resp.Status)
	}
	s.create(t, "c")
	for n := range 20 {
		s.add(t, "c", fmt.Sprint("s", n))
	}
	if _, errs, code := cartdEnv(t, withToken, "backup", "--url", s.ops, "--to", filepath.Join(t.TempDir(), "to")); code != 2 || !strings.Contains(errs, "another backup is running") {
		t.Errorf("second backup: got exit code %d, %s; want 2", code, errs)
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the cut off backup ended well after %d bytes", n)
	}
}

func TestBackupThatCannotBeWrittenSaysWhy(t *testing.T) {
	t.Parallel()
	data, file := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "file")
	s := serve(t, data)
	s.create(t, "c1")
	for i := range 30 { // more than is read before the directory is made
		s.add(t, "c1", fmt.Sprint("sku-", i))
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	_, errs, code := cartdEnv(t, nil, "backup", "--data", data, "--to", file+"/backup")
	if code != 2 || !strings.Contains(errs, "not a directory") || !strings.Contains(errs, file) {
		t.Errorf("got exit code %d, %s; want 2, and that the file is not a directory", code, errs)
	}
}

func TestRestoreOfWhatIsNoBackupIsRefused(t *testing.T) {
	t.Parallel()
	data, path := storedCart(t)
	backup := filepath.Join(t.TempDir(), "backup")
	mustCartd(t, nil, "backup", "--data", data, "--to", backup)
	to := filepath.Join(t.TempDir(), "to")
	flipped := filepath.Join(backup, "carts", filepath.Base(filepath.Dir(path)), "c1.events.log")
	flip(t, flipped, 60)
	if _, errs, code := cartdCmd(t, "restore", "--from", backup, "--to", to); code != 1 || !strings.Contains(errs, "FAULT") {
		t.Errorf("flipped byte: got exit code %d, %s; want 1", code, errs)
	}
	if out, _, code := cartdCmd(t, "verify", backup); code != 1 || !strings.Contains(out, "backup_differ") || strings.Contains(out, "repair") {
		t.Errorf("verify: got exit code %d, %s", code, out)
	}
	flip(t, flipped, 60)
	if _, errs, code := cartdCmd(t, "restore", "--from", data, "--to", to); code != 1 {
		t.Errorf("a data directory: got exit code %d, %s; want 1", code, errs)
	}
	if _, errs, code := cartdCmd(t, "restore", "--from", backup, "--to", data); code != 2 || !strings.Contains(errs, "not empty") {
		t.Errorf("over a shop: got exit code %d, %s; want 2", code, errs)
	}
	if _, errs, code := cartdCmd(t, "backup", "--data", data, "--to", backup); code != 2 || !strings.Contains(errs, "not empty") {
		t.Errorf("backup over a backup: got exit code %d, %s; want 2", code, errs)
	}
	if _, errs, code := cartdCmd(t, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--data="+backup); code != 1 || !strings.Contains(errs, "holds a backup") {
		t.Errorf("serve of a backup: got exit code %d, %s; want 1", code, errs)
	}
	mustCartd(t, nil, "restore", "--from", backup, "--to", to) // nothing of this has harmed it
}

// A restore that ends in the middle, here because a file grows beyond what the process may write, leaves no shop.
func TestRestoreThatEndsHalfWayDoesNotStart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	putLog(t, data, "small", oldAdd)
	putLog(t, data, "large", strings.Repeat(oldAdd, 2000))
	backup, to := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "to")
	mustCartd(t, nil, "backup", "--data", data, "--to", backup)
	_, errs, code := cartdEnv(t, []string{fileLimit + "=65536"}, "restore", "--from", backup, "--to", to)
	if code != 2 || !strings.Contains(errs, "remove it") {
		t.Errorf("got exit code %d, %s; want 2 and what to do", code, errs)
	}
	if _, errs, code := cartdCmd(t, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--data="+to); code != 1 || !strings.Contains(errs, "restore again") {
		t.Errorf("serve: got exit code %d, %s; want 1 and what to do", code, errs)
	}
	if out, _, code := cartdCmd(t, "verify", to); code != 1 || !strings.Contains(out, "restore again") {
		t.Errorf("verify: got exit code %d, %s; want 1", code, out)
	}
	// The same of a backup.
	half := filepath.Join(t.TempDir(), "half")
	if _, errs, code := cartdEnv(t, []string{fileLimit + "=65536"}, "backup", "--data", data, "--to", half); code != 2 {
		t.Errorf("backup: got exit code %d, %s; want 2", code, errs)
	}
	for _, args := range [][]string{{"verify", half}, {"restore", "--from", half, "--to", to + "2"}} {
		if out, errs, code := cartdCmd(t, args...); code != 1 || !strings.Contains(out+errs, "make another") {
			t.Errorf("%s: got exit code %d, %s%s; want 1 and what to do", args[0], code, out, errs)
		}
	}
}

func TestImportOfFormerLogsEndToEnd(t *testing.T) {
	t.Parallel()
	from, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(from, os.DirFS("../../internal/importer/testdata/former")); err != nil {
		t.Fatal(err)
	}
	catalog := "../../internal/importer/testdata/products.json"
	abs, err := filepath.Abs(catalog)
	if err != nil {
		t.Fatal(err)
	}
	out, errs, code := cartdCmd(t, "import", "--from", from, "--data", data, "--catalog", abs)
	for _, want := range []string{"-bad.events.log: bad_name", "cart-1.events.log:3: unresolved", "cart-3.events.log:2: damaged_line", "3 carts imported"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s, want %q in it", out, want)
		}
	}
	if code != 1 {
		t.Errorf("got exit code %d, %s; want 1", code, errs)
	}
	for _, bad := range []string{"-bad.events.log", "own.events.log"} {
		if err := os.Remove(filepath.Join(from, bad)); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, filepath.Join(data, "carts"))
	again := mustCartd(t, nil, "import", "--from", from, "--data", data, "--catalog", abs, "--json")
	var report struct{ Carts, Already, Reported int }
	if err := json.Unmarshal([]byte(again), &report); err != nil || report.Carts != 0 || report.Already != 3 || report.Reported != 0 {
		t.Errorf("again: got %s, %v", again, err)
	}
	after := tree(t, filepath.Join(data, "carts"))
	for name := range after {
		if before[name] != after[name] {
			t.Errorf("again: %s has changed", name)
		}
	}
	s := serve(t, data)
	c := s.cart(t, "cart-1")
	if len(c.Items) != 2 || c.Items[0].Qty != 3 || c.Items[1].SKU != "85123A" || c.Damaged {
		t.Errorf("cart-1 is %+v, want 3 old mugs and the hearts, not damaged", c)
	}
	if c := s.cart(t, "cart-3"); len(c.Items) != 2 || !c.Damaged {
		t.Errorf("cart-3 is %+v, want two lines, and marked", c)
	}
	if _, errs, code := cartdCmd(t, "import", "--from", from, "--data", data); code != 2 || !strings.Contains(errs, fmt.Sprintf("pid %d", s.cmd.Process.Pid)) {
		t.Errorf("into a directory in use: got exit code %d, %s; want 2 and the pid", code, errs)
	}
	if _, errs, code := cartdCmd(t, "import", "--from", filepath.Join(from, "none"), "--data", data+"2"); code != 2 || errs == "" {
		t.Errorf("no directory: got exit code %d, %s; want 2", code, errs)
	}
}
