//go:build unix

package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// payer is one of many carts with the same voucher, until it knows whether it got it.
type payer struct {
	id      string
	decided bool
}

// pay checks the cart out at the price with the voucher and orders it, as far as the server lives.
func (p *payer) pay(t *testing.T, s *server, answered func()) {
	a, err := s.try("POST", "/v1/carts/"+p.id+"/checkout", `{"orderId":"o","expectedTotal":4000}`)
	if err != nil {
		return
	}
	answered()
	switch a.status {
	case http.StatusConflict:
		code := decodeAs[problem](t, a.body).Code
		if code == "cart_ordered" { // it was, and nobody could say so
			p.decided = true
			return
		}
		if code != "expected_total_changed" {
			t.Errorf("checkout of cart %s: %s", p.id, a.body)
		}
		p.decided = true
		return
	case http.StatusOK:
	default:
		t.Errorf("checkout of cart %s: %d %s", p.id, a.status, a.body)
		return
	}
	if a, err = s.try("POST", "/v1/carts/"+p.id+"/order", `{"orderId":"o","status":"paid"}`); err != nil {
		return
	}
	answered()
	if a.status != http.StatusOK {
		t.Errorf("order of cart %s: %d %s", p.id, a.status, a.body)
	}
	p.decided = true
}

// TestVoucherLimitIsExactThroughKills: a voucher for three, fifty carts that want it at once, and servers that are killed
// right after one of their answers.
func TestVoucherLimitIsExactThroughKills(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	payers := make([]*payer, 50)
	s := serve(t, data)
	var wg sync.WaitGroup
	for i := range payers {
		payers[i] = &payer{id: fmt.Sprint("cart-", i)}
		wg.Go(func() {
			s.create(t, payers[i].id)
			s.do(t, http.StatusOK, "POST", "/v1/carts/"+payers[i].id+"/mutations", addItem("X", 1, 5000, ""))
			s.do(t, http.StatusOK, "POST", "/v1/carts/"+payers[i].id+"/vouchers", `{"code":"FIRST3"}`)
		})
	}
	wg.Wait()
	for _, last := range []int64{1, 2, 9, 30, 1 << 40} {
		var answers atomic.Int64
		for _, p := range payers {
			if p.decided {
				continue
			}
			wg.Go(func() {
				p.pay(t, s, func() {
					if answers.Add(1) == last {
						s.signal(syscall.SIGKILL)
					}
				})
			})
		}
		wg.Wait()
		if last <= answers.Load() {
			s.wantExit(-1)
			s = serve(t, data)
		}
	}
	won := 0
	for _, p := range payers {
		if !p.decided {
			t.Errorf("cart %s has no answer", p.id)
		}
		c := decodeAs[struct {
			Status     string
			Processing bool
			Vouchers   []struct{ Applied bool }
		}](t, s.do(t, http.StatusOK, "GET", "/v1/carts/"+p.id, "").body)
		if c.Status == "ordered" && c.Vouchers[0].Applied {
			won++
			eventually(t, "the voucher knows of the order", func() bool {
				return strings.Contains(string(s.do(t, http.StatusOK, "GET", "/v1/carts/"+p.id, "").body), `"processing":false`)
			})
		} else if c.Status != "open" || c.Vouchers[0].Applied {
			t.Errorf("cart %s is %+v", p.id, c)
		}
	}
	if won != 3 {
		t.Errorf("%d carts were ordered with the voucher, want 3", won)
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)

	// The voucher's log is a stream like those of the carts.
	verify := run(t, nil, "verify", data)
	verify.wantExit(0)
	export := run(t, nil, "export", "--data="+data)
	export.wantExit(0)
	if n := strings.Count(export.stdout.String(), `"type":"UseConfirmed"`); n != 3 || !strings.Contains(export.stdout.String(), `"kind":"voucher","cartId":"FIRST3"`) {
		t.Errorf("%d uses are exported, want 3 of the voucher's own", n)
	}
}

// A voucher comes back from its snapshot, and verify compares that with its events.
func TestVoucherComesBackFromItsSnapshot(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	for i := range 4 {
		cart := fmt.Sprint("/v1/carts/c-", i)
		s.create(t, fmt.Sprint("c-", i))
		s.do(t, http.StatusOK, "POST", cart+"/mutations", addItem("X", 1, 5000, ""))
		s.do(t, http.StatusOK, "POST", cart+"/vouchers", `{"code":"FIRST3"}`)
	}
	for range 130 { // two events each
		s.do(t, http.StatusOK, "POST", "/v1/carts/c-0/checkout", `{"orderId":"o","expectedTotal":4000}`)
		s.do(t, http.StatusOK, "DELETE", "/v1/carts/c-0/checkout", "")
	}
	for i := range 3 {
		s.do(t, http.StatusOK, "POST", fmt.Sprintf("/v1/carts/c-%d/checkout", i), `{"orderId":"o","expectedTotal":4000}`)
	}
	s.do(t, http.StatusOK, "POST", "/v1/carts/c-2/order", `{"orderId":"o","status":"paid"}`)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	if found, err := filepath.Glob(filepath.Join(data, "vouchers", "??", "FIRST3.snapshot")); err != nil || len(found) != 1 {
		t.Errorf("snapshots %v, error %v; want one", found, err)
	}
	verify := run(t, nil, "verify", data)
	verify.wantExit(0)

	s = serve(t, data)
	wantProblem(t, s.do(t, http.StatusConflict, "POST", "/v1/carts/c-3/checkout", `{"orderId":"o","expectedTotal":4000}`), 409, "expected_total_changed")
	s.do(t, http.StatusOK, "DELETE", "/v1/carts/c-0/checkout", "")
	s.do(t, http.StatusOK, "POST", "/v1/carts/c-3/vouchers", `{"code":"FIRST3"}`)
	s.do(t, http.StatusOK, "POST", "/v1/carts/c-3/checkout", `{"orderId":"o","expectedTotal":4000}`)
}
