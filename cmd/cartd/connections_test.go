//go:build unix

package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// limited starts a server for at most limit connections, whose requests to /busy end with release.
func limited(t *testing.T, limit int) (address string, l *connections, working, release chan struct{}) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = limitConnections(inner, limit)
	working, release = make(chan struct{}, limit), make(chan struct{})
	s := &http.Server{ConnState: noteState, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			working <- struct{}{}
			<-release
		}
		io.WriteString(w, "ok") //nolint:errcheck // the client has gone
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l) //nolint:errcheck // it ends with Close
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return inner.Addr().String(), l, working, release
}

// timid is a server that waits for nobody longer than a second. It watches the clients of requests to /stream alone, whose
// answers end when they go, and tells gone.
func timid(t *testing.T, secured bool) (s *httptest.Server, gone chan struct{}) {
	t.Helper()
	gone = make(chan struct{})
	s = httptest.NewUnstartedServer(unwatched(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			<-r.Context().Done()
			close(gone)
		case "/unread":
			io.WriteString(w, "ok") //nolint:errcheck // the client has gone
		default:
			b, err := io.ReadAll(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
			w.Write(b) //nolint:errcheck // the client has gone
		}
	})))
	const brief = time.Second
	s.Config.ReadHeaderTimeout, s.Config.ReadTimeout, s.Config.WriteTimeout, s.Config.IdleTimeout = brief, brief, 2*brief, brief
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState, s.Config.ConnContext = noteState, noteConnection
	s.Listener = limitConnections(s.Listener, 100)
	if secured {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.Config.Close() }) // s.Close would wait for connections that have said nothing
	return s, gone
}

func TestWhoSaysTooLittleIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	var answered sync.WaitGroup
	for _, secured := range []bool{false, true} {
		s, _ := timid(t, secured)
		for _, tt := range []struct{ name, sent, want string }{
			{"nothing", "", ""},
			{"half a header", "POST / HTTP/1.1\r\nHost: x\r\n", ""},
			{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab", "HTTP/1.1 400 Bad Request"},
			{"one request", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK"},
			{"one request without a body", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"},
		} {
			conn := dial(t, s.Listener.Addr().String())
			if secured {
				roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
				conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "example.com"})
			}
			answered.Go(func() {
				if _, err := io.WriteString(conn, tt.sent); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Errorf("%s: the connection was not closed: %v", tt.name, err)
				}
				if got, _, _ := strings.Cut(string(answer), "\r\n"); got != tt.want {
					t.Errorf("%s: got the answer %q, want %q", tt.name, got, tt.want)
				}
			})
		}
	}
	answered.Wait()
}

// The changes before it on its connection were not watched, whether their bodies were read or not.
func TestStreamEndsWithItsClient(t *testing.T) {
	s, gone := timid(t, false)
	conn := dial(t, s.Listener.Addr().String())
	const change = " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
	if _, err := io.WriteString(conn, "POST /unread"+change+"POST /"+change+"POST /unread"+change+"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for i := range 3 {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" {
			t.Fatalf("answer %d: %q, %v", i, body, err)
		}
	}
	conn.Close()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the stream does not notice that its client has gone")
	}
}

func TestNobodyWatchesTheClientOfAChange(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	c := &connection{unhurried: unhurry(near), of: limitConnections(nil, 1)}
	noted := make(chan bool, 1)
	h := unwatched(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { noted <- c.unwatched.Load() }))
	for method, want := range map[string]bool{"POST": true, "PATCH": true, "GET": false, "HEAD": false} {
		r := httptest.NewRequestWithContext(noteConnection(t.Context(), c), method, "/", strings.NewReader("body"))
		h.ServeHTTP(nil, r)
		if got := <-noted; got != want {
			t.Errorf("%s: nobody watches is %v, want %v", method, got, want)
		}
		noteState(c, http.StateIdle)
		if c.unwatched.Load() {
			t.Errorf("%s: the next request's client is not watched either", method)
		}
	}
	h.ServeHTTP(nil, httptest.NewRequestWithContext(noteConnection(t.Context(), c), "DELETE", "/", nil))
	if <-noted {
		t.Error("a request without a body is watched from its begin, and nobody was to note it")
	}

	c.unwatched.Store(true)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != nil { // it would wait for ever
		t.Errorf("the read that watches: got %d, %v; want 0 and no error", n, err)
	}
	go far.Write([]byte("b")) //nolint:errcheck // the read sees
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("the read after it: got %d, %v; want 1 and no error", n, err)
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func ask(conn net.Conn, path string) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func (l *connections) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

func TestIdleConnectionsMakeRoomForNewOnes(t *testing.T) {
	address, l, working, release := limited(t, 10)
	answered := make(chan error, 1)
	busy := dial(t, address)
	go func() { answered <- ask(busy, "/busy") }()
	<-working
	for range 20 { // half of them say nothing, the others have been served
		dial(t, address)
		if err := ask(dial(t, address), "/"); err != nil {
			t.Fatalf("with idle connections all over: %v", err)
		}
	}
	if n := l.count(); n > 10 {
		t.Errorf("%d connections are open, want 10 at most", n)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("a connection that was busy has been closed: %v", err)
	}
}

func TestConnectionBeyondBusyOnesIsClosedAtOnce(t *testing.T) {
	address, l, working, release := limited(t, 3)
	answered := make(chan error, 3)
	for range 3 {
		conn := dial(t, address)
		go func() { answered <- ask(conn, "/busy") }()
		<-working
	}
	if err := ask(dial(t, address), "/"); err == nil {
		t.Error("a fourth connection is served while three are busy")
	}
	close(release)
	for range 3 {
		if err := <-answered; err != nil {
			t.Errorf("a busy connection: %v", err)
		}
	}
	if err := ask(dial(t, address), "/"); err != nil {
		t.Errorf("when they are idle again: %v", err)
	}
	if n := l.count(); n > 3 {
		t.Errorf("%d connections are open, want 3 at most", n)
	}
}

func TestConnectionsThatEndAreForgotten(t *testing.T) {
	address, l, _, _ := limited(t, 5)
	for range 20 {
		conn := dial(t, address)
		if err := ask(conn, "/"); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	eventually(t, "no connection is remembered", func() bool { return l.count() == 0 })
}
