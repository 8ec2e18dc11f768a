//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cartd/internal/eventlog/filelog"
)

// longCart makes a data directory with a cart of some 700 events, two snapshots and keys, and returns it with what the
// server answers for the cart.
func longCart(t *testing.T, id string) (data string, before []byte) {
	t.Helper()
	data = t.TempDir()
	putLog(t, data, id, oldAdd+oldRequest+oldImpossible)
	s := serve(t, data)
	for n := range 7 {
		var batch []string
		for i := range 100 {
			batch = append(batch, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"sku-%d","quantity":%d,"price":1999,"tax":2500,"name":"Lâmpada"}}`, i%40, n+1))
		}
		s.do(t, http.StatusOK, "POST", "/v1/carts/"+id+"/mutations", `{"mutations":[`+strings.Join(batch, ",")+`]}`, "Idempotency-Key", fmt.Sprint("batch", n))
	}
	before = s.do(t, http.StatusOK, "GET", "/v1/carts/"+id, "").body
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	return data, before
}

// cartFiles returns the paths that match a pattern in the cart's directory, of which there have to be so many.
func cartFiles(t *testing.T, data, pattern string, want int) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, "carts", "*", pattern))
	if err != nil || len(found) != want {
		t.Fatalf("%s: got %v, %v; want %d", pattern, found, err, want)
	}
	return found
}

func TestCompactedCartIsTheSame(t *testing.T) {
	t.Parallel()
	data, before := longCart(t, "long")
	cartFiles(t, data, "long.snapshot*", 2)
	if out, errs, code := cartdCmd(t, "verify", data); code != 0 || strings.Contains(out, "note") || !strings.Contains(out, "2 snapshots") {
		t.Fatalf("verify: got exit code %d, %q, %q; want 0, no note and 2 snapshots", code, out, errs)
	}
	out, errs, code := cartdCmd(t, "compact", data, "--json")
	var done filelog.Compacted
	if err := json.Unmarshal([]byte(out), &done); err != nil || code != 0 || done.Carts != 1 || done.Sealed != 1 || done.After*4 > done.Before {
		t.Fatalf("compact: got exit code %d, %v, %s, %q; want one cart of a quarter of the size and less", code, err, out, errs)
	}
	if out, errs, code := cartdCmd(t, "compact", data, "--min-bytes=0"); code != 0 || !strings.Contains(out, "of 1 carts") {
		t.Errorf("compact all: got exit code %d, %q, %q; want 0", code, out, errs)
	}
	if log := logFile(t, data, "long"); bytes.Count(log, []byte("\n")) != 100 {
		t.Errorf("the file has %d lines, want the 100 of the last commit", bytes.Count(log, []byte("\n")))
	}
	if out, errs, code := cartdCmd(t, "verify", data); code != 0 || strings.Contains(out, "note") || !strings.Contains(out, "2 snapshots") {
		t.Errorf("verify: got exit code %d, %q, %q; want 0, no note and 2 snapshots", code, out, errs)
	}
	s := serve(t, data)
	if after := s.do(t, http.StatusOK, "GET", "/v1/carts/long", "").body; !bytes.Equal(after, before) {
		t.Errorf("cart is\n%s\nwant\n%s", after, before)
	}
	var first, then struct {
		Version    int
		TotalPrice struct{ IncVat int }
	}
	for version, to := range map[string]any{"3": &first, "103": &then} { // before both snapshots, and sealed
		if err := json.Unmarshal(s.do(t, http.StatusOK, "GET", "/v1/carts/long?version="+version, "").body, to); err != nil {
			t.Fatal(err)
		}
	}
	if first.Version != 3 || then.Version != 103 || then.TotalPrice.IncVat != first.TotalPrice.IncVat+100*1999 {
		t.Errorf("there was %+v, and 100 adds of 1999 later %+v", first, then)
	}
	if v := s.metrics(t)["cartd_event_log_snapshots_unused_total"]; v != 0 {
		t.Errorf("%v snapshots were of no use, want 0: they were passed over", v)
	}
	if replayed := s.metrics(t)["cart_event_log_files_existing"]; replayed != 1 {
		t.Errorf("%v carts are there, want 1", replayed)
	}
	if _, errs, code := cartdCmd(t, "compact", data); code != 2 || !strings.Contains(errs, "locked") {
		t.Errorf("compact while a server runs: got exit code %d, %q; want 2", code, errs)
	}
}

// A state is nothing that the log's own checks know: here it is replayed.
func TestVerifyComparesTheStateInASnapshotWithAReplay(t *testing.T) {
	t.Parallel()
	data, before := longCart(t, "long")
	path := cartFiles(t, data, "long.snapshot", 1)[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := b[16 : 16+binary.LittleEndian.Uint32(b[12:])]
	var ids struct{ IDs int }
	if err := json.Unmarshal(head, &ids); err != nil {
		t.Fatal(err)
	}
	b[16+len(head)+ids.IDs+5] ^= 1 // says whether the log is damaged
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := cartdCmd(t, "verify", data); code != 1 || !strings.Contains(out, "long.snapshot (byte 0): snapshot_differs: damaged is true, a replay gives false") {
		t.Errorf("verify: got exit code %d, %q, %q; want 1 and what differs", code, out, errs)
	}
	if out, errs, code := cartdCmd(t, "repair", data, "--yes"); code != 0 || !strings.Contains(out, "long.snapshot: set aside") {
		t.Errorf("repair: got exit code %d, %q, %q; want 0 and the snapshot set aside", code, out, errs)
	}
	s := serve(t, data)
	if after := s.do(t, http.StatusOK, "GET", "/v1/carts/long", "").body; !bytes.Equal(after, before) {
		t.Errorf("cart is\n%s\nwant\n%s", after, before)
	}
}
