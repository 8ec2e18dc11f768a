package load

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxConcurrency bounds connections, goroutines and queues.
const maxConcurrency = 1024

// Options says what is loaded and where to. CSV, URL and Token are required.
type Options struct {
	CSV   string // name of the file, plain or gzip
	URL   string // where cartd answers, such as http://127.0.0.1:8080; a path is kept as prefix
	Token string // the server's backend token; shown nowhere

	Concurrency int           // requests at a time, 1 to 1024; 0: 8
	RetryFor    time.Duration // how long one request is repeated before the load gives up; 0: 2 min

	// Client sends the requests; nil: one with as many kept-alive connections as Concurrency. Redirects are
	// never followed, whatever its CheckRedirect says.
	Client *http.Client

	// Progress is where a progress bar is drawn while rows are added and carts read back, os.Stderr for one;
	// nil, or anything but a terminal: nothing is written.
	Progress io.Writer

	// Logger hears at level Warn that the server gives no answer, a few times a minute at most, and at Debug
	// of each refused row; nil: nothing is logged.
	Logger *slog.Logger
}

// complete returns o with its defaults and a client, or what is wrong with it.
func (o Options) complete() (Options, *client, error) {
	if o.CSV == "" {
		return o, nil, errors.New("no CSV file given")
	}
	base, err := parseURL(o.URL)
	if err != nil {
		return o, nil, err
	}
	if err := checkToken(o.Token); err != nil {
		return o, nil, err
	}
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	if o.Concurrency < 1 || o.Concurrency > maxConcurrency {
		return o, nil, fmt.Errorf("concurrency is %d, must be 1 to %d", o.Concurrency, maxConcurrency)
	}
	if o.RetryFor == 0 {
		o.RetryFor = 2 * time.Minute
	}
	if o.RetryFor < 0 {
		return o, nil, fmt.Errorf("time to repeat a request is %v, must be positive", o.RetryFor)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := http.Client{}
	if o.Client != nil {
		h = *o.Client
	} else {
		h.Transport = newTransport(o.Concurrency)
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &client{http: &h, base: base, token: o.Token, retryFor: o.RetryFor, onRetry: (&outage{log: o.Logger}).warn}
	return o, c, nil
}

// newTransport returns a transport that keeps a connection for each of n requests at a time; the default
// one would close all but two after each.
func newTransport(n int) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	t.MaxIdleConns = n
	t.MaxIdleConnsPerHost = n
	t.MaxConnsPerHost = n
	t.IdleConnTimeout = 90 * time.Second
	t.TLSHandshakeTimeout = 10 * time.Second
	t.DisableCompression = true
	return t
}

// parseURL returns the URL of a server without a slash at its end.
func parseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("URL of the server: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("URL of the server is %q, must be http://host:port or https://host", s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("URL of the server must have no user, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// checkToken refuses what no header can carry; net/http would, too, but at each attempt.
func checkToken(token string) error {
	if token == "" {
		return errors.New("no backend token: set CARTD_BACKEND_TOKEN to the one that the server was started with")
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return errors.New("the backend token has a character that is not visible ASCII")
		}
	}
	return nil
}
