//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sku is what the adds are about, a product of cartd's demo catalogue with price, old price, stock and image. One
	// SKU stays one line, so all answers have about the same length.
	sku = "85123A"
	// exampleAdds is how many units are in the cart that the bare server's answer shows: the answer is then as long as
	// those of a cart in the middle of a run, to a few digits.
	exampleAdds = 100
	// atOnce bounds the requests under way before and after the rounds.
	atOnce = 32
)

// shop talks to cartd before and after the rounds.
type shop struct {
	url  string
	http http.Client
}

func newShop(url string) *shop {
	return &shop{url, http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}}
}

// do sends a request and returns the answer, which must have the status; its body is closed by the caller.
func (s *shop) do(ctx context.Context, status int, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != status {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return nil, errors.Join(fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b), resp.Body.Close())
	}
	return resp, nil
}

// create makes n carts and returns their ids.
func (s *shop) create(ctx context.Context, n int) ([]string, error) {
	ids := make([]string, n)
	err := each(n, func(i int) error {
		resp, err := s.do(ctx, http.StatusCreated, "POST", "/v1/carts", `{"country":"GB"}`)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		id, ok := strings.CutPrefix(resp.Header.Get("Location"), "/v1/carts/")
		if !ok || id == "" {
			return fmt.Errorf("POST /v1/carts: Location %q", resp.Header.Get("Location"))
		}
		ids[i] = id
		_, err = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
		return err
	})
	return ids, err
}

// example adds exampleAdds units to a cart and returns the last answer as it came over the wire.
func (s *shop) example(ctx context.Context, id string) (answer []byte, err error) {
	for range exampleAdds {
		resp, err := s.do(ctx, http.StatusOK, "POST", "/v1/carts/"+id+"/items", fmt.Sprintf(`{"sku":%q,"quantity":1}`, sku))
		if err != nil {
			return nil, err
		}
		answer, err = httputil.DumpResponse(resp, true)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// verify reads all carts, whose units must be those wanted, and returns their sum.
func (s *shop) verify(ctx context.Context, ids []string, want []int64) (int64, error) {
	var sum atomic.Int64
	err := each(len(ids), func(i int) error {
		resp, err := s.do(ctx, http.StatusOK, "GET", "/v1/carts/"+ids[i], "")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var cart struct {
			Items []struct {
				SKU string `json:"sku"`
				Qty int64  `json:"qty"`
			} `json:"items"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&cart); err != nil {
			return fmt.Errorf("cart %s: %w", ids[i], err)
		}
		got := int64(0)
		for _, item := range cart.Items {
			if item.SKU != sku {
				return fmt.Errorf("cart %s holds %q, which nobody has added", ids[i], item.SKU)
			}
			got += item.Qty
		}
		if got != want[i] {
			return fmt.Errorf("cart %s holds %d units, but %d adds were answered with a 2xx", ids[i], got, want[i])
		}
		sum.Add(got)
		return nil
	})
	return sum.Load(), err
}

// each calls f for 0 to n-1, atOnce at a time, and returns all errors; after the first one no more calls are begun.
func each(n int, f func(int) error) error {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex // guards errs
		errs []error
	)
	for range min(atOnce, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					next.Store(int64(n))
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
