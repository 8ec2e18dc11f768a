//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// held is a request that the server handles and whose body it waits for: it is in flight for as long as wanted.
type held struct {
	conn net.Conn
	r    *bufio.Reader
	body string
}

// hold starts a POST and returns when the server has asked for its body (RFC 9110, section 10.1.1).
func (s *server) hold(t *testing.T, path, body string, header ...string) *held {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: cartd\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n", path, token, len(body))
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", header[i], header[i+1])
	}
	fmt.Fprint(conn, "\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("POST %s: %q, error %v; want 100 Continue", path, line, err)
	}
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return &held{conn, r, body}
}

// finish sends the body and returns the answer.
func (h *held) finish(t *testing.T) answer {
	t.Helper()
	if _, err := io.WriteString(h.conn, h.body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(h.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := readAnswer(resp)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refuses reports whether nobody accepts connections at the server's public address any more.
func (s *server) refuses() bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func TestSIGTERMFinishesWhatRunsAndRefusesWhatIsNew(t *testing.T) {
	t.Parallel()
	const carts = 8
	data := t.TempDir()
	s := serve(t, data, "--request-timeout=60s", "--shutdown-timeout=60s")
	var inFlight []*held
	for n := range carts {
		id := fmt.Sprint("cart-", n)
		s.create(t, id)
		inFlight = append(inFlight, s.hold(t, "/v1/carts/"+id+"/mutations", addItem("LAST", 3, 100, ""), "Idempotency-Key", "last"))
	}
	idle, err := net.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := idle.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(idle, "GET /v1/carts/cart-0 HTTP/1.1\r\nHost: cartd\r\n\r\n")
	idleReader := bufio.NewReader(idle)
	if resp, err := http.ReadResponse(idleReader, nil); err != nil {
		t.Fatal(err)
	} else if a, err := readAnswer(resp); err != nil || a.status != http.StatusOK {
		t.Fatalf("GET: %d, error %v; want 200", a.status, err)
	}

	s.signal(syscall.SIGTERM)
	s.logged("stopping")
	eventually(t, "new connections are refused", s.refuses)
	if status, body := s.ready(); status != http.StatusServiceUnavailable || body != "draining\n" {
		t.Errorf("/readyz while draining: %d %q, want 503 draining", status, body)
	}
	fmt.Fprint(idle, "GET /v1/carts/cart-0 HTTP/1.1\r\nHost: cartd\r\n\r\n") //nolint:errcheck // may be too late already
	if b, err := idleReader.ReadByte(); err == nil {
		t.Errorf("an idle connection was answered (%q...) after SIGTERM, want it closed", b)
	}
	for n, h := range inFlight {
		if a := h.finish(t); a.status != http.StatusOK {
			t.Errorf("request %d, in flight at SIGTERM: %d %s, want 200", n, a.status, a.body)
		}
	}
	s.wantExit(0)
	s.logged("stopped")

	s = serve(t, data)
	for n := range carts {
		if c := s.cart(t, fmt.Sprint("cart-", n)); len(c.Items) != 1 || c.Items[0].Qty != 3 {
			t.Errorf("cart %d after the restart: %+v, want what was answered while stopping", n, c.Items)
		}
	}
}

func TestSecondSIGTERMEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--request-timeout=60s", "--shutdown-timeout=60s")
	s.create(t, "c")
	s.hold(t, "/v1/carts/c/mutations", addItem("NEVER", 1, 1, "")) // nobody finishes it
	s.signal(syscall.SIGTERM)
	s.logged("stopping")
	eventually(t, "another SIGTERM ends the process", func() bool {
		s.signal(syscall.SIGTERM)
		select {
		case <-s.exited:
			return true
		default:
			return false
		}
	})
	if state := s.wait(); state.Success() {
		t.Errorf("cartd ended with %v, want a failure: a request was not finished", state)
	}
}

func TestStopThatTakesTooLongIsAFailure(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--request-timeout=60s", "--shutdown-timeout=50ms")
	s.create(t, "c")
	s.hold(t, "/v1/carts/c/mutations", addItem("NEVER", 1, 1, ""))
	s.signal(syscall.SIGTERM)
	s.wantExit(1)
	if log := s.log(); !strings.Contains(log, "cartd: ") {
		t.Errorf("stderr is %q, want it to end with what went wrong", log)
	}
}

func TestEventLogThatFailsWhileStoppingIsAFailure(t *testing.T) {
	t.Parallel()
	s := serveWith(t, []string{fileLimit + "=4096"}, t.TempDir(), "--request-timeout=60s", "--shutdown-timeout=60s")
	s.create(t, "c")
	fits := s.hold(t, "/v1/carts/c/mutations", addItem("FITS", 1, 1, ""))
	many := strings.Repeat(`{"type":"AddItem","payload":{"sku":"S","quantity":1}},`, 99)
	beyond := s.hold(t, "/v1/carts/c/mutations", `{"mutations":[`+strings.TrimSuffix(many, ",")+`]}`)
	s.signal(syscall.SIGTERM)
	s.logged("stopping")
	if a := fits.finish(t); a.status != http.StatusOK {
		t.Errorf("change that fits: %d %s, want 200", a.status, a.body)
	}
	wantProblem(t, beyond.finish(t), http.StatusGatewayTimeout, "outcome_unknown")
	s.wantExit(1)
	if log := s.log(); !strings.Contains(log, "cartd: the event log has failed") {
		t.Errorf("stderr is %q, want its end to say that the event log has failed", log)
	}
}
