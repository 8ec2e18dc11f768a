//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cartd/internal/api"
)

// cookie returns the id of the cart that an answer hands out, "" for none.
func (a answer) cookie(t *testing.T) string {
	t.Helper()
	set := a.header.Get("Set-Cookie")
	if set == "" {
		return ""
	}
	c, err := http.ParseSetCookie(set)
	if err != nil || c.Name != "cartid" {
		t.Fatalf("Set-Cookie: %s, %v", set, err)
	}
	return c.Value
}

const lantern = `{"sku":"85123A","quantity":1,"country":"GB"}`

// TestFirstAddsOfOnePageMeetInOneCartThroughKills: the cart and what is first in it are one commit, or nothing is there.
func TestFirstAddsOfOnePageMeetInOneCartThroughKills(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	const clicks = 8
	var ids []string
	for _, killAfter := range []int{0, 1, 6} {
		id := s.do(t, http.StatusNotFound, "GET", "/cart", "").cookie(t)
		ids = append(ids, id)
		click := func(i int) (answer, error) {
			return s.try("POST", "/cart", lantern, "Cookie", "cartid="+id, "Idempotency-Key", fmt.Sprintf("click-%d", i))
		}
		answers := make(chan answer, clicks)
		var wg sync.WaitGroup
		for i := range clicks {
			wg.Go(func() {
				if a, err := click(i); err == nil {
					answers <- a
				}
			})
		}
		for range killAfter {
			<-answers
		}
		s.kill()
		wg.Wait()
		s = serve(t, data)
		if a, err := s.try("GET", "/cart", "", "Cookie", "cartid="+id); err != nil || a.status == http.StatusOK && len(decodeAs[cart](t, a.body).Items) != 1 || a.status == http.StatusNotFound && killAfter > 0 {
			t.Errorf("after the kill: %d %s, %v; want a cart with something in it, or none", a.status, a.body, err)
		}
		for i := range clicks {
			if a, err := click(i); err != nil || a.status != http.StatusOK || a.cookie(t) != "" {
				t.Fatalf("the repeat of click %d: %d %s, %v", i, a.status, a.body, err)
			}
		}
		if c := s.cart(t, id); len(c.Items) != 1 || c.Items[0].Qty != clicks {
			t.Errorf("killed after %d answers, the cart is %+v, want %d of one line", killAfter, c, clicks)
		}
	}
	if files, err := filepath.Glob(filepath.Join(data, "carts", "??", "*.events.log")); err != nil || len(files) != len(ids) {
		t.Errorf("%d carts are stored (%v), want %d", len(files), err, len(ids))
	}
}

// TestTabsMeetInTheNextCartAfterARestart: the cart before was ordered before the server was started.
func TestTabsMeetInTheNextCartAfterARestart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	old := s.do(t, http.StatusOK, "POST", "/cart", lantern).cookie(t)
	s.do(t, http.StatusOK, "POST", "/cart/checkout", `{"orderId":"o-1"}`, "Cookie", "cartid="+old)
	s.do(t, http.StatusOK, "POST", "/v1/carts/"+old+"/order", `{"orderId":"o-1","status":"paid"}`)
	s.kill()
	s = serve(t, data)
	var wg sync.WaitGroup
	next := make([]string, 8)
	for i := range next {
		wg.Go(func() {
			if a, err := s.try("POST", "/cart", lantern, "Cookie", "cartid="+old); err != nil || a.status != http.StatusOK {
				t.Errorf("%d %s, %v", a.status, a.body, err)
			} else {
				next[i] = a.cookie(t)
			}
		})
	}
	wg.Wait()
	for _, id := range next {
		if id != next[0] || id == old {
			t.Fatalf("the tabs have the carts %q", next)
		}
	}
	if c := s.cart(t, next[0]); len(c.Items) != 1 || c.Items[0].Qty != int64(len(next)) {
		t.Errorf("the new cart is %+v, want %d of one line", c, len(next))
	}
}

// TestNothingThatIsAGetWrites calls every GET route that the server has, for a cart that there is and one that there is not.
func TestNothingThatIsAGetWrites(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	id := s.do(t, http.StatusOK, "POST", "/cart", lantern).cookie(t)
	s.do(t, http.StatusCreated, "POST", "/v1/subscriptions", `{"name":"1","after":0}`)
	s.list(t)
	eventually(t, "the cart's own file", func() bool { return bytes.Count(logFile(t, data, id), []byte("\n")) == 2 })
	before := tree(t, data)
	calls := 0
	for _, route := range api.Routes() {
		path, ok := strings.CutPrefix(route, "GET ")
		if !ok {
			continue
		}
		for _, named := range []string{id, "7ZK3D4M8W5Q0X1T2B9C6VNEJ4R", "nobody", "1"} {
			path := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, named)
			for _, cookie := range []string{"", "cartid=" + id, "cartid=7ZK3D4M8W5Q0X1T2B9C6VNEJ4R", "cartid=1"} {
				for _, method := range []string{"GET", "HEAD"} {
					a, err := s.try(method, path, lantern, "Cookie", cookie)
					if err != nil || a.status >= 500 {
						t.Errorf("%s %s with %q: %d %s, %v", method, path, cookie, a.status, a.body, err)
					}
					calls++
				}
			}
		}
	}
	for _, path := range []string{"/v1/carts/" + id + "/events?limit=2", "/v1/events?after=0&limit=2"} {
		s.do(t, http.StatusOK, "GET", path, "", "Accept", "text/event-stream") // and its limit ends it
	}
	if calls < 5*32 {
		t.Errorf("only %d calls: are the routes gone?", calls)
	}
	if d := cmp.Diff(before, tree(t, data)); d != "" {
		t.Errorf("the log has changed (-before +after):\n%s", d)
	}
}

func TestFlagsOfTheSessionAPI(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--secure-cookies", "--cors-origin=https://shop.example", "--cors-origin=https://m.shop.example,http://localhost:3000")
	for _, origin := range []string{"https://shop.example", "https://m.shop.example", "http://localhost:3000"} {
		a := s.do(t, http.StatusOK, "POST", "/cart", lantern, "Origin", origin, "Sec-Fetch-Site", "cross-site")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != origin || !strings.Contains(a.header.Get("Set-Cookie"), "; Secure;") {
			t.Errorf("%s: allowed for %q, cookie %s", origin, got, a.header.Get("Set-Cookie"))
		}
	}
	wantProblem(t, s.do(t, http.StatusForbidden, "POST", "/cart", lantern, "Origin", "https://evil.example"), http.StatusForbidden, "cross_site")
	for _, origin := range []string{"*", "shop.example", "https://shop.example/", "https://*.shop.example"} {
		c := run(t, nil, "serve", "--cors-origin="+origin, "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0")
		c.wantExit(80)
		if !strings.Contains(c.log(), "--cors-origin: origin") {
			t.Errorf("%s: %s", origin, c.log())
		}
	}
}
