package catalog

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of what is read into memory.
const (
	maxFileBytes   = 64 << 20
	maxAnswerBytes = 1 << 20
	// maxLists bounds how many answers of a whole delivery list are kept, one per country asked for.
	maxLists = 64
)

// Options are the limits of an HTTP source; the other kinds need none. The zero value of each
// field is its default. A negative one is refused.
type Options struct {
	Timeout      time.Duration     // for one look-up with all its tries; default 2 s
	TryTimeout   time.Duration     // for one try, from connecting to the last byte; default 1 s
	Tries        int               // requests per look-up at most, the first one included; default 3
	TTL          time.Duration     // how long an answer is used without asking again; default 1 min
	UnknownTTL   time.Duration     // how long a 404 is believed; default 5 s
	MaxStale     time.Duration     // age up to which an answer is used while the backend fails; default 10 min, no effect below TTL
	CacheEntries int               // answers kept at most, and as many 404s; default 10,000
	Concurrency  int               // requests at the backend at once; default 32
	Transport    http.RoundTripper // how requests are sent; nil: over connections of its own
	Metrics      *Metrics          // is told of each request; nil: nobody is
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	duration := func(name string, d *time.Duration, def time.Duration) {
		if *d < 0 {
			errs = append(errs, fmt.Errorf("catalog options: %s %s is negative", name, *d))
		}
		if *d == 0 {
			*d = def
		}
	}
	count := func(name string, n *int, def int) {
		if *n < 0 {
			errs = append(errs, fmt.Errorf("catalog options: %s %d is negative", name, *n))
		}
		if *n == 0 {
			*n = def
		}
	}
	duration("timeout", &o.Timeout, 2*time.Second)
	duration("try timeout", &o.TryTimeout, time.Second)
	duration("TTL", &o.TTL, time.Minute)
	duration("unknown TTL", &o.UnknownTTL, 5*time.Second)
	duration("max stale", &o.MaxStale, 10*time.Minute)
	count("tries", &o.Tries, 3)
	count("cache entries", &o.CacheEntries, 10_000)
	count("concurrency", &o.Concurrency, 32)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	return o, errors.Join(errs...)
}

//go:embed demo_products.json
var demoProducts []byte

//go:embed demo_deliveries.json
var demoDeliveries []byte

// Open returns the catalogue at source: "" or "demo" for the built-in one, an http or https URL
// template with {sku} and, if the backend wants it, {country}, or the path of a JSON file, which
// is read and checked here and never again. The error for a bad file lists what is wrong with
// which entry, up to a limit. A backend is not asked yet: cartd starts also while it is down.
// Close what Open returned.
func Open(ctx context.Context, source string, opts Options) (*Products, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if isURL(source) {
		t, err := parseTemplate(source, "sku")
		if err != nil {
			return nil, fmt.Errorf("catalogue: %w", err)
		}
		if !t.hasID {
			return nil, fmt.Errorf("catalogue: URL %s has no place for {sku}", t.display)
		}
		return &Products{newRemote(t, decodeProduct, opts, sourceProducts)}, nil
	}
	data, err := readSource(ctx, source, demoProducts)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	products, err := decodeProducts(data)
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", source, err)
	}
	return &Products{products}, nil
}

// OpenDeliveries returns the delivery prices at source, which is like that of [Open] with
// {provider} in place of {sku}. A URL without {provider} is one that answers the whole list.
// Close what OpenDeliveries returned.
func OpenDeliveries(ctx context.Context, source string, opts Options) (*Deliveries, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if isURL(source) {
		t, err := parseTemplate(source, "provider")
		if err != nil {
			return nil, fmt.Errorf("deliveries: %w", err)
		}
		if t.hasID {
			return &Deliveries{newRemote(t, decodeDelivery, opts, sourceDeliveries)}, nil
		}
		opts.CacheEntries = min(opts.CacheEntries, maxLists)
		return &Deliveries{newRemoteList(t, decodeDeliveries, opts, sourceDeliveries)}, nil
	}
	data, err := readSource(ctx, source, demoDeliveries)
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	list, err := decodeDeliveries(data)
	if err != nil {
		return nil, fmt.Errorf("deliveries %s: %w", source, err)
	}
	return &Deliveries{list}, nil
}

// isURL reports whether source is meant as a URL, of whatever scheme: parseTemplate refuses those
// that are not HTTP with a better message than a missing file would give.
func isURL(source string) bool { return strings.Contains(source, "://") }

// readSource returns the file at path, or the built-in data if there is no path.
func readSource(ctx context.Context, path string, builtIn []byte) ([]byte, error) {
	if path == "" || path == "demo" {
		return builtIn, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names operation and path already
	}
	defer f.Close()
	tooLong := fmt.Errorf("%s is longer than %d MiB", path, maxFileBytes>>20)
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() > maxFileBytes {
		return nil, tooLong
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1)) // a pipe has no size, and files grow
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, tooLong
	}
	// Editors on Windows put a byte order mark there, which RFC 8259 section 8.1 lets a reader ignore.
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}
