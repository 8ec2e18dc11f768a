//go:build unix

package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"cartd/internal/api/openapi/conform"
)

// conforming is a client's transport that fails the test of any exchange on the public port that is not as the contract
// has it.
type conforming struct {
	t    *testing.T
	ops  string // where the contract says nothing
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (c *conforming) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(c.ops, "//"+r.URL.Host) {
		return c.next.RoundTrip(r)
	}
	var asked []byte
	if r.GetBody != nil { // as of every body that is in memory
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		if asked, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	var answer []byte
	if !conform.Streams(resp.Header) { // the test reads it as it comes
		answer, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(answer))
	}
	wantContract(c.t, conform.Exchange{
		Method: r.Method, Target: r.URL.RequestURI(), Header: r.Header, Body: asked,
		Status: resp.StatusCode, AnswerHeader: resp.Header, Answer: answer,
	})
	return resp, nil
}

func wantContract(t *testing.T, x conform.Exchange) {
	t.Helper()
	if err := conform.Check(x); err != nil {
		t.Error(err)
	}
}
