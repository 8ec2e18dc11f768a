package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cartd/internal/eventlog/memlog"
	"cartd/internal/live"
)

// deadlineWriter is a writer like that of HTTP/2, which panics when it is used after its handler has returned.
type deadlineWriter struct {
	http.ResponseWriter
	returned bool
}

func (w *deadlineWriter) SetReadDeadline(time.Time) error { return nil }

func (w *deadlineWriter) SetWriteDeadline(time.Time) error {
	if w.returned {
		panic("the handler has returned")
	}
	return nil
}

func (w *deadlineWriter) FlushError() error { return nil }

// A shutdown that begins as a stream's handler returns leaves its writer alone.
func TestStreamThatHasReturnedIsNotEnded(t *testing.T) {
	hub := live.New(memlog.New(), live.Options{})
	s := &server{Options: Options{Streams: (&Streams{Hub: hub}).defaults()}}
	hub.Close() // so that the end of the stream begins at once, and may come at any time
	w := &deadlineWriter{ResponseWriter: httptest.NewRecorder()}
	x := &exchange{client: t.Context(), server: s}
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), exchangeKey{}, x), "GET", "/", nil)
	st, err := s.openStream(w, r, ofCart, make(chan struct{}, 1))
	if err != nil {
		t.Fatal(err)
	}
	st.close()
	w.returned = true
	st.end()
}
