package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cartd/internal/api"
	"cartd/internal/catalog"
)

// pricedCatalog sells everything that it has a price of, and counts who asks.
type pricedCatalog struct {
	mu       sync.Mutex // guards what follows
	products map[string]catalog.Product
	err      error

	asked, now, most atomic.Int64
}

func (c *pricedCatalog) ByCountry() bool { return false }

func (c *pricedCatalog) set(products ...catalog.Product) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range products {
		c.products[p.SKU] = p
	}
}

func (c *pricedCatalog) Product(_ context.Context, sku, _ string) (catalog.Product, error) {
	c.asked.Add(1)
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.products[sku]
	switch {
	case c.err != nil:
		return p, c.err
	case !ok:
		return p, fmt.Errorf("%w %q", catalog.ErrUnknownSKU, sku)
	}
	return p, nil
}

func openPriced(t *testing.T) (*shop, *pricedCatalog) {
	c := &pricedCatalog{products: map[string]catalog.Product{}}
	return openShop(t, func(o *api.Options) { o.Catalog = c }), c
}

func TestRefreshShowsWhatHasChanged(t *testing.T) {
	s, c := openPriced(t)
	c.set(catalog.Product{SKU: "A", Name: "a", Price: 300, Tax: 2500, Stock: new(int64(5))}, catalog.Product{SKU: "B", Name: "b", Price: 100, Tax: 600},
		catalog.Product{SKU: "C", Name: "c", Price: 100, Tax: 600})
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", `{"items":[{"sku":"A","quantity":2},{"sku":"B","quantity":1},{"sku":"C","quantity":1},{"sku":"C","quantity":1,"attributes":{"a":"b"}}]}`), 200, "")
	c.asked.Store(0)
	if a := s.want(s.request("POST", cart+"/refresh", ""), 200, ""); a.field("result.version") != "5" || a.field("result.warnings") != "[]" {
		t.Errorf("nothing has changed, and yet version %s with %s", a.field("result.version"), a.field("result.warnings"))
	}
	if n := c.asked.Load(); n != 3 {
		t.Errorf("%d look-ups of 3 products", n)
	}
	c.set(catalog.Product{SKU: "A", Name: "A, new", Price: 255, OrgPrice: 300, Tax: 2500, Stock: new(int64(1)), Image: "i"})
	c.mu.Lock()
	delete(c.products, "C")
	c.mu.Unlock()
	a := s.want(s.request("POST", cart+"/refresh", `{}`, "Idempotency-Key", "k"), 200, "")
	for path, want := range map[string]string{
		"result.warnings": `[{"code":"price_changed","item":1,"message":"was 300, is 255"},{"code":"out_of_stock","item":1,"message":"2 wanted, 1 in stock"},` +
			`{"code":"discontinued","item":3,"message":"no longer sold"},{"code":"discontinued","item":4,"message":"no longer sold"}]`,
		"result.items.0.meta.name": "A, new", "result.items.0.meta.image": "i", "result.items.0.orgPrice.incVat": "300",
		"result.totalPrice.incVat": "810", "mutations.0.type": "RefreshPrices", "result.version": "6",
	} {
		if got := a.field(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if a := s.want(s.request("GET", cart, ""), 200, ""); a.field("warnings.3.item") != "4" {
		t.Errorf("warnings %s, want them to stay", a.field("warnings"))
	}
	if a := s.want(s.request("PATCH", cart+"/items/1", `{"quantity":1}`), 200, ""); a.field("result.warnings.0.code") != "discontinued" {
		t.Errorf("warnings %s, want those of line 1 gone", a.field("result.warnings"))
	}
	c.mu.Lock()
	c.err = catalog.ErrUnavailable
	c.mu.Unlock()
	if a := s.want(s.request("POST", cart+"/refresh", `{}`, "Idempotency-Key", "k"), 200, ""); a.header.Get("Idempotent-Replayed") != "true" {
		t.Error("a repeat that needs no catalogue asked it")
	}
	s.want(s.request("POST", cart+"/refresh", ""), 502, "catalog_unavailable")
	if got := s.events(cart); got != "7" {
		t.Errorf("%s events, want 7", got)
	}
	s.want(s.request("POST", "/v1/carts/nobody/refresh", ""), 404, "cart_not_found")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", cart+"/refresh", ""), 409, "cart_frozen")
}

func TestRefreshOfALargeCartAsksForFewProductsAtOnce(t *testing.T) {
	s, c := openPriced(t)
	cart := s.newCart()
	var body strings.Builder
	body.WriteString(`{"items":[`)
	for i := range 200 {
		sku := fmt.Sprint("S", i)
		c.set(catalog.Product{SKU: sku, Name: sku, Price: 100, Tax: 2500})
		if i > 0 {
			body.WriteString(",")
		}
		body.WriteString(fmt.Sprintf(`{"sku":%q,"quantity":1}`, sku))
	}
	s.want(s.request("POST", cart+"/items", body.String()+"]}"), 200, "")
	for i := range 200 {
		sku := fmt.Sprint("S", i)
		c.set(catalog.Product{SKU: sku, Name: sku, Price: 90, Tax: 2500})
	}
	if a := s.want(s.request("POST", cart+"/refresh", ""), 200, ""); a.field("result.totalPrice.incVat") != "18000" {
		t.Errorf("total %s, want 18000", a.field("result.totalPrice.incVat"))
	}
	if n := c.most.Load(); n > 8 {
		t.Errorf("%d look-ups at once, want 8 at most", n)
	}
}

// The price changes while the answer for the add is still kept, and the shopper who asks for the prices of now gets them.
func TestRefreshTakesNoPriceThatWasKept(t *testing.T) {
	var price atomic.Int64
	price.Store(300)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if price.Load() == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"sku":"A","name":"a","price":%d,"tax":2500}`, price.Load())
	}))
	t.Cleanup(backend.Close)
	products, err := catalog.Open(t.Context(), backend.URL+"/{sku}", catalog.Options{Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { products.Close() })
	s := openShop(t, func(o *api.Options) { o.Catalog = products })
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", `{"sku":"A","quantity":6}`), 200, "")
	price.Store(255)
	a := s.want(s.request("POST", cart+"/refresh", ""), 200, "")
	if got := a.field("result.warnings"); got != `[{"code":"price_changed","item":1,"message":"was 300, is 255"}]` || a.field("result.totalPrice.incVat") != "1530" {
		t.Errorf("after a refresh the total is %s, with the warnings %s", a.field("result.totalPrice.incVat"), got)
	}
	price.Store(0) // the backend is down: a price that was kept is not passed off as that of now
	s.want(s.request("POST", cart+"/refresh", ""), 502, "catalog_unavailable")
	s.want(s.request("POST", cart+"/items", `{"sku":"A","quantity":1}`), 200, "")
}
