//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// putLog writes the log of a cart as another program has left it.
func putLog(t *testing.T, data, id, content string) {
	t.Helper()
	sum := sha256.Sum256([]byte(id))
	dir := filepath.Join(data, "carts", hex.EncodeToString(sum[:1]))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, id+".events.log"), []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// lines of the service that cartd replaces.
const (
	oldAdd        = `{"ts":1700000000,"type":"AddItem","payload":{"sku":"A","quantity":2,"price":1000,"tax":2500,"name":"x"}}` + "\n"
	oldRequest    = `{"ts":1700000001,"type":"AddRequest","payload":{"sku":"B","quantity":1,"country":"SE"}}` + "\n"
	oldUnknown    = `{"ts":1700000002,"type":"SomethingElse","payload":{"deep":[1,{"x":null}]}}` + "\n"
	oldImpossible = `{"ts":1700000003,"type":"RemoveItem","payload":{"id":99}}` + "\n"
)

func TestLogsOfTheFormerServiceReplayAndGoOn(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	old := oldAdd + oldRequest + oldUnknown + oldImpossible + strings.Replace(oldAdd, `"sku":"A"`, `"sku":"C"`, 1)
	putLog(t, data, "old-cart", old)
	s := serve(t, data)
	want := cart{
		ID: "old-cart", Version: 5, Damaged: true, // marked: nobody knows what the unknown ones would have done
		Items: []item{{"A", 2, price{2000, map[string]int64{"25": 400}}}, {"C", 2, price{2000, map[string]int64{"25": 400}}}},
		Total: price{4000, map[string]int64{"25": 800}},
	}
	if d := cmp.Diff(want, s.cart(t, "old-cart")); d != "" {
		t.Errorf("cart differs (-want +got):\n%s", d)
	}
	m := s.metrics(t)
	for name, want := range map[string]float64{
		"cart_event_log_files_existing":        1,
		"cart_event_log_replay_total":          1,
		"cart_event_log_unknown_types_total":   2,
		"cart_event_log_mutation_errors_total": 1,
		"cart_event_log_replay_failures_total": 0,
		"cart_event_log_appends_total":         0,
		"cart_event_log_last_append_unix":      0,
	} {
		if m[name] != want {
			t.Errorf("%s is %v after the replay, want %v", name, m[name], want)
		}
	}
	a := s.add(t, "old-cart", "NEW")
	if tag := a.header.Get("ETag"); tag != `"main-6"` {
		t.Errorf("ETag %s after an add, want version 6", tag)
	}
	wantVersions(t, s, "old-cart", 6)
	if got := logFile(t, data, "old-cart"); !bytes.HasPrefix(got, []byte(old)) || bytes.Count(got, []byte("\n")) != 6 {
		t.Errorf("the log is now\n%s\nwant one more line behind\n%s", got, old)
	}
	before := s.cart(t, "old-cart")
	s.kill()

	s = serve(t, data)
	if d := cmp.Diff(before, s.cart(t, "old-cart")); d != "" {
		t.Errorf("cart differs after a restart (-before +after):\n%s", d)
	}
	if a := s.add(t, "old-cart", "NEW"); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same add again: %s, want it replayed", a.body)
	}
}

