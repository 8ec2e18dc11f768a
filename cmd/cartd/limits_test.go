//go:build unix

package main

import (
	"fmt"
	"net/http"
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
