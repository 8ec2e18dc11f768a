//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// carts serves carts by id, as the JSON of their items.
func carts(t *testing.T, items map[string]string) *shop {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := items[strings.TrimPrefix(r.URL.Path, "/v1/carts/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"items":[%s]}`, s)
	}))
	t.Cleanup(srv.Close)
	return newShop(srv.URL)
}

func TestCartsThatHoldWhatWasAnsweredPass(t *testing.T) {
	s := carts(t, map[string]string{"a": `{"sku":"85123A","qty":5}`, "b": ``, "c": `{"sku":"85123A","qty":2},{"sku":"85123A","qty":1}`})
	if sum, err := s.verify(t.Context(), []string{"a", "b", "c"}, []int64{5, 0, 3}); sum != 8 || err != nil {
		t.Errorf("%d units, error %v; want 8", sum, err)
	}
}

func TestLostDoubledAndForeignUnitsAreFound(t *testing.T) {
	for name, items := range map[string]map[string]string{
		"lost":            {"a": `{"sku":"85123A","qty":4}`, "b": `{"sku":"85123A","qty":5}`},
		"doubled":         {"a": `{"sku":"85123A","qty":5}`, "b": `{"sku":"85123A","qty":6}`},
		"in another cart": {"a": `{"sku":"85123A","qty":6}`, "b": `{"sku":"85123A","qty":4}`},
		"another product": {"a": `{"sku":"85123A","qty":5}`, "b": `{"sku":"71053","qty":5}`},
		"no cart":         {"a": `{"sku":"85123A","qty":5}`},
		"no JSON":         {"a": `{"sku":"85123A","qty":5}`, "b": `"`},
	} {
		if _, err := carts(t, items).verify(t.Context(), []string{"a", "b"}, []int64{5, 5}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEachCallsForAllAndEndsEarlyOnErrors(t *testing.T) {
	var sum atomic.Int64
	if err := each(1000, func(i int) error { sum.Add(int64(i)); return nil }); err != nil || sum.Load() != 499_500 {
		t.Errorf("sum %d, error %v; want 499500", sum.Load(), err)
	}
	var calls atomic.Int64
	broken := errors.New("broken")
	err := each(1_000_000, func(int) error { calls.Add(1); return broken })
	if n := calls.Load(); !errors.Is(err, broken) || n > atOnce {
		t.Errorf("%d calls, error %v; want at most %d calls and the error", n, err, atOnce)
	}
}
