//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

func TestLongCartComesBackFromItsSnapshotAfterAKill(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	for n := range 400 {
		s.add(t, "c", fmt.Sprint("SKU", n%300, "-", n))
	}
	eventually(t, "a snapshot is written", func() bool { return s.metrics(t)["cartd_event_log_snapshots_total"] == 1 })
	before := s.do(t, http.StatusOK, "GET", "/v1/carts/c", "").body
	s.kill()

	s = serve(t, data)
	if after := s.do(t, http.StatusOK, "GET", "/v1/carts/c", "").body; !bytes.Equal(before, after) {
		t.Errorf("the cart was\n%s\nand is\n%s", before, after)
	}
	if v := s.metrics(t)["cartd_event_log_snapshots_unused_total"]; v != 0 {
		t.Errorf("%v snapshots were of no use, want 0", v)
	}
	for _, n := range []int{0, 200, 399} { // from the snapshot, and from behind it
		if a := s.add(t, "c", fmt.Sprint("SKU", n%300, "-", n)); a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("add %d again: %s, want it replayed", n, a.body)
		}
	}
	wantVersions(t, s, "c", 401)
}

func TestFullCartRefusesChanges(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--max-events=3")
	s.create(t, "c")
	s.add(t, "c", "A")
	s.add(t, "c", "B")
	wantProblem(t, s.do(t, http.StatusUnprocessableEntity, "POST", "/v1/carts/c/mutations", addItem("C", 1, 1, "")), http.StatusUnprocessableEntity, "validation_failed")
	if a := s.add(t, "c", "B"); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the last add again: %s, want it replayed", a.body)
	}
	if c := s.cart(t, "c"); c.Version != 3 || len(c.Items) != 2 {
		t.Errorf("cart is %+v, want version 3 with two items", c)
	}
}

// A cart whose last change was its checkout is not frozen for ever, and what was paid for is ordered.
func TestFullCartStillEndsItsCheckout(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--max-events=3")
	for id, end := range map[string][3]string{
		"ordered": {"POST", "/order", `{"orderId":"o"}`},
		"aborted": {"DELETE", "/checkout", ""},
		"batch":   {"POST", "/mutations", `{"mutations":[{"type":"OrderCreated","payload":{"orderId":"o"}}]}`},
	} {
		cart := "/v1/carts/" + id
		s.create(t, id)
		s.add(t, id, "A")
		s.do(t, http.StatusOK, "POST", cart+"/checkout", `{"orderId":"o"}`)
		more := `{"mutations":[{"type":"AbortCheckout"},` + addItem("B", 1, 1, "")[len(`{"mutations":[`):]
		wantProblem(t, s.do(t, http.StatusUnprocessableEntity, "POST", cart+"/mutations", more), http.StatusUnprocessableEntity, "validation_failed")
		s.do(t, http.StatusOK, end[0], cart+end[1], end[2])
		if got := s.cart(t, id).Version; got != 4 {
			t.Errorf("%s: version %d, want 4", id, got)
		}
		s.do(t, http.StatusUnprocessableEntity, "POST", cart+"/mutations", addItem("C", 1, 1, ""))
	}
}

// The merge that fills a cart is answered as one that was made, with a key too.
func TestMergeIntoTheLastRoomOfACartKeepsItsKey(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--max-events=3")
	s.create(t, "from")
	s.add(t, "from", "A")
	s.create(t, "into")
	s.add(t, "into", "B")
	for range 2 {
		s.do(t, http.StatusOK, "POST", "/v1/carts/into/merge", `{"from":"from"}`, "Idempotency-Key", "k")
	}
	if c := s.cart(t, "into"); c.Version != 4 || len(c.Items) != 2 {
		t.Errorf("cart is %+v, want both lines", c)
	}
}
