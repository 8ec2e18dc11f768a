package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/catalog"
)

// serve starts a backend and returns its URL and the number of requests it had.
func serve(t *testing.T, h http.HandlerFunc) (string, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, &n
}

func open(t *testing.T, source string, opts catalog.Options) *catalog.Products {
	t.Helper()
	p, err := catalog.Open(t.Context(), source, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func writeProduct(w io.Writer, sku string, price int) {
	fmt.Fprintf(w, `{"sku":%q,"name":"N","price":%d,"tax":2500,"more":[]}`, sku, price)
}

func TestBackendIsAskedForSKUAndCountry(t *testing.T) {
	var got atomic.Value
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.RequestURI + " " + r.Header.Get("Accept"))
		writeProduct(w, "a/b?c#", 255)
	})
	p := open(t, base+"/v1/{sku}?country={country}", catalog.Options{})
	found, err := p.Product(t.Context(), "a/b?c#", "gb")
	if err != nil || found.Price != 255 || found.Tax != 2500 {
		t.Errorf("Product is %+v, %v, want price 255 and tax 2500", found, err)
	}
	if want := "/v1/a%2Fb%3Fc%23?country=GB application/json"; got.Load() != want {
		t.Errorf("backend was asked for %v, want %s", got.Load(), want)
	}
}

func TestSKUThatIsNoneIsNeverAskedFor(t *testing.T) {
	base, n := serve(t, func(w http.ResponseWriter, r *http.Request) { writeProduct(w, "x", 1) })
	p := open(t, base+"/v1/{sku}?country={country}", catalog.Options{})
	for _, ask := range [][2]string{
		{"", ""}, {"..", ""}, {".", ""}, {"a/../../admin", ""}, {"a\r\nX: y", ""}, {strings.Repeat("a", 65), ""},
		{"x", "G"}, {"x", "GBR"}, {"x", "G&"}, {"x", "ſe"}, {"x", "ß"},
	} {
		if found, err := p.Product(t.Context(), ask[0], ask[1]); !errors.Is(err, catalog.ErrUnknownSKU) {
			t.Errorf("Product %q in %q is %+v, %v, want ErrUnknownSKU", ask[0], ask[1], found, err)
		}
	}
	if n.Load() != 0 {
		t.Errorf("%d requests at the backend, want 0", n.Load())
	}
}

func TestAnswersThatAreNoProduct(t *testing.T) {
	other, otherAsked := serve(t, func(w http.ResponseWriter, r *http.Request) { writeProduct(w, "x", 1) })
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
	}
	body := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, s) }
	}
	for _, tc := range []struct {
		name     string
		backend  http.HandlerFunc
		want     error
		says     string
		requests int64
	}{
		{"404", status(404), catalog.ErrUnknownSKU, `"x"`, 1},
		{"400", status(400), catalog.ErrUnavailable, "answered 400", 1},
		{"401", status(401), catalog.ErrUnavailable, "answered 401", 1},
		{"204", status(204), catalog.ErrUnavailable, "answered 204", 1},
		{"500 each time", status(500), catalog.ErrUnavailable, "answered 500", 3},
		{"429 each time", status(429), catalog.ErrUnavailable, "answered 429", 3},
		{"429 that asks for a minute", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(429)
		}, catalog.ErrUnavailable, "answered 429", 1},
		{"503 with a Retry-After beyond all numbers", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "9223372036854775807")
			w.WriteHeader(503)
		}, catalog.ErrUnavailable, "answered 503", 1},
		{"redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other+"/x", http.StatusFound)
		}, catalog.ErrUnavailable, "answered 302", 1},
		{"nothing", body(""), catalog.ErrUnavailable, "unexpected end", 1},
		{"HTML", body("<html>"), catalog.ErrUnavailable, "invalid character", 1},
		{"null", body("null"), catalog.ErrUnavailable, "sku is empty", 1},
		{"a list", body("[]"), catalog.ErrUnavailable, "is a JSON array, not an object", 1},
		{"another product", body(`{"sku":"y","name":"N","price":1,"tax":0}`), catalog.ErrUnavailable, `for sku "y"`, 1},
		{"other case", body(`{"sku":"X","name":"N","price":1,"tax":0}`), catalog.ErrUnavailable, `for sku "X"`, 1},
		{"no price", body(`{"sku":"x","name":"N","tax":0}`), catalog.ErrUnavailable, "price is missing", 1},
		{"negative price", body(`{"sku":"x","name":"N","price":-1,"tax":0}`), catalog.ErrUnavailable, "price -1", 1},
		{"two products", body(`{"sku":"x","name":"N","price":1,"tax":0}{}`), catalog.ErrUnavailable, "invalid character", 1},
		{"bad UTF-8", body("{\"sku\":\"x\",\"name\":\"\xff\",\"price\":1,\"tax\":0}"), catalog.ErrUnavailable, "not UTF-8", 1},
		{"cut off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"sku":"x"`)
		}, catalog.ErrUnavailable, "unexpected EOF", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base, n := serve(t, tc.backend)
			p := open(t, base+"/{sku}", catalog.Options{Timeout: 30 * time.Second, TryTimeout: 30 * time.Second})
			found, err := p.Product(t.Context(), "x", "")
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("Product is %+v, %v, want %v with %q", found, err, tc.want, tc.says)
			}
			if n.Load() != tc.requests {
				t.Errorf("%d requests, want %d", n.Load(), tc.requests)
			}
		})
	}
	if otherAsked.Load() != 0 {
		t.Errorf("%d requests at the other host, want 0", otherAsked.Load())
	}
}

