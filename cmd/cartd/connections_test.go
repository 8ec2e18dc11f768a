//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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
