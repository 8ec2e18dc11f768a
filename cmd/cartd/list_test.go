//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

type cartList struct {
	Carts []struct {
		ID      string `json:"id"`
		Total   int64  `json:"total"`
		Lines   int    `json:"lines"`
		Version uint64 `json:"version"`
	} `json:"carts"`
	Next string `json:"next"`
}

// list returns all carts, page by page, as soon as the list is there.
func (s *server) list(t *testing.T) (all cartList) {
	t.Helper()
	eventually(t, "the list of carts", func() bool {
		a, err := s.try("GET", "/v1/carts?limit=1", "")
		return err == nil && a.status != http.StatusServiceUnavailable
	})
	cursor := ""
	for {
		page := decodeAs[cartList](t, s.do(t, 200, "GET", "/v1/carts?limit=3&cursor="+cursor, "").body)
		all.Carts = append(all.Carts, page.Carts...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// checkList compares the list with the carts themselves.
func (s *server) checkList(t *testing.T, when string, ids []string) {
	t.Helper()
	list := s.list(t)
	var got []string
	for _, c := range list.Carts {
		got = append(got, c.ID)
		cart := s.cart(t, c.ID)
		if cart.Version != c.Version || cart.Total.IncVAT != c.Total || len(cart.Items) != c.Lines {
			t.Errorf("%s: %s is %+v in the list, the cart is %+v", when, c.ID, c, cart)
		}
	}
	if slices.Sort(got); !slices.Equal(got, ids) {
		t.Errorf("%s: listed %q, want %q", when, got, ids)
	}
}

// TestListOfCartsOutlivesRestartsKillsAndItsFile: it is that of the carts, without a look at them.
func TestListOfCartsOutlivesRestartsKillsAndItsFile(t *testing.T) {
	data := t.TempDir()
	var ids []string
	s := serve(t, data)
	for round, end := range []string{"stopped", "killed", "killed, and its file deleted", "stopped, and its file spoiled", "killed again"} {
		s.checkList(t, "before the next were made", ids)
		for i := range 5 {
			id := fmt.Sprintf("cart-%d-%d", round, i)
			s.create(t, id)
			ids = append(ids, id)
			for n := range i {
				s.add(t, id, fmt.Sprintf("sku-%d", n))
			}
			s.add(t, ids[0], fmt.Sprintf("sku-of-%s", id))
		}
		slices.Sort(ids)
		if round%2 == 0 { // so that the other rounds end before it was written
			s.checkList(t, "while it ran", ids)
		}
		switch {
		case end[:4] == "kill":
			s.signal(syscall.SIGKILL)
			s.wait()
		default:
			s.signal(syscall.SIGTERM)
			s.wantExit(0)
		}
		path := filepath.Join(data, readModelName)
		var err error
		switch round {
		case 2:
			err = os.Remove(path)
		case 3:
			err = os.WriteFile(path, []byte("spoiled"), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
		s = serve(t, data)
		s.list(t)
		if n := s.metrics(t)[`cartd_grain_activations_total{kind="cart"}`]; n > 0 {
			t.Errorf("%s: %v carts were activated for the list", end, n)
		}
		s.checkList(t, end, ids)
	}
}
