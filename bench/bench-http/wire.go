//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// The client speaks just enough HTTP/1.1 for the two servers, so that making the load takes little of the processors
// that it shares with them. What it does not understand is an error, never a guess.

const (
	maxHeaderFields = 64
	maxAnswerBytes  = 1 << 20
)

// addRequest is the whole message of an add of one unit.
func addRequest(host, cart, sku string) []byte {
	body := fmt.Sprintf(`{"sku":%q,"quantity":1}`, sku)
	return fmt.Appendf(nil, "POST /v1/carts/%s/items HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		cart, host, len(body), body)
}

// conn is a keep-alive connection with one request at a time.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// dial connects to host. After limit every read and write fails.
func dial(ctx context.Context, host string, limit time.Duration) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &conn{c, bufio.NewReaderSize(c, 8<<10)}, nil
}

// statusError is an answer that is no 2xx.
type statusError struct {
	status string // the status line
	body   []byte // its first bytes
}

func (e *statusError) Error() string { return fmt.Sprintf("answered with %s: %s", e.status, e.body) }

// roundTrip sends a request and reads the answer to its end. It returns the length of the body, and a *statusError if
// the status is not 2xx.
func (c *conn) roundTrip(request []byte) (int, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") || string(line[:9]) != "HTTP/1.1 " {
		return 0, fmt.Errorf("%.40q is no status line of HTTP/1.1", line)
	}
	var bad *statusError
	if line[9] != '2' {
		bad = &statusError{status: string(line)}
	}
	length, err := c.header()
	if err != nil {
		return 0, err
	}
	if bad != nil {
		bad.body = make([]byte, min(length, 500))
		if _, err := io.ReadFull(c.r, bad.body); err != nil {
			return 0, err
		}
		return 0, bad
	}
	_, err = c.r.Discard(length)
	return length, err
}

// header reads the rest of the header and returns the Content-Length, which must be there.
func (c *conn) header() (length int, err error) {
	length = -1
	for range maxHeaderFields {
		line, err := c.line()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			if length < 0 {
				return 0, errors.New("the answer has no Content-Length")
			}
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")) {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil || length < 0 || length > maxAnswerBytes {
				return 0, fmt.Errorf("Content-Length %.40q", value)
			}
		}
	}
	return 0, fmt.Errorf("the answer has more than %d header fields", maxHeaderFields)
}

// line returns the next line without its end, valid until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