func TestTornTailIsCutKeptAndNeverMissed(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	s.add(t, "c", "A")
	s.kill()
	whole := logFile(t, data, "c")
	const torn = `{"v":1,"seq":3,"id":"01`
	putLog(t, data, "c", string(whole)+torn)

	s = serve(t, data)
	if c := s.cart(t, "c"); c.Version != 2 || len(c.Items) != 1 || c.Damaged {
		t.Errorf("cart is %+v, want version 2 with one item, not damaged", c)
	}
	if got := logFile(t, data, "c"); !bytes.Equal(got, whole) {
		t.Errorf("the log is %q, want the torn tail cut", got)
	}
	kept, err := filepath.Glob(filepath.Join(data, "quarantine", "c.*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("quarantine holds %v, error %v; want one file", kept, err)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || string(b) != torn {
		t.Errorf("quarantine holds %q, error %v; want %q", b, err, torn)
	}
	if v := s.metrics(t)["cartd_event_log_torn_tails_total"]; v != 1 {
		t.Errorf("cartd_event_log_torn_tails_total is %v, want 1", v)
	}
}

func TestEventLogMetricsMoveWithWhatHappens(t *testing.T) {
	t.Parallel()
	const carts = 3
	data, began := t.TempDir(), time.Now()
	s := serve(t, data)
	m := s.metrics(t)
	for _, name := range []string{
		"cart_event_log_appends_total", "cart_event_log_replay_total", "cart_event_log_replay_failures_total",
		"cart_event_log_bytes_written_total", "cart_event_log_files_existing", "cart_event_log_last_append_unix",
		"cart_event_log_replay_duration_seconds_count", "cart_event_log_unknown_types_total", "cart_event_log_mutation_errors_total",
	} {
		if v, ok := m[name]; !ok || v != 0 {
			t.Errorf("%s of a new directory is %v, there: %v; want 0", name, v, ok)
		}
	}
	for n := range carts {
		id := fmt.Sprint("c", n)
		s.create(t, id)
		s.add(t, id, "A")
		s.add(t, id, "A") // a repeat appends nothing
		s.do(t, http.StatusUnprocessableEntity, "POST", "/v1/carts/"+id+"/mutations", addItem("A", 0, 1, ""))
		s.do(t, http.StatusOK, "POST", "/v1/carts/"+id+"/items", `{"items":[{"sku":"85123A","quantity":1},{"sku":"71053","quantity":2}]}`)
	}
	size := 0
	for _, content := range tree(t, filepath.Join(data, "carts")) {
		size += len(content)
	}
	m = s.metrics(t)
	for name, want := range map[string]float64{
		"cart_event_log_appends_total":         carts * 4,
		"cart_event_log_bytes_written_total":   float64(size),
		"cart_event_log_files_existing":        carts,
		"cart_event_log_replay_failures_total": 0,
		"cart_event_log_unknown_types_total":   0,
		"cart_event_log_mutation_errors_total": 0,
	} {
		if m[name] != want {
			t.Errorf("%s is %v, want %v", name, m[name], want)
		}
	}
	if at := m["cart_event_log_last_append_unix"]; at < float64(began.Unix()) || at > float64(time.Now().Unix()+1) {
		t.Errorf("cart_event_log_last_append_unix is %f, want the time of this test", at)
	}
	s.kill()

	putLog(t, data, "newer", checksummed(`{"v":2,"seq":1,"what":"a later cartd has written"`))
	putLog(t, data, "odd", oldAdd+oldUnknown+oldImpossible)
	s = serve(t, data)
	if v := s.metrics(t)["cart_event_log_files_existing"]; v != carts+2 {
		t.Errorf("cart_event_log_files_existing after the restart is %v, want %d", v, carts+2)
	}
	s.cart(t, "c0")
	s.cart(t, "c0") // in memory by now
	s.cart(t, "odd")
	wantProblem(t, s.do(t, http.StatusInternalServerError, "GET", "/v1/carts/newer", ""), http.StatusInternalServerError, "internal")
	s.do(t, http.StatusNotFound, "GET", "/v1/carts/none", "")
	m = s.metrics(t)
	for name, want := range map[string]float64{
		"cart_event_log_unknown_types_total":   1,
		"cart_event_log_mutation_errors_total": 1,
		"cart_event_log_appends_total":         0,
		"cart_event_log_files_existing":        carts + 2,
	} {
		if m[name] != want {
			t.Errorf("%s after the restart is %v, want %v", name, m[name], want)
		}
	}
	if n := m["cart_event_log_replay_failures_total"]; n < 1 {
		t.Errorf("cart_event_log_replay_failures_total is %v, want the log of a later version counted", n)
	}
	if n, timed := m["cart_event_log_replay_total"], m["cart_event_log_replay_duration_seconds_count"]; n < 3 || n != timed {
		t.Errorf("%v replays, %v of them timed; want at least 3, all timed", n, timed)
	}
}

// checksummed completes the fields of a line as eventlog.md describes it.
func checksummed(fields string) string {
	sum := crc32.Checksum([]byte(fields), crc32.MakeTable(crc32.Castagnoli))
	return fmt.Sprintf(`%s,"crc":"%08x"}`+"\n", fields, sum)
}

func TestEveryLineOfALogCanBeReadByPeople(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	s.do(t, http.StatusOK, "POST", "/v1/carts/c/mutations", addItem("A", 3, 250, "Ärmel \u2028 <b> \" \\ "), "Idempotency-Key", "k-1")
	lines := bytes.Split(bytes.TrimSpace(logFile(t, data, "c")), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	var ev struct {
		V       int    `json:"v"`
		Seq     uint64 `json:"seq"`
		ID, Key string
		TS      time.Time
		Type    string
		Payload map[string]any
		CRC     string
	}
	if err := json.Unmarshal(lines[1], &ev); err != nil {
		t.Fatalf("%s: %v", lines[1], err)
	}
	if ev.V != 1 || ev.Seq != 2 || ev.Key != "k-1" || ev.Type != "AddItem" || time.Since(ev.TS).Abs() > time.Hour {
		t.Errorf("line is %s, want version 2, key k-1, AddItem, now", lines[1])
	}
	if got := ev.Payload["price"]; got != float64(250) {
		t.Errorf("price is %v (%T), want the number 250", got, got)
	}
	fields, _, _ := bytes.Cut(lines[1], []byte(`,"crc":`))
	if want := strings.TrimSpace(checksummed(string(fields))); want != string(lines[1]) {
		t.Errorf("line is\n%s, want\n%s", lines[1], want)
	}
}
