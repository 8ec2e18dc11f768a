//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// long reports whether the tests of this file are to take their time: CARTD_TEST_FLOOD=long.
func long() bool { return os.Getenv("CARTD_TEST_FLOOD") == "long" }

// healthy sends requests one after the other, each on a new connection and one of every three an add, and returns the 99th
// percentile of how long they took. Each must be answered.
func (s *server) healthy(t *testing.T, id string, requests int) time.Duration {
	t.Helper()
	took := make([]time.Duration, requests)
	for i := range took {
		method, path, body := "GET", "/v1/carts/"+id, ""
		if i%3 == 0 {
			method, path, body = "POST", path+"/items", `{"sku":"85123A","quantity":1}`
		}
		start := time.Now()
		s.do(t, http.StatusOK, method, path, body, "Connection", "close")
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// slower is how many times the 99th percentile of a healthy client may become while others misbehave. It is generous: they
// share the machine's processors, and what is to be found out is waiting, which would be time-outs of seconds.
const slower = 25

func TestOthersThatMisbehaveDoNotSlowAHealthyClient(t *testing.T) {
	idle, slow, requests := 500, 50, 300
	if long() {
		idle, slow, requests = 5000, 500, 3000
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < uint64(2*idle) {
		idle = int(limit.Cur / 4)
		slow = idle / 10
	}
	// Fewer connections than those that are idle, and fewer places than there are slow clients.
	s := serve(t, t.TempDir(), "--max-connections="+strconv.Itoa(idle), "--max-requests="+strconv.Itoa(slow/2))
	s.create(t, "c")
	s.healthy(t, "c", 50) // warm
	before := s.healthy(t, "c", requests)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	address := strings.TrimPrefix(s.api, "http://")
	open := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return nil
		}
		wg.Go(func() {
			<-stop
			conn.Close()
		})
		return conn
	}
	for i := range idle {
		if conn := open(); conn != nil && i%2 == 0 { // half of them have asked something once
			fmt.Fprint(conn, "GET /v1/carts/nobody HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := conn.Read(make([]byte, 1)); err != nil { // all at once they would take the healthy client's place
				t.Error(err)
			}
		}
	}
	for range slow { // a byte a second
		conn := open()
		if conn == nil {
			continue
		}
		fmt.Fprint(conn, "POST /v1/carts/c/items HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		wg.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					if _, err := io.WriteString(conn, " "); err != nil {
						return
					}
				}
			}
		})
	}
	started := make(chan struct{}, 2)
	for i := range cap(started) { // 1 GiB, promised and not
		length := []string{"Content-Length: 1073741824", "Transfer-Encoding: chunked"}[i]
		conn := open()
		if conn == nil {
			continue
		}
		fmt.Fprintf(conn, "POST /v1/carts/c/items HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", length)
		wg.Go(func() {
			chunk := []byte(strings.Repeat(" ", 1<<16))
			if i == 1 {
				chunk = fmt.Appendf(nil, "%x\r\n%s\r\n", len(chunk), chunk)
			}
			for n := 0; n < 1<<30; n += 1 << 16 {
				_, err := conn.Write(chunk)
				if n == 0 {
					started <- struct{}{}
				}
				if err != nil {
					return // 413, and the end
				}
			}
			t.Error("1 GiB was taken")
		})
	}
	for range cap(started) {
		<-started
	}
	during := s.healthy(t, "c", requests)
	close(stop)
	wg.Wait()
	after := s.healthy(t, "c", requests)
	t.Logf("99th percentile %v before, %v with %d idle and %d slow connections, %v after", before, during, idle, slow, after)
	if usual := max(before, after); during > slower*usual {
		t.Errorf("the 99th percentile of a healthy client is %v, and %v while others misbehave: more than %d times", usual, during, slower)
	}
	if c := s.cart(t, "c"); len(c.Items) != 1 || c.Items[0].Qty != int64((50+2)/3+3*((requests+2)/3)) {
		t.Errorf("the cart is %+v, want the healthy client's adds and nothing else", c)
	}
}

// Reads of carts that nobody has made cost nothing that stays: no activation, no file, no memory.
func TestReadsOfCartsThatAreNotThereLeaveNothing(t *testing.T) {
	t.Parallel()
	reads := 5000
	if long() {
		reads = 100_000
	}
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	read := func(from, to int) {
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := from + worker; i < to; i += 8 {
					path := fmt.Sprintf("/v1/carts/NOBODY%020d", i)
					if i%4 == 3 {
						path += "/events"
					}
					if a, err := s.try("GET", path, ""); err != nil || a.status != http.StatusNotFound {
						t.Errorf("%s: %d, %v; want 404", path, a.status, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	heap := func() float64 {
		// A profile of the heap collects garbage first.
		for range 2 {
			resp, err := s.http.Get(s.ops + "/debug/pprof/heap?gc=1")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := readAnswer(resp); err != nil {
				t.Fatal(err)
			}
		}
		return s.metrics(t)["go_memstats_heap_alloc_bytes"]
	}
	read(0, reads/10) // pools and connections
	before, files := heap(), tree(t, data)
	goroutines := s.metrics(t)["go_goroutines"]
	read(reads/10, reads)
	if after := heap(); after > before+float64(reads)*32+4e6 {
		t.Errorf("the heap has grown from %.0f to %.0f bytes in %d reads", before, after, reads)
	}
	eventually(t, "no goroutine is left", func() bool { return s.metrics(t)["go_goroutines"] < goroutines+50 })
	now := tree(t, data)
	for name, content := range now {
		if old, ok := files[name]; !ok || old != content && !strings.HasPrefix(name, "readmodel") {
			t.Errorf("%s is new, or another", name)
		}
	}
	eventually(t, "no activation is left but that of the one cart", func() bool {
		return s.metrics(t)[`cartd_grain_activations{kind="cart"}`] <= 1
	})
}
