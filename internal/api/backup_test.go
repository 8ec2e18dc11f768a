package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

func getBackup(t *testing.T, s *httptest.Server, method, token string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestBackupIsForTheBackendAlone(t *testing.T) {
	if Backup(nil, nil, nil) != nil || Backup([]string{""}, nil, nil) != nil {
		t.Error("without a token there is a handler")
	}
	s := httptest.NewServer(Backup([]string{"a", "b"}, func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "all of it")
		return err
	}, slog.New(slog.DiscardHandler)))
	defer s.Close()
	for _, test := range []struct {
		method, token string
		want          int
	}{{"GET", "", 401}, {"GET", "c", 401}, {"HEAD", "", 401}, {"HEAD", "a", 405}, {"POST", "a", 405}, {"GET", "a", 200}, {"GET", "b", 200}} {
		if resp := getBackup(t, s, test.method, test.token); resp.StatusCode != test.want {
			t.Errorf("%s with token %q: got %d, want %d", test.method, test.token, resp.StatusCode, test.want)
		}
	}
}

func TestOneBackupRunsAtATimeAndEndsWithItsClient(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error)
	s := httptest.NewServer(Backup([]string{"a"}, func(ctx context.Context, w io.Writer) error {
		if _, err := io.WriteString(w, "some"); err != nil {
			return err
		}
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}, slog.New(slog.DiscardHandler)))
	defer s.Close()
	for range 2 { // the second shows that the first has given its turn back
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer a")
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for again := true; again; { // until the one before has given its turn back
				resp, err := s.Client().Do(req)
				if err != nil {
					return
				}
				again = resp.StatusCode == http.StatusServiceUnavailable
				io.Copy(io.Discard, resp.Body) //nolint:errcheck // it is cut off
				resp.Body.Close()
			}
		}()
		<-began
		if resp := getBackup(t, s, "GET", "a"); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("second at the same time: got %d, Retry-After %q; want 503 with one", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the backup ended with %v, want that its client has gone", err)
		}
		<-gone
	}
}

func TestBackupThatFailsHalfWayIsCutOff(t *testing.T) {
	content := make([]byte, 1<<16)
	s := httptest.NewServer(Backup([]string{"a"}, func(_ context.Context, w io.Writer) error {
		if _, err := w.Write(content); err != nil {
			return err
		}
		return errors.New("disk")
	}, slog.New(slog.DiscardHandler)))
	defer s.Close()
	resp := getBackup(t, s, "GET", "a")
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes ended like a whole answer", len(b))
	}
	s2 := httptest.NewServer(Backup([]string{"a"}, func(context.Context, io.Writer) error { return errors.New("disk") }, slog.New(slog.DiscardHandler)))
	defer s2.Close()
	if resp := getBackup(t, s2, "GET", "a"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("nothing was sent yet: got %d, want 503", resp.StatusCode)
	}
}
