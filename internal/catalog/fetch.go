package catalog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Waiting between the tries of one look-up: 50 ms, then 150 ms, each up to half more or less, so
// that look-ups which failed together do not come back together.
const (
	firstWait  = 50 * time.Millisecond
	waitGrowth = 3
	longWait   = 500 * time.Millisecond
)

// fetch returns the backend's answer for k, errNotFound, or ErrUnavailable with the cause. It
// takes Options.Timeout at most, and ends when ctx does.
func (r *remote[T]) fetch(ctx context.Context, k key) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	var zero T
	u, err := r.template.expand(k)
	if err != nil {
		return zero, err
	}
	wait := &backoff.ExponentialBackOff{
		InitialInterval:     firstWait,
		RandomizationFactor: 0.5,
		Multiplier:          waitGrowth,
		MaxInterval:         longWait,
	}
	v, err := backoff.Retry(ctx, func() (T, error) { return r.try(ctx, k, u) },
		backoff.WithBackOff(wait),
		backoff.WithMaxTries(uint(r.options.Tries)),
		// Not the context's deadline alone: a wait that would pass it is not even begun.
		backoff.WithMaxElapsedTime(r.options.Timeout),
	)
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, errNotFound):
		return zero, errNotFound
	default:
		return zero, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// try sends one request, and counts it. Errors that another try cannot mend are marked with backoff.Permanent.
func (r *remote[T]) try(ctx context.Context, k key, u *url.URL) (T, error) {
	var zero T
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return zero, backoff.Permanent(fmt.Errorf("wait for one of %d requests to end: %w", cap(r.slots), context.Cause(ctx)))
	}
	began := time.Now()
	v, err := r.ask(ctx, k, u)
	r.calls.count(ctx, time.Since(began), err)
	return v, err
}

// ask is try once there is a slot.
func (r *remote[T]) ask(ctx context.Context, k key, u *url.URL) (T, error) {
	var zero T
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.TryTimeout,
		fmt.Errorf("no answer within %s: %w", r.options.TryTimeout, context.DeadlineExceeded))
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return zero, backoff.Permanent(errors.New("make request"))
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "cartd")
	resp, err := r.client.Do(req)
	if err != nil {
		return zero, connectionError(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// Reading a short body to its end lets the connection be used again.
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		return zero, r.statusError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return zero, connectionError(ctx, err)
	}
	if len(body) > maxAnswerBytes {
		return zero, backoff.Permanent(fmt.Errorf("answer is longer than %d bytes", maxAnswerBytes))
	}
	v, err := r.decode(body, k.id)
	if err != nil {
		return zero, backoff.Permanent(err)
	}
	return v, nil
}

// statusError says what an answer that is not 200 means, and whether to ask again.
func (r *remote[T]) statusError(resp *http.Response) error {
	err := fmt.Errorf("backend answered %d", resp.StatusCode)
	switch {
	case resp.StatusCode == http.StatusNotFound && !r.listAnswer:
		return backoff.Permanent(errNotFound)
	case resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500:
		return backoff.Permanent(err)
	}
	// Seconds only: cartd's and the backend's clocks need not agree on the other form, a date.
	if seconds, convErr := strconv.Atoi(resp.Header.Get("Retry-After")); convErr == nil && seconds > 0 {
		if time.Duration(min(seconds, 3600))*time.Second >= r.options.Timeout {
			return backoff.Permanent(err)
		}
		return fmt.Errorf("%w: %w", err, backoff.RetryAfter(seconds))
	}
	return err
}

// connectionError says why there was no answer, and whether to ask again. It leaves out the URL,
// which may hold secrets.
func connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return backoff.Permanent(context.Cause(ctx)) // slow, or nobody waits: either way once is enough
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return backoff.Permanent(err)
	}
	return err
}
