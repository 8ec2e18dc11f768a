package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"cartd/internal/sse"
)

const (
	// silence is after which time a stream that says nothing is taken for dead: the server gives a sign every 15 s.
	silence = time.Minute
	// comeBack bounds the wait between two tries to reach a server.
	comeBack = 15 * time.Second
)

// follower reads a stream of events, and comes back to it when it ends.
type follower struct {
	url   *url.URL // of the stream, with its query but after
	token string   // "" for none
	after string   // the cursor; "" leaves it to the server where to begin

	event func(sse.Event) error // is told of each; an error ends it all
	lost  func(error)           // is told each time that the stream is lost; nil: nobody is
}

// finalError is an answer that does not get better by asking again.
type finalError struct{ error }

// run follows until ctx ends, and returns nil then; or the error that it cannot go on from.
func (f *follower) run(ctx context.Context) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: comeBack}
	wait.Reset()
	for {
		began, err := f.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if final, ok := errors.AsType[finalError](err); ok {
			return final.error
		}
		if f.lost != nil {
			f.lost(err)
		}
		if began {
			wait.Reset()
		}
		timer := time.NewTimer(wait.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// once reads the stream to its end. began is true when there was one.
func (f *follower) once(ctx context.Context) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dead := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the server has sent nothing for %v", silence)) })
	defer dead.Stop()
	u := *f.url
	if q := u.Query(); f.after != "" {
		q.Set("after", f.after)
		u.RawQuery = q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, finalError{err}
	}
	req.Header.Set("Accept", sse.ContentType)
	authorise(req, f.token)
	resp, err := apiClient.Do(req)
	if err != nil {
		return false, errors.Join(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answers %s", req.URL.Redacted(), reason(resp))
		if code := resp.StatusCode; code/100 == 5 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout {
			return false, err
		}
		return false, finalError{err}
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, sse.ContentType) {
		return false, finalError{fmt.Errorf("%s answers with %.80q, which is no stream of events", req.URL.Redacted(), got)}
	}
	r := sse.NewReader(readerFunc(func(p []byte) (int, error) {
		n, err := resp.Body.Read(p)
		dead.Reset(silence)
		return n, err
	}))
	defer func() {
		if id := r.LastID(); id != "" {
			f.after = id
		}
	}()
	for {
		ev, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server has ended the stream")
			}
			return true, errors.Join(context.Cause(ctx), err)
		}
		if err := f.event(ev); err != nil {
			return true, finalError{err}
		}
	}
}

// apiClient asks the API. Redirects are not followed: the token is for this server.
var apiClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func authorise(req *http.Request, token string) {
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
}

// reason says what an answer that is none of success means.
func reason(resp *http.Response) string {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // as far as it can be read
	var p struct {
		Code, Detail string
		Earliest     uint64
	}
	if json.Unmarshal(b, &p) != nil || p.Code == "" {
		return resp.Status
	}
	text := fmt.Sprintf("%s %s: %s", resp.Status, printable(p.Code), printable(p.Detail))
	if p.Earliest > 0 {
		text += fmt.Sprintf("; --after %d has all that is kept", p.Earliest-1)
	}
	return text
}

// apiURL returns the address of a path of the API at base, a URL like http://127.0.0.1:8080.
func apiURL(base, path string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--url: %q is no URL like http://127.0.0.1:8080", base)
	}
	return u.JoinPath(path), nil
}

// getJSON asks for a JSON object.
func getJSON(ctx context.Context, u *url.URL, token string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	authorise(req, token)
	resp, err := apiClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", u.Redacted(), reason(resp))
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	return nil
}
