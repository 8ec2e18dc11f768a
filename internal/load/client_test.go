package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const oneRow = header + "700001,A100,Tin mug,5,,2.55,,\n"

// roundTrip is a transport of one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// runOffline loads path into what transport leads to, without a socket: for use with a fake clock.
func runOffline(ctx context.Context, path string, transport http.RoundTripper, log *slog.Logger) (Report, error) {
	return Run(ctx, Options{CSV: path, URL: "http://cartd.test", Token: token, Concurrency: 2,
		Client: &http.Client{Transport: transport}, Logger: log})
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		header func() string
		want   time.Duration
	}{
		{func() string { return "7" }, 7 * time.Second},
		{func() string { return time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat) }, 9 * time.Second},
		{func() string { return "86400" }, longestHint}, // a hint is no order to hang
	} {
		for _, status := range []int{429, 503} {
			path := writeFile(t, "one.csv", []byte(oneRow))
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				var asked atomic.Int64
				fake.refuse = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
					if !strings.HasSuffix(r.URL.Path, "/mutations") || asked.Add(1) > 1 {
						return false
					}
					w.Header().Set("Retry-After", tt.header())
					problem(w, status, "unavailable", "")
					return true
				}
				start := time.Now()
				report, err := runOffline(t.Context(), path, fake, nil)
				if took := time.Since(start); err != nil || report.Accepted != 1 || took != tt.want {
					t.Errorf("%d: %d accepted after %v, error %v; want 1 after %v, none", status, report.Accepted, took, err, tt.want)
				}
			})
		}
	}
}

func TestServerThatIsAwayForAMinuteIsWaitedFor(t *testing.T) {
	for _, away := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET} {
		path := writeFile(t, "one.csv", []byte(oneRow))
		synctest.Test(t, func(t *testing.T) {
			fake := newFake(t)
			back := time.Now().Add(time.Minute)
			var log strings.Builder
			report, err := runOffline(t.Context(), path, roundTrip(func(r *http.Request) (*http.Response, error) {
				if time.Now().Before(back) {
					return nil, fmt.Errorf("dial: %w", away)
				}
				return fake.RoundTrip(r)
			}), slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil || report.Accepted != 1 {
				t.Errorf("%v: %d accepted, error %v; want 1, none", away, report.Accepted, err)
			}
			if late := time.Since(back); late > 2*longestPause {
				t.Errorf("%v: went on %v after the server was back, want at most %v", away, late, 2*longestPause)
			}
			if n := strings.Count(log.String(), "\n"); n < 1 || n > 7 {
				t.Errorf("%v: %d lines logged in a minute, want 1 to 7:\n%s", away, n, log.String())
			}
		})
	}
}

func TestServerThatNeverAnswersIsGivenUp(t *testing.T) {
	for name, transport := range map[string]roundTrip{
		"refused": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED },
		"hangs": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	} {
		path := writeFile(t, "one.csv", []byte(oneRow))
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, err := runOffline(t.Context(), path, transport, nil)
			if err == nil || !strings.Contains(err.Error(), "no outcome within 2m0s") || !strings.Contains(err.Error(), "start it again") {
				t.Errorf("%s: error %v, want one that says no outcome within 2m0s and that it can be started again", name, err)
			}
			if took := time.Since(start); took > 2*time.Minute {
				t.Errorf("%s: gave up after %v, want 2m0s at most", name, took)
			}
		})
	}
}

func TestUnknownOutcomeIsRepeatedWithTheSameKeyAndBody(t *testing.T) {
	path := writeFile(t, "one.csv", []byte(oneRow))
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		var seen []string
		fake.refuse = func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
			if strings.HasSuffix(r.URL.Path, "/mutations") {
				seen = append(seen, r.Header.Get("Idempotency-Key")+" "+string(body))
			}
			return false
		}
		var n atomic.Int64
		fake.strange = func(r *http.Request) fault {
			if i := n.Add(1); i <= int64(faults) { // create and the item meet all of them in turn
				return fault(i) % faults
			}
			return fine
		}
		report, err := runOffline(t.Context(), path, fake, nil)
		if err != nil || report.Total != 5*255 || fake.items != 1 {
			t.Fatalf("total %d, %d items applied, error %v; want 1275, 1, none", report.Total, fake.items, err)
		}
		const body = `{"mutations":[{"type":"AddItem","payload":{"sku":"A100","quantity":5,"price":255,"tax":0,"name":"Tin mug"}}]}`
		for _, s := range seen {
			if s != seen[0] || !strings.HasSuffix(s, " "+body) {
				t.Errorf("sent %s, want each time the same key and %s", s, body)
			}
		}
	})
}

func TestEndOfTheContextEndsAPauseAtOnce(t *testing.T) {
	path := writeFile(t, "one.csv", []byte(oneRow))
	synctest.Test(t, func(t *testing.T) {
		interrupted := errors.New("interrupt signal received")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(20*time.Second, func() { cancel(interrupted) })
		_, err := runOffline(ctx, path, roundTrip(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }), nil)
		if took := time.Since(start); !errors.Is(err, interrupted) || took != 20*time.Second {
			t.Errorf("ended after %v with %v, want after 20s with %v", took, err, interrupted)
		}
	})
}

func TestPlainServerBehindHTTPSIsNotWaitedFor(t *testing.T) {
	url := newFake(t).serve()
	_, err := Run(t.Context(), Options{CSV: writeFile(t, "one.csv", []byte(oneRow)), Token: token,
		URL: strings.Replace(url, "http:", "https:", 1)})
	if !errors.Is(err, http.ErrSchemeMismatch) {
		t.Errorf("error %v, want %v", err, http.ErrSchemeMismatch)
	}
}

func TestTokenIsInNoError(t *testing.T) {
	fake := newFake(t)
	secret := "another-token-than-the-server's"
	_, err := Run(t.Context(), Options{CSV: "testdata/dirty.csv", URL: fake.serve(), Token: secret})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v, want one without the token", err)
	}
}
