package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	attemptTimeout  = 30 * time.Second // of one attempt, longer than a server keeps a request
	firstPause      = 50 * time.Millisecond
	longestPause    = 2 * time.Second
	longestHint     = 30 * time.Second // of a Retry-After that is followed
	maxProblemBytes = 64 << 10
	maxAnswerBytes  = 64 << 20 // of a cart that is read back: some 90,000 lines
)

// client sends requests to one cartd, each until its outcome is known. Safe for concurrent use.
type client struct {
	http     *http.Client
	base     string // URL without a trailing slash
	token    string
	retryFor time.Duration // of one request, all attempts and pauses together
	onRetry  func(error, time.Duration)
}

// call is one request. It may be sent any number of times, so it must be safe to repeat.
type call struct {
	method, path string
	key          string // Idempotency-Key, empty for none
	body         []byte // JSON, nil for none
	answer       bool   // the body of a 2xx answer is wanted
}

// answer is the server's outcome of a call. Its status is never one that asks for a repeat.
type answer struct {
	status   int
	replayed bool   // the server had seen the key before
	body     []byte // of a 2xx answer if it was wanted, of any other up to maxProblemBytes
}

// send repeats a call until it has an outcome and returns that. The call is repeated, with growing pauses or
// after what Retry-After asks for, when the connection failed or the status is 429, 502, 503 or 504: in all
// of these nothing was applied, or it is not known whether it was, and the key makes the repeat safe. It
// returns an error when ctx ends (its cause), after retryFor, and when no repeat can help.
func (c *client) send(ctx context.Context, r call) (answer, error) {
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: longestPause,
		Multiplier: backoff.DefaultMultiplier, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	deadline := time.Now().Add(c.retryFor)
	gaveUp := true
	a, err := backoff.Retry(ctx, func() (answer, error) {
		a, err := c.attempt(ctx, r, deadline)
		if err != nil && hopeless(err) {
			gaveUp = false
			return answer{}, backoff.Permanent(err)
		}
		return a, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(c.retryFor), backoff.WithNotify(c.onRetry))
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil:
		return answer{}, context.Cause(ctx)
	case gaveUp:
		return answer{}, fmt.Errorf("%s %s: no outcome within %v: %w", r.method, r.path, c.retryFor, err)
	default:
		return answer{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
}

// attempt sends a call once. A status that asks for a repeat is a *statusError.
func (c *client) attempt(ctx context.Context, r call, deadline time.Time) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, min(attemptTimeout, time.Until(deadline)))
	defer cancel()
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		return answer{}, backoff.Permanent(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("User-Agent", "cartd-load")
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "return=minimal")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()

	a := answer{status: resp.StatusCode, replayed: resp.Header.Get("Idempotent-Replayed") == "true"}
	ok := a.status/100 == 2
	switch {
	case ok && r.answer:
		a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
		if err != nil {
			return answer{}, fmt.Errorf("read the answer: %w", err)
		}
		if len(a.body) > maxAnswerBytes {
			return answer{}, backoff.Permanent(fmt.Errorf("answer is longer than %d MiB", maxAnswerBytes>>20))
		}
	case ok:
		// The status alone says that the change is durable; what follows is read so that the connection can
		// be used again, and a fault in it costs no more than that.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswerBytes))
	default:
		a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes)) // a cut one is no JSON, and shown as none
	}
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e := newStatusError(a)
		e.after = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return answer{}, e
	}
	return a, nil
}

// hopeless reports whether an attempt failed in a way that the next one would too.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return true
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted || errors.Is(err, http.ErrSchemeMismatch)
}

// retryAfter returns how long a Retry-After header (RFC 9110, 10.2.3: seconds or a date) asks to wait, at
// most longestHint, or 0 if it asks for nothing that can be understood.
func retryAfter(v string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longestHint)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), longestHint)
	}
	return 0
}
