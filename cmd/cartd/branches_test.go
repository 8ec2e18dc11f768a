//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// branchingCart fills a cart with some 900 events in main and two branches, so that it has snapshots, and closes a third.
func branchingCart(t *testing.T, s *server, id string) {
	t.Helper()
	s.create(t, id)
	path := "/v1/carts/" + id
	s.add(t, id, "first")
	for _, name := range []string{"gift", "what-if", "gone"} {
		s.do(t, http.StatusCreated, "POST", path+"/branches", `{"name":"`+name+`"}`)
	}
	for n := range 9 {
		var batch []string
		for i := range 100 {
			batch = append(batch, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"sku-%d","quantity":%d,"price":1999,"tax":2500}}`, i%40, n+1))
		}
		s.do(t, http.StatusOK, "POST", path+"/mutations?branch="+[]string{"main", "gift", "what-if"}[n%3], `{"mutations":[`+strings.Join(batch, ",")+`]}`, "Idempotency-Key", fmt.Sprint("batch", n))
	}
	s.do(t, http.StatusNoContent, "DELETE", path+"/branches/gone", "")
	s.do(t, http.StatusOK, "POST", path+"/branches/gift/promote", "", "If-Match", `"gift-301"`)
	s.do(t, http.StatusOK, "PATCH", path+"/items/1?branch=gift", `{"quantity":9}`)
}

// branchAnswers are what a server says of a cart of branchingCart, as it is and as it was.
func branchAnswers(t *testing.T, s *server, id string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, query := range []string{
		"", "?branch=gift", "?branch=what-if", "?version=2", "?version=102", "?version=303", "?branch=gift&version=1", "?branch=gift&version=150", "?branch=what-if&version=301",
		"/branches", "/branches/gift?compare=main", "/branches/what-if?compare=gift", "/events?branch=gift&limit=1000", "/events?limit=1000",
	} {
		got[query] = string(s.do(t, http.StatusOK, "GET", "/v1/carts/"+id+query, "").body)
	}
	return got
}

func sameAnswers(t *testing.T, when string, want, got map[string]string) {
	t.Helper()
	for query, before := range want {
		if got[query] != before {
			t.Errorf("%s: %q was\n%.2000s\nand is\n%.2000s", when, query, before, got[query])
		}
	}
}

func TestBranchesOutliveKillsCompactionRepairAndRestore(t *testing.T) {
	t.Parallel()
	data, dir := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := serve(t, data)
	branchingCart(t, s, "c")
	want := branchAnswers(t, s, "c")
	s.kill()

	s = serve(t, data)
	sameAnswers(t, "after a kill", want, branchAnswers(t, s, "c"))
	wantProblem(t, s.do(t, http.StatusUnprocessableEntity, "POST", "/v1/carts/c/mutations", addItem("sku-1", 1, 1, ""), "Idempotency-Key", "batch1"),
		http.StatusUnprocessableEntity, "idempotency_key_reused")
	wantProblem(t, s.do(t, http.StatusNotFound, "GET", "/v1/carts/c/events?branch=gone", ""), http.StatusNotFound, "branch_not_found")
	wantProblem(t, s.do(t, http.StatusConflict, "POST", "/v1/carts/c/branches", `{"name":"gone"}`), http.StatusConflict, "branch_exists")
	backup := filepath.Join(dir, "backup")
	mustCartd(t, withToken, "backup", "--url", s.ops, "--to", backup)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)

	if out, errs, code := cartdCmd(t, "verify", data); code != 0 || strings.Contains(out, "note") || !strings.Contains(out, "2 snapshots") {
		t.Fatalf("verify: got exit code %d, %q, %q; want 0, no note and 2 snapshots", code, out, errs)
	}
	if out, errs, code := cartdCmd(t, "compact", data, "--min-bytes=0"); code != 0 {
		t.Fatalf("compact: got exit code %d, %q, %q", code, out, errs)
	}
	if out, errs, code := cartdCmd(t, "verify", data); code != 0 || strings.Contains(out, "note") {
		t.Errorf("verify what is compacted: got exit code %d, %q, %q", code, out, errs)
	}
	out := mustCartd(t, nil, "export", "--data", data, "--cart", "c")
	// That it was promoted names gift as well.
	for branch, n := range map[string]int{"main": 303, "gift": 302 + 1, "what-if": 301, "gone": 2} {
		if got := strings.Count(out, `"branch":"`+branch+`"`); got != n {
			t.Errorf("the export has %d events of %s, want %d", got, branch, n)
		}
	}
	s = serve(t, data)
	sameAnswers(t, "after compaction", want, branchAnswers(t, s, "c"))
	s.signal(syscall.SIGTERM)
	s.wantExit(0)

	restored := filepath.Join(dir, "restored")
	mustCartd(t, nil, "restore", "--from", backup, "--to", restored)
	s = serve(t, restored)
	sameAnswers(t, "after a restore", want, branchAnswers(t, s, "c"))
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}

// A line of a branch that does not check out is one of the cart's, and comes back from the journal.
func TestDamagedLineOfABranchIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	branchingCart(t, s, "c")
	want := branchAnswers(t, s, "c")
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	path := cartFiles(t, data, "c.events.log", 1)[0]
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(log, []byte(`"branch":"gift"`))
	log[at+len(`"branch":"gift`)-1] ^= 1
	if err := os.WriteFile(path, log, 0o640); err != nil {
		t.Fatal(err)
	}
	if out, _, code := cartdCmd(t, "verify", data); code != 1 || !strings.Contains(out, "c.events.log") {
		t.Errorf("verify: got exit code %d, %q; want 1 and the damaged line", code, out)
	}
	if out, errs, code := cartdCmd(t, "repair", data, "--yes"); code != 0 {
		t.Errorf("repair: got exit code %d, %q, %q", code, out, errs)
	}
	if out, errs, code := cartdCmd(t, "verify", data); code != 0 {
		t.Errorf("verify what is repaired: got exit code %d, %q, %q", code, out, errs)
	}
	s = serve(t, data)
	sameAnswers(t, "after a repair", want, branchAnswers(t, s, "c"))
}
