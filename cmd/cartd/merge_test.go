//go:build unix

package main

import (
	"fmt"
	"net/http"
	"testing"

	"cartd/internal/courier"
)

// merging is what the tests look at in a cart.
type merging struct {
	Status     string
	Processing bool
	Version    uint64
	Items      []item
}

// cutOffMerge begins to merge cart "from" into cart "into" in a server that is killed at step, and starts another one.
func cutOffMerge(t *testing.T, step courier.Step, refused bool) *server {
	t.Helper()
	data := t.TempDir()
	s := serveWith(t, []string{killAt + "=" + string(step)}, data)
	s.create(t, "into")
	s.add(t, "into", "X")
	s.create(t, "from")
	s.add(t, "from", "Y")
	s.add(t, "from", "X")
	if refused {
		s.do(t, http.StatusOK, "POST", "/v1/carts/into/checkout", `{"orderId":"o"}`)
	}
	if a, err := s.try("POST", "/v1/carts/into/merge", `{"from":"from"}`); err == nil {
		t.Fatalf("the merge was answered: %d %s", a.status, a.body)
	}
	s.wantExit(-1)
	return serve(t, data)
}

func (s *server) merging(t *testing.T, id string) merging {
	t.Helper()
	return decodeAs[merging](t, s.do(t, http.StatusOK, "GET", "/v1/carts/"+id, "").body)
}

// A merge can be cut off when MergeStarted is on stable storage (taken), when MergeCart is (decided) and when CartMerged is
// (reported).
func TestMergeCutOffAnywhereIsBroughtToItsEnd(t *testing.T) {
	for _, tc := range []struct {
		step  courier.Step
		first string // the cart that is asked for first
	}{{courier.Taken, "into"}, {courier.Taken, "from"}, {courier.Decided, "into"}, {courier.Decided, "from"}, {courier.Reported, "into"}} {
		t.Run(fmt.Sprintf("%s, then %s", tc.step, tc.first), func(t *testing.T) {
			t.Parallel()
			s := cutOffMerge(t, tc.step, false)
			s.merging(t, tc.first)
			if got := s.merging(t, "into"); got.Version == 2 && len(got.Items) != 1 || got.Version == 3 && len(got.Items) != 2 {
				t.Errorf("half merged: %+v", got)
			}
			// What is being merged is neither changed nor paid by itself.
			if a, err := s.try("POST", "/v1/carts/from/checkout", `{"orderId":"o"}`); err != nil || a.status != http.StatusConflict {
				t.Errorf("checkout of the other cart: %d %s, error %v; want 409", a.status, a.body, err)
			}
			eventually(t, "the merge comes to its end", func() bool { return !s.merging(t, "from").Processing })
			if from, into := s.merging(t, "from"), s.merging(t, "into"); from.Status != "merged" || into.Version != 3 || len(into.Items) != 2 || into.Items[0].Qty != 2 {
				t.Errorf("the carts are %+v and %+v, want all lines in the second, by one event", from, into)
			}
			s.do(t, http.StatusOK, "POST", "/v1/carts/into/merge", `{"from":"from"}`)
			if got := s.merging(t, "into").Version; got != 3 {
				t.Errorf("version %d after the same merge again, want 3", got)
			}
		})
	}
}

func TestRefusedMergeCutOffAnywhereOpensTheCartAgain(t *testing.T) {
	for _, step := range []courier.Step{courier.Taken, courier.Decided} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			s := cutOffMerge(t, step, true)
			eventually(t, "the merge comes to its end", func() bool { return !s.merging(t, "from").Processing })
			if from, into := s.merging(t, "from"), s.merging(t, "into"); from.Status != "open" || len(from.Items) != 2 || into.Version != 3 || len(into.Items) != 1 {
				t.Errorf("the carts are %+v and %+v, want each with its own", from, into)
			}
			s.add(t, "from", "Z")
		})
	}
}

func TestMergeCutOffComesToItsEndThoughNobodyButTheSameMergeAsks(t *testing.T) {
	t.Parallel()
	s := cutOffMerge(t, courier.Decided, false)
	s.do(t, http.StatusOK, "POST", "/v1/carts/into/merge", `{"from":"from"}`)
	if from, into := s.merging(t, "from"), s.merging(t, "into"); from.Status != "merged" || into.Version != 3 || len(into.Items) != 2 {
		t.Errorf("the carts are %+v and %+v", from, into)
	}
}
