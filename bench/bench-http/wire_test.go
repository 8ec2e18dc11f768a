//go:build linux

package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// answering is a connection whose other end answers with text, however much is written to it.
type answering struct{ net.Conn }

func (answering) Write(b []byte) (int, error) { return len(b), nil }

func roundTrip(answer io.Reader) (int, error) {
	c := conn{answering{}, bufio.NewReaderSize(answer, 256)}
	return c.roundTrip([]byte("request"))
}

func TestAnswerIsReadToItsEnd(t *testing.T) {
	const two = "HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\nX: Content-Length: 9\r\n\r\nabc" + "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
	r := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(two)), 256)
	c := conn{answering{}, r}
	for _, want := range []int{3, 0} {
		if n, err := c.roundTrip(nil); n != want || err != nil {
			t.Errorf("answer of %d bytes, error %v; want %d", n, err, want)
		}
	}
	if rest, err := io.ReadAll(r); len(rest) != 0 || err != nil {
		t.Errorf("%q is left, error %v; want nothing", rest, err)
	}
}

func TestAnswerThatIsNo2xxIsAnErrorWithItsBody(t *testing.T) {
	_, err := roundTrip(strings.NewReader("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nwait"))
	if e, ok := errors.AsType[*statusError](err); !ok || e.status != "HTTP/1.1 503 Service Unavailable" || string(e.body) != "wait" {
		t.Errorf("error %v, want the status line and the body", err)
	}
}

func TestAnswerThatIsNotUnderstoodIsAnError(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"nothing":           "",
		"another protocol":  "SSH-2.0-x\r\n\r\n",
		"another version":   "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"short status line": "HTTP/1.1 2\r\n\r\n",
		"chunks":            ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"cut header":        ok + "Content-Len",
		"cut body":          ok + "Content-Length: 3\r\n\r\nab",
		"negative length":   ok + "Content-Length: -1\r\n\r\n",
		"no length":         ok + "Content-Length: three\r\n\r\n",
		"huge length":       ok + "Content-Length: 99999999999\r\n\r\n",
		"long line":         ok + "X: " + strings.Repeat("x", 300) + "\r\nContent-Length: 0\r\n\r\n",
		"long header":       ok + strings.Repeat("X: y\r\n", maxHeaderFields) + "Content-Length: 0\r\n\r\n",
	} {
		if n, err := roundTrip(strings.NewReader(answer)); err == nil {
			t.Errorf("%s: an answer of %d bytes, want an error", name, n)
		}
	}
}

func TestAddIsARequestThatGoUnderstands(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(addRequest("127.0.0.1:1", "C1", "85123A")))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != `{"sku":"85123A","quantity":1}` || r.Method != "POST" || r.URL.Path != "/v1/carts/C1/items" || r.Host != "127.0.0.1:1" {
		t.Errorf("%s %s for %s with %q, error %v; want an add of one unit to C1", r.Method, r.URL, r.Host, body, err)
	}
}
