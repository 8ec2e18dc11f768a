package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const token = "backend-token"

// fault is what goes wrong with one request.
type fault int

const (
	fine           fault = iota
	unavailable          // 503, nothing applied
	limited              // 429, nothing applied
	badGateway           // 502 without a problem, nothing applied
	unknown              // 504, nothing applied
	unknownApplied       // 504, applied
	dropped              // the connection ends, nothing applied
	droppedApplied       // the connection ends, applied
	faults
)

// fakeCartd is the part of cartd's API that a load uses, in memory. It is as strict as the contract.
type fakeCartd struct {
	t       *testing.T
	strange func(r *http.Request) fault                                    // nil: nothing goes wrong
	corrupt func(id string, body *fakeBody)                                // changes a cart that is read; nil: nothing
	refuse  func(w http.ResponseWriter, r *http.Request, body []byte) bool // answers instead; nil: never
	applied func(n int)                                                    // called after each applied item with their number; nil: nobody asks

	mu    sync.Mutex // guards what follows, held while a request is applied
	carts map[string]*fakeCart
	items int
}

type fakeCart struct {
	currency string
	seen     map[string][32]byte // Idempotency-Key to a hash of the request
	lines    []fakeLine
	order    []string // SKUs as they were added
}

type fakeLine struct {
	sku        string
	price, qty int64
}

type fakeBody struct {
	ID       string `json:"id"`
	Currency string `json:"currency"`
	Items    []struct {
		ID  int    `json:"id"`
		SKU string `json:"sku"`
		Qty int64  `json:"qty"`
	} `json:"items"`
	TotalPrice struct {
		ExVat  int64            `json:"exVat"`
		IncVat int64            `json:"incVat"`
		Vat    map[string]int64 `json:"vat"`
	} `json:"totalPrice"`
}

func newFake(t *testing.T) *fakeCartd {
	return &fakeCartd{t: t, carts: make(map[string]*fakeCart)}
}

// serve starts the fake on loopback and returns its URL.
func (f *fakeCartd) serve() string {
	s := httptest.NewServer(f)
	f.t.Cleanup(s.Close)
	return s.URL
}

// RoundTrip lets a client reach the fake without a socket, for tests with a fake clock.
func (f *fakeCartd) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() == http.ErrAbortHandler {
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result(), nil
}

func (f *fakeCartd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		problem(w, 401, "unauthorized", "wrong token")
		return
	}
	if f.refuse != nil && f.refuse(w, r, body) {
		return
	}
	what := fine
	if f.strange != nil {
		what = f.strange(r)
	}
	switch what {
	case unavailable:
		problem(w, 503, "unavailable", "moving")
		return
	case limited:
		problem(w, 429, "rate_limited", "slower")
		return
	case badGateway:
		http.Error(w, "<html>", http.StatusBadGateway)
		return
	case unknown:
		problem(w, 504, "outcome_unknown", "")
		return
	case dropped:
		panic(http.ErrAbortHandler)
	}
	done := httptest.NewRecorder()
	f.route(done, r, body)
	switch what {
	case unknownApplied:
		problem(w, 504, "outcome_unknown", "")
		return
	case droppedApplied:
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), done.Header())
	w.WriteHeader(done.Code)
	_, _ = w.Write(done.Body.Bytes())
}

var itemRoute = regexp.MustCompile(`^/v1/carts/([A-Za-z0-9][A-Za-z0-9_-]{0,63})(/mutations)?$`)

func (f *fakeCartd) route(w http.ResponseWriter, r *http.Request, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := itemRoute.FindStringSubmatch(r.URL.Path)
	switch {
	case r.Method == "POST" && r.URL.Path == "/v1/carts":
		f.create(w, body)
	case r.Method == "POST" && m != nil && m[2] != "":
		f.mutate(w, r, m[1], body)
	case r.Method == "GET" && m != nil && m[2] == "":
		f.read(w, m[1])
	default:
		problem(w, 404, "not_found", r.Method+" "+r.URL.Path)
	}
}

func (f *fakeCartd) create(w http.ResponseWriter, body []byte) {
	var in struct{ ID, Currency string }
	if !decode(w, body, &in) {
		return
	}
	if f.carts[in.ID] != nil {
		problem(w, 409, "cart_exists", "cart "+in.ID+" exists")
		return
	}
	f.carts[in.ID] = &fakeCart{currency: in.Currency, seen: make(map[string][32]byte)}
	w.Header().Set("Location", "/v1/carts/"+in.ID)
	w.WriteHeader(201)
	fmt.Fprint(w, `{"version":1,"mutations":[]}`)
}

func (f *fakeCartd) mutate(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	var in struct {
		Mutations []struct {
			Type    string
			Payload struct {
				SKU, Name            string
				Quantity, Price, Tax int64
			}
		}
	}
	if !decode(w, body, &in) {
		return
	}
	c, key := f.carts[id], r.Header.Get("Idempotency-Key")
	hash := sha256.Sum256(append([]byte(r.Method+" "+r.URL.Path+" "), body...))
	if c == nil {
		problem(w, 404, "cart_not_found", "")
		return
	}
	if was, ok := c.seen[key]; ok {
		if was != hash {
			problem(w, 422, "idempotency_key_reused", "")
			return
		}
		w.Header().Set("Idempotent-Replayed", "true")
		fmt.Fprint(w, `{"version":1,"mutations":[]}`)
		return
	}
	if len(in.Mutations) != 1 || in.Mutations[0].Type != "AddItem" || key == "" || len(key) > 255 || r.Header.Get("Prefer") != "return=minimal" {
		f.t.Errorf("request with key %q, Prefer %q and %d mutations, want a key, return=minimal and 1 AddItem", key, r.Header.Get("Prefer"), len(in.Mutations))
	}
	c.seen[key] = hash
	p := in.Mutations[0].Payload
	if p.SKU == "" || p.Quantity < 1 || p.Quantity > 1_000_000 || p.Price < 1 || p.Tax != 0 {
		f.t.Errorf("AddItem %+v, want a SKU, a quantity of 1 to 1,000,000, a price and no tax", p)
	}
	c.order = append(c.order, p.SKU)
	f.items++
	if f.applied != nil {
		f.applied(f.items)
	}
	fmt.Fprint(w, `{"version":1,"mutations":[{"type":"AddItem","mutation":{}}]}`)
	for i := range c.lines {
		if c.lines[i].sku == p.SKU && c.lines[i].price == p.Price {
			c.lines[i].qty += p.Quantity
			return
		}
	}
	c.lines = append(c.lines, fakeLine{p.SKU, p.Price, p.Quantity})
}

func (f *fakeCartd) read(w http.ResponseWriter, id string) {
	c := f.carts[id]
	if c == nil {
		problem(w, 404, "cart_not_found", "no cart "+id)
		return
	}
	body := fakeBody{ID: id, Currency: c.currency}
	for i, l := range c.lines {
		body.Items = append(body.Items, struct {
			ID  int    `json:"id"`
			SKU string `json:"sku"`
			Qty int64  `json:"qty"`
		}{i + 1, l.sku, l.qty})
		body.TotalPrice.IncVat += l.qty * l.price
	}
	body.TotalPrice.ExVat = body.TotalPrice.IncVat
	if f.corrupt != nil {
		f.corrupt(id, &body)
	}
	_ = json.NewEncoder(w).Encode(body)
}

func decode(w http.ResponseWriter, body []byte, into any) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		problem(w, 400, "invalid_request", err.Error())
		return false
	}
	return true
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": strings.ToUpper(code), "status": status, "code": code, "detail": detail})
}