func TestAnswerIsReadToItsLimitOnly(t *testing.T) {
	var body endless
	p := open(t, "http://shop.example/{sku}", catalog.Options{Transport: &body, Timeout: time.Minute, TryTimeout: time.Minute})
	_, err := p.Product(t.Context(), "x", "")
	if !errors.Is(err, catalog.ErrUnavailable) || !strings.Contains(err.Error(), "longer than 1048576 bytes") {
		t.Errorf("Product is %v, want ErrUnavailable that names the limit", err)
	}
	if body.read > 2<<20 {
		t.Errorf("%d bytes read, want not much more than 1048576", body.read)
	}
}

// endless is a backend and its one answer, which would go on for 64 MiB.
type endless struct{ read int }

func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(e), Request: r}, nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 64<<20 {
		return 0, io.EOF
	}
	e.read += len(p)
	return len(p), nil
}

func TestBackendThatRecoversIsTriedAgain(t *testing.T) {
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			writeProduct(w, "x", 255)
		}
	}))
	defer srv.Close()
	p := open(t, srv.URL+"/{sku}", catalog.Options{Timeout: 30 * time.Second, TryTimeout: 30 * time.Second})
	if found, err := p.Product(t.Context(), "x", ""); err != nil || found.Price != 255 {
		t.Errorf("Product is %+v, %v, want price 255 at the third try", found, err)
	}
}

func TestBackendThatIsNotThereIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := open(t, "http://shop:hunter2@"+addr+"/{sku}?key=hunter2", catalog.Options{})
	_, err = p.Product(t.Context(), "x", "")
	if !errors.Is(err, catalog.ErrUnavailable) {
		t.Fatalf("Product is %v, want ErrUnavailable", err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %q, want no secret in it", err)
	}
}

func TestSlowBackendIsAskedOnce(t *testing.T) {
	for name, begin := range map[string]string{"silent": "", "dripping": `{"sku":`} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			base, n := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					_, _ = io.WriteString(w, begin)
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-release:
				case <-r.Context().Done():
				}
			})
			t.Cleanup(func() { close(release) }) // before the server closes, which waits for its handlers
			p := open(t, base+"/{sku}", catalog.Options{TryTimeout: 100 * time.Millisecond, Timeout: 30 * time.Second})
			_, err := p.Product(t.Context(), "x", "")
			if !errors.Is(err, catalog.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Product is %v, want ErrUnavailable because of the deadline", err)
			}
			if n.Load() != 1 {
				t.Errorf("%d requests, want 1", n.Load())
			}
		})
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	arrived := make(chan struct{}, 2) // one more than there should be
	base, n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	p := open(t, base+"/{sku}", catalog.Options{Timeout: time.Hour, TryTimeout: time.Hour})
	failed := make(chan error, 1)
	go func() {
		_, err := p.Product(t.Context(), "x", "")
		failed <- err
	}()
	<-arrived
	p.Close()
	if err := <-failed; !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("waiting look-up is %v, want ErrUnavailable", err)
	}
	if _, err := p.Product(t.Context(), "x", ""); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("look-up after Close is %v, want ErrUnavailable", err)
	}
	if n.Load() != 1 {
		t.Errorf("%d requests, want 1", n.Load())
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close is %v, want nil", err)
	}
}

func TestNegativeOptionsAreRefused(t *testing.T) {
	_, err := catalog.Open(t.Context(), "demo", catalog.Options{TTL: -1, Concurrency: -1})
	if err == nil || !strings.Contains(err.Error(), "TTL") || !strings.Contains(err.Error(), "concurrency") {
		t.Errorf("Open is %v, want an error that names TTL and concurrency", err)
	}
}

func TestURLEscapesAreNotDecodedOnTheWay(t *testing.T) {
	const sku = "100%25 wool+é/2"
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		segment, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/p/"))
		if err != nil || segment != r.URL.Query().Get("sku") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		writeProduct(w, segment, 1)
	})
	p := open(t, base+"/p/{sku}?sku={sku}", catalog.Options{})
	if found, err := p.Product(t.Context(), sku, ""); err != nil || found.SKU != sku {
		t.Errorf("Product is %+v, %v, want SKU %q", found, err, sku)
	}
}
