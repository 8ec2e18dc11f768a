package api_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"cartd/internal/api/openapi/conform"
)

// conforming fails the test of any exchange with h that is not as the contract has it. It stands in the server of each
// shop, so that no test can forget it.
func conforming(t testing.TB, h http.Handler) http.Handler {
	if _, ok := t.(*testing.B); ok {
		return h // a benchmark measures something else
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &readBody{ReadCloser: r.Body}
		check := func(status int, answered []byte) {
			err := conform.Check(conform.Exchange{
				Method: r.Method, Target: r.URL.RequestURI(), Header: r.Header, Body: body.read.Bytes(),
				Status: status, AnswerHeader: w.Header(), Answer: answered,
			})
			if err != nil {
				t.Error(err)
			}
		}
		answer := &writtenAnswer{ResponseWriter: w, check: check}
		r2 := r.Clone(r.Context())
		r2.Body = body
		h.ServeHTTP(answer, r2)
		if answer.status == 0 {
			answer.status = http.StatusOK
		}
		if !answer.streams {
			check(answer.status, answer.body.Bytes())
		}
	})
}

// readBody keeps what has been read of a body.
type readBody struct {
	io.ReadCloser
	read bytes.Buffer
}

func (b *readBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	return n, err
}

// writtenAnswer keeps what has been answered, but for a stream: that is checked when its header goes out.
type writtenAnswer struct {
	http.ResponseWriter
	check   func(status int, answered []byte)
	status  int
	streams bool
	body    bytes.Buffer
}

func (w *writtenAnswer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.streams = conform.Streams(w.Header()); w.streams {
			w.check(status, nil)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writtenAnswer) Write(b []byte) (int, error) {
	if !w.streams {
		w.body.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writtenAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
