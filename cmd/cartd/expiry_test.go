//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestExpiredCartsAreGoneThroughKillsRestoreAndRebuild: they are swept and archived while the server is killed again and
// again. What is to stay stays as it was answered; what is gone is 410 from its archive, with its story, in a restored copy
// too, and by every request that there is.
func TestExpiredCartsAreGoneThroughKillsRestoreAndRebuild(t *testing.T) {
	t.Parallel()
	const dead = 40
	data := t.TempDir()
	flags := []string{"--expire-guest=2s", "--expire-user=0", "--sweep-every=1s"}
	s := serve(t, data, append(flags, "--expire-guest=0")...)
	for i := range dead {
		id := fmt.Sprintf("dead-%02d", i)
		s.create(t, id)
		s.add(t, id, "A")
	}
	s.do(t, http.StatusCreated, "POST", "/v1/carts", `{"id":"ann","currency":"GBP","userId":"ann"}`)
	s.add(t, "ann", "A")
	s.create(t, "paid")
	s.add(t, "paid", "A")
	s.do(t, http.StatusOK, "POST", "/v1/carts/paid/checkout", `{"orderId":"o-1"}`)
	s.do(t, http.StatusOK, "POST", "/v1/carts/paid/order", `{"orderId":"o-1","status":"paid"}`)
	if at := decodeAs[struct{ ExpiresAt string }](t, s.do(t, http.StatusOK, "GET", "/v1/carts/dead-00", "").body).ExpiresAt; at != "" {
		t.Errorf("a cart that never expires says %s", at)
	}
	archives := func() int {
		found, err := filepath.Glob(filepath.Join(data, "archive", "carts", "*", "*.zst"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for want := 1; archives() < dead; want += 13 { // killed in between, as soon as there are so many
		s.kill()
		s = serve(t, data, flags...)
		s.add(t, "ann", fmt.Sprint("B", want))
		eventually(t, "archives", func() bool { return archives() >= min(want, dead) })
	}
	gone := func(s *server, when string) {
		t.Helper()
		for _, id := range []string{"dead-00", "dead-39"} {
			for _, request := range [][3]string{
				{"GET", "", ""}, {"GET", "/events", ""}, {"DELETE", "", ""}, {"POST", "/mutations", addItem("B", 1, 100, "")},
				{"POST", "/checkout", `{"orderId":"o"}`}, {"POST", "/merge", `{"from":"ann"}`}, {"POST", "/order", `{"orderId":"o","status":"paid"}`},
				{"PUT", "/user", `{"userId":"ann"}`}, {"DELETE", "/items", ""},
			} {
				a, err := s.try(request[0], "/v1/carts/"+id+request[1], request[2])
				if err != nil {
					t.Fatal(err)
				}
				wantProblem(t, a, http.StatusGone, "cart_expired")
			}
			a, err := s.try("POST", "/v1/carts/"+id+"/mutations", addItem("A", 1, 100, ""), "Idempotency-Key", id+"/A") // what was answered 200 once
			if err != nil {
				t.Fatal(err)
			}
			wantProblem(t, a, http.StatusGone, "cart_expired")
			if a, err = s.try("POST", "/v1/carts", newCart(id)); err != nil {
				t.Fatal(err)
			}
			wantProblem(t, a, http.StatusConflict, "cart_exists")
		}
		if c := s.cart(t, "ann"); len(c.Items) < 2 {
			t.Errorf("%s: the cart of a user is %+v", when, c)
		}
		if body := string(s.do(t, http.StatusOK, "GET", "/v1/carts/paid", "").body); !strings.Contains(body, `"status":"ordered"`) {
			t.Errorf("%s: the ordered cart is %s", when, body)
		}
		if list := s.list(t); len(list.Carts) != 2 {
			t.Errorf("%s: listed %+v, want two carts", when, list)
		}
	}
	gone(s, "swept")
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	if err := os.Remove(filepath.Join(data, readModelName)); err != nil {
		t.Fatal(err)
	}
	s = serve(t, data) // with lifetimes of months
	gone(s, "without the list, with other flags")
	backup := filepath.Join(t.TempDir(), "backup")
	run(t, []string{"CARTD_BACKEND_TOKEN=" + token}, "backup", "--url="+s.ops, "--to="+backup).wantExit(0)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	restored := filepath.Join(t.TempDir(), "restored")
	run(t, nil, "restore", "--from="+backup, "--to="+restored).wantExit(0)
	for _, dir := range []string{data, restored} {
		run(t, nil, "verify", dir).wantExit(0)
		export := run(t, nil, "export", "--data="+dir, "--cart=dead-07")
		export.wantExit(0)
		if out := export.stdout.String(); strings.Count(out, "\n") != 3 || !strings.Contains(out, `"type":"CartExpired"`) || !strings.Contains(out, `"sku":"A"`) {
			t.Errorf("the story of an archived cart is\n%s", out)
		}
	}
	s = serve(t, restored)
	gone(s, "restored")
}
