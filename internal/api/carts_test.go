package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cartd/internal/api"
	"cartd/internal/catalog"
)

const addLantern = `{"sku":"85123A","quantity":6}`

func TestCartLivesFromCreationToDeletion(t *testing.T) {
	s := openShop(t, nil)
	created := s.want(s.request("POST", "/v1/carts", `{"country":"gb"}`), 201, "")
	cart := created.header.Get("Location")
	if id := created.field("result.id"); len(id) != 26 || cart != "/v1/carts/"+id || created.header.Get("ETag") != `"main-1"` {
		t.Errorf("id %q, location %q, ETag %s", id, cart, created.header.Get("ETag"))
	}
	added := s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	for path, want := range map[string]string{
		"result.currency": "GBP", "result.country": "GB", "result.version": "2", "result.items.0.itemId": "4711",
		"result.totalPrice": `{"exVat":1224,"incVat":1530,"vat":{"25":306}}`, "mutations.0.type": "AddItem",
	} {
		if got := added.field(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	read := s.want(s.request("GET", cart, ""), 200, "")
	if got, want := string(read.body), added.field("result"); !strings.Contains(string(added.body), got) {
		t.Errorf("read %s, answered before %s", got, want)
	}
	if a := s.request("HEAD", cart, ""); a.status != 200 || len(a.body) != 0 {
		t.Errorf("HEAD: %d with %d bytes", a.status, len(a.body))
	}
	s.want(s.request("DELETE", cart, ""), 204, "")
	for _, method := range []string{"GET", "DELETE"} {
		s.want(s.request(method, cart, ""), 410, "cart_deleted")
	}
	s.want(s.request("POST", cart+"/items", addLantern), 410, "cart_deleted")
	s.want(s.request("GET", cart+"/events", ""), 410, "cart_deleted")
}

func TestLinesAreChangedAndRemoved(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	a := s.want(s.request("PATCH", cart+"/items/1", `{"quantity":2,"marking":{"type":1,"text":"To Ada"},"attributes":{"colour":"white"}}`), 200, "")
	if a.field("result.items.0.qty") != "2" || a.field("result.items.0.marking.text") != "To Ada" || a.field("result.items.0.attributes.colour") != "white" {
		t.Errorf("line is %s", a.field("result.items.0"))
	}
	if a = s.want(s.request("PATCH", cart+"/items/1", `{"marking":null}`), 200, ""); a.field("result.items.0.marking") != "" {
		t.Errorf("marking is %s, want none", a.field("result.items.0.marking"))
	}
	s.want(s.request("PATCH", cart+"/items/1", `{}`), 422, "validation_failed")
	s.want(s.request("PATCH", cart+"/items/2", `{"quantity":1}`), 404, "item_not_found")
	s.want(s.request("PATCH", cart+"/items/x", `{"quantity":1}`), 404, "item_not_found")
	s.want(s.request("PATCH", cart+"/items/01", `{"quantity":1}`), 404, "item_not_found")
	if a = s.want(s.request("PATCH", cart+"/items/1", `{"quantity":0}`), 200, ""); a.field("result.items") != "[]" {
		t.Errorf("items are %s, want none", a.field("result.items"))
	}
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	if a = s.want(s.request("DELETE", cart+"/items/2", ""), 200, ""); a.field("result.items") != "[]" {
		t.Errorf("items are %s, want none", a.field("result.items"))
	}
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("DELETE", cart+"/items", ""), 200, "")
}

func TestBatchChangeOfALineIsAllOrNothing(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	a := s.want(s.request("PATCH", cart+"/items/1", `{"quantity":-1,"attributes":{"colour":"white"}}`), 422, "validation_failed")
	if len(a.field("mutations")) == 0 {
		t.Errorf("no mutations in %s", a.body)
	}
	if a := s.request("GET", cart, ""); a.field("items.0.attributes") != "{}" || a.field("version") != "2" {
		t.Errorf("half of the change is there: %s", a.body)
	}
}

func TestItemsOfOneRequestHaveTheirOwnOutcomes(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	a := s.want(s.request("POST", cart+"/items", `{"items":[{"sku":"85123A","quantity":1},{"sku":"no such","quantity":1},{"sku":"85123A","quantity":0},{"sku":"85123A","quantity":2}]}`), 200, "")
	for i, want := range []string{"", "unknown_sku", "validation_failed", ""} {
		if got := a.field(fmt.Sprintf("mutations.%d.error.code", i)); got != want {
			t.Errorf("outcome %d: code %q, want %q", i, got, want)
		}
	}
	if a.field("result.items.0.qty") != "3" || a.field("result.version") != "3" {
		t.Errorf("result %s", a.field("result"))
	}
	a = s.want(s.request("POST", cart+"/items", `{"items":[{"sku":"no such","quantity":1},{"sku":"","quantity":1},{"sku":"85123A"}]}`), 422, "unknown_sku")
	for i, want := range []string{"items[0].sku", "items[1].sku", "items[2].quantity"} {
		if got := a.field(fmt.Sprintf("errors.%d.field", i)); got != want {
			t.Errorf("error %d is about %q, want %q", i, got, want)
		}
	}
	if a.field("mutations.2.error.statusCode") != "422" {
		t.Errorf("mutations are %s", a.field("mutations"))
	}
	if got := s.events(cart); got != "3" {
		t.Errorf("%s events, want 3: nothing of the refused request", got)
	}
}

func TestReplacingItemsIsOneStep(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("PUT", cart+"/items", `{"items":[{"sku":"no such","quantity":1}]}`), 422, "unknown_sku")
	a := s.want(s.request("PUT", cart+"/items", `{"items":[{"sku":"85123A","quantity":0}]}`), 422, "validation_failed")
	if got := a.field("errors.0.field"); got != "items[0].quantity" {
		t.Errorf("error is about %q, want items[0].quantity", got)
	}
	if a := s.request("GET", cart, ""); a.field("items.0.qty") != "6" {
		t.Errorf("a refused replacement has cleared the cart: %s", a.body)
	}
	a = s.want(s.request("PUT", cart+"/items", `{"items":[{"sku":"no such","quantity":1},{"sku":"85123A","quantity":2}]}`), 200, "")
	if a.field("result.items.0.qty") != "2" || a.field("result.items.0.id") != "2" || a.field("mutations.0.type") != "ClearCart" || a.field("mutations.1.error.code") != "unknown_sku" {
		t.Errorf("answer %s", a.body)
	}
	if a = s.want(s.request("PUT", cart+"/items", `{"items":[]}`), 200, ""); a.field("result.items") != "[]" {
		t.Errorf("items are %s, want none", a.field("result.items"))
	}
	s.want(s.request("PUT", cart+"/items", `{}`), 422, "validation_failed")
}

func TestDeliveriesFollowTheirLines(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	a := s.want(s.request("POST", cart+"/deliveries", `{"provider":"postnord","items":[1],"pickupPoint":{"id":"p-9","name":"Kiosk","city":null,"country":"gb"}}`), 200, "")
	if a.field("result.deliveries.0.price") != `{"exVat":392,"incVat":490,"vat":{"25":98}}` || a.field("result.deliveries.0.pickupPoint.country") != "GB" {
		t.Errorf("delivery %s", a.field("result.deliveries.0"))
	}
	if got := a.field("result.totalPrice.incVat"); got != "2020" {
		t.Errorf("total %s, want 2020", got)
	}
	if a = s.want(s.request("PUT", cart+"/deliveries/1/pickup-point", `{"id":"p-1"}`), 200, ""); a.field("result.deliveries.0.pickupPoint.id") != "p-1" {
		t.Errorf("delivery %s", a.field("result.deliveries.0"))
	}
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"pigeon","items":[1]}`), 422, "unknown_provider")
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"postnord","items":[]}`), 422, "validation_failed")
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"postnord","items":[9]}`), 422, "validation_failed")
	s.want(s.request("PUT", cart+"/deliveries/7/pickup-point", `{"id":"p-1"}`), 404, "delivery_not_found")
	s.want(s.request("DELETE", cart+"/deliveries/7", ""), 404, "delivery_not_found")
	if a = s.want(s.request("DELETE", cart+"/deliveries/1", ""), 200, ""); a.field("result.deliveries") != "[]" {
		t.Errorf("deliveries %s, want none", a.field("result.deliveries"))
	}
}

func TestCheckoutFreezesAndTheOrderEndsIt(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-1"}`), 409, "cart_empty")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-1","expectedTotal":1}`), 409, "expected_total_changed")
	s.want(s.request("DELETE", cart+"/checkout", ""), 409, "not_in_checkout")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o-1","status":"paid"}`, asBackend...), 409, "not_in_checkout")
	a := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-1","paymentProvider":"klarna","expectedTotal":1530}`), 200, "")
	if a.field("result.status") != "checkout" || a.field("result.paymentInProgress") != "true" {
		t.Errorf("cart %s", a.field("result"))
	}
	if a := s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-1"}`), 200, ""); a.field("result.version") != "3" {
		t.Errorf("repeating the checkout stored an event: version %s, want 3", a.field("result.version"))
	}
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-2"}`), 409, "cart_frozen")
	s.want(s.request("POST", cart+"/items", addLantern), 409, "cart_frozen")
	s.want(s.request("DELETE", cart+"/checkout", ""), 200, "")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o-2"}`), 200, "")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o-2","status":"paid"}`), 401, "unauthorized")
	a = s.want(s.request("POST", cart+"/order", `{"orderId":"o-2","status":"paid"}`, asBackend...), 200, "")
	if a.field("result.status") != "ordered" || a.field("result.paymentStatus") != "paid" || a.field("result.orderReference") != "o-2" {
		t.Errorf("cart %s", a.field("result"))
	}
	s.want(s.request("POST", cart+"/order", `{"orderId":"o-2","status":"paid"}`, asBackend...), 200, "")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o-3","status":"paid"}`, asBackend...), 409, "cart_ordered")
	s.want(s.request("POST", cart+"/items", addLantern), 409, "cart_ordered")
	s.want(s.request("GET", cart, ""), 200, "")
}

func TestBackendMutationsAreAllOrNothing(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	add := `{"type":"AddItem","payload":{"sku":"X","quantity":2,"price":108,"tax":1900,"priceExVat":true,"name":"A"}}`
	a := s.want(s.request("POST", cart+"/mutations", `{"mutations":[`+add+`,{"type":"ChangeQuantity","payload":{"id":1,"quantity":3}}]}`, asBackend...), 200, "")
	if got := a.field("result.totalPrice"); got != `{"exVat":324,"incVat":386,"vat":{"19":62}}` {
		t.Errorf("total %s: 3 x 1.08 at 19 %% is 3.86", got)
	}
	a = s.want(s.request("POST", cart+"/mutations", `{"mutations":[`+add+`,{"type":"RemoveItem","payload":{"id":99}}]}`, asBackend...), 404, "item_not_found")
	if a.field("mutations.0.error.code") != "not_applied" || a.field("mutations.1.error.code") != "item_not_found" {
		t.Errorf("mutations %s", a.field("mutations"))
	}
	if got := s.events(cart); got != "3" {
		t.Errorf("%s events, want 3", got)
	}
	for body, code := range map[string]string{
		`{"mutations":[]}`: "validation_failed",
		`{"mutations":[{"type":"AddRequest","payload":{"sku":"X"}}]}`:                      "validation_failed",
		`{"mutations":[{"type":"Nothing"}]}`:                                               "validation_failed",
		`{"mutations":[{"type":"AddItem","payload":{"sku":"X","color":"red"}}]}`:           "invalid_request",
		`{"mutations":[{"type":"AddItem","payload":[]}]}`:                                  "invalid_request",
		`{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":1.5}}]}`:          "invalid_request",
		`{"mutations":[{"type":"AddItem","payload":{"sku":"X","quantity":1,"price":-1}}]}`: "validation_failed",
	} {
		if a := s.request("POST", cart+"/mutations", body, asBackend...); a.field("code") != code {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.body, code)
		}
	}
}

func TestBackendRoutesNeedTheToken(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	for _, auth := range []string{"", "Bearer wrong", "Basic " + token, token} {
		a := s.want(s.request("POST", cart+"/mutations", `{}`, "Authorization", auth), 401, "unauthorized")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Error("no WWW-Authenticate")
		}
	}
	s.want(s.request("POST", cart+"/mutations", `{}`, "Authorization", "Bearer another"), 422, "validation_failed")
	s.want(s.request("POST", "/v1/carts", `{"id":"mine"}`), 401, "unauthorized")
	s.want(s.request("POST", "/v1/carts", `{"id":"mine"}`, asBackend...), 201, "")
	s.want(s.request("POST", "/v1/carts", `{"id":"mine"}`, asBackend...), 409, "cart_exists")
	s.want(s.request("POST", "/v1/carts", `{"id":"../mine"}`, asBackend...), 422, "validation_failed")

	closed := openShop(t, func(o *api.Options) { o.BackendTokens = nil })
	cart = closed.newCart()
	for _, method := range []string{"POST", "GET", "OPTIONS"} {
		closed.want(closed.request(method, cart+"/mutations", `{}`, asBackend...), 404, "not_found")
		closed.want(closed.request(method, cart+"/order", `{}`, asBackend...), 404, "not_found")
	}
}

func TestRepeatWithTheSameKeyIsAppliedOnce(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a := s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"); a.status != 200 {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if got := s.events(cart); got != "2" {
		t.Errorf("%s events, want the creation and one add", got)
	}
	a := s.want(s.request("POST", cart+"/items/", addLantern, "Idempotency-Key", "k"), 200, "")
	if a.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the repeat is not marked")
	}
	s.want(s.request("POST", cart+"/items", `{"sku":"85123A","quantity":7}`, "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	s.want(s.request("PUT", cart+"/items", addLantern, "Idempotency-Key", "k"), 400, "invalid_request")
	for _, key := range []string{"", "a b", "ä", strings.Repeat("x", 256)} {
		s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", key), 400, "invalid_request")
	}
}

// What is wrong with the cart is told before what is wrong with the product: the catalogue is no concern of a cart that
// is gone.
func TestStateOfTheCartIsToldBeforeTheProduct(t *testing.T) {
	s := openShop(t, nil)
	unknown := `{"sku":"no such","quantity":1}`
	s.want(s.request("POST", "/v1/carts/nobody/items", unknown), 404, "cart_not_found")
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", unknown), 422, "unknown_sku")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", cart+"/items", unknown), 409, "cart_frozen")
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"pigeon","items":[1]}`), 409, "cart_frozen")
	s.want(s.request("POST", cart+"/order", `{"orderId":"o"}`, asBackend...), 200, "")
	s.want(s.request("POST", cart+"/items", unknown), 409, "cart_ordered")
	gone := s.newCart()
	s.want(s.request("DELETE", gone, ""), 204, "")
	s.want(s.request("POST", gone+"/items", unknown), 410, "cart_deleted")
	s.catalog.fail(catalog.ErrUnavailable)
	s.want(s.request("POST", gone+"/items", unknown), 410, "cart_deleted")
}

func TestCountryOfTheCartFindsPriceAndDelivery(t *testing.T) {
	asked := &askedCountries{}
	s := openShop(t, func(o *api.Options) {
		asked.Catalog = o.Catalog
		o.Catalog, o.Deliveries = asked, asked
	})
	cart := s.want(s.request("POST", "/v1/carts", `{"country":"no"}`), 201, "").header.Get("Location")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/items", `{"items":[{"sku":"85123A","quantity":1,"country":"se"},{"sku":"85123A","quantity":1}],"country":"dk"}`), 200, "")
	a := s.want(s.request("POST", cart+"/deliveries", `{"provider":"p","items":[1]}`), 200, "")
	s.want(s.request("POST", cart+"/deliveries", `{"provider":"p","items":[1],"address":{"country":"fi"}}`), 200, "")
	slices.Sort(asked.seen)
	if got, want := strings.Join(asked.seen, " "), "DK FI NO NO SE"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	if got := a.field("mutations.0.mutation.country"); got != "NO" {
		t.Errorf("the delivery goes to %q, want NO", got)
	}
}

// countedCarts counts what carts are asked.
type countedCarts struct {
	api.Asker
	asked atomic.Int32
}

func (c *countedCarts) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	c.asked.Add(1)
	return c.Asker.Ask(ctx, kind, id, msg)
}

func TestCartIsAskedForItsCountryOnceHoweverManyItems(t *testing.T) {
	carts := &countedCarts{}
	s := openShop(t, func(o *api.Options) {
		carts.Asker, o.Carts = o.Carts, carts
		o.Catalog = &askedCountries{Catalog: o.Catalog}
	})
	cart := s.newCart()
	before := carts.asked.Load()
	s.want(s.request("POST", cart+"/items", `{"items":[`+strings.Repeat(`{"sku":"85123A","quantity":1},`, 99)+`{"sku":"85123A","quantity":1}]}`), 200, "")
	if got := carts.asked.Load() - before; got != 2 {
		t.Errorf("the cart was asked %d times, want 2: for its country, and to take the items", got)
	}
}

// askedCountries notes which countries it was asked for.
type askedCountries struct {
	api.Catalog
	mu   sync.Mutex // guards seen
	seen []string
}

func (c *askedCountries) note(country string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, country)
}

func (c *askedCountries) ByCountry() bool { return true }

func (c *askedCountries) Product(ctx context.Context, sku, country string) (catalog.Product, error) {
	c.note(country)
	return c.Catalog.Product(ctx, sku, country)
}

func (c *askedCountries) Delivery(_ context.Context, provider, country string) (catalog.Delivery, error) {
	c.note(country)
	return catalog.Delivery{Provider: provider, Price: 100}, nil
}

func TestRepeatNeedsNoCatalogue(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, "")
	for _, err := range []error{catalog.ErrUnavailable, catalog.ErrUnknownSKU} {
		s.catalog.fail(err)
		a := s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, "")
		if a.header.Get("Idempotent-Replayed") != "true" || a.field("result.items.0.qty") != "6" {
			t.Errorf("with %v: %s", err, a.body)
		}
	}
	s.catalog.fail(catalog.ErrUnavailable)
	s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "other"), 502, "catalog_unavailable")
	s.catalog.fail(errors.New("a bug in the catalogue"))
	a := s.want(s.request("POST", cart+"/items", addLantern), 500, "internal")
	if strings.Contains(string(a.body), "bug") {
		t.Errorf("internals are shown: %s", a.body)
	}
}

// hookedCatalog asks hook before each look-up.
type hookedCatalog struct {
	api.Catalog
	hook func() error
}

func (c *hookedCatalog) Product(ctx context.Context, sku, country string) (catalog.Product, error) {
	if err := c.hook(); err != nil {
		return catalog.Product{}, err
	}
	return c.Catalog.Product(ctx, sku, country)
}

func TestRepeatThatOvertakesTheFirstRequestIsTheAnswerToBoth(t *testing.T) {
	hooked := &hookedCatalog{}
	s := openShop(t, func(o *api.Options) { hooked.Catalog, o.Catalog = o.Catalog, hooked })
	hooked.hook = func() error { return nil }
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	var lookups atomic.Int32
	hooked.hook = func() error {
		if lookups.Add(1) > 1 {
			return nil
		}
		if a := s.request("POST", cart+"/refresh", "", "Idempotency-Key", "k"); a.status != 200 {
			t.Errorf("the request that overtakes: %d %s", a.status, a.body)
		}
		return catalog.ErrUnavailable
	}
	a := s.want(s.request("POST", cart+"/refresh", "", "Idempotency-Key", "k"), 200, "")
	if a.header.Get("Idempotent-Replayed") != "true" || a.field("result.items.0.qty") != "6" {
		t.Errorf("the request that was overtaken is answered with %q", a.body)
	}
}

func TestKeyOfAnotherRequestIsRefusedAlsoForARequestThatCannotBe(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern, "Idempotency-Key", "k"), 200, "")
	for _, req := range [][2]string{
		{"/items", `{"items":[{"sku":"","quantity":1}]}`}, {"/vouchers", `{"code":""}`},
		{"/deliveries", `{"items":[1]}`}, {"/deliveries", `{"provider":"postnord"}`}, {"/deliveries", `{"provider":"nobody","items":[1]}`},
		{"/mutations", `{"mutations":[]}`},
	} {
		headers := append([]string{"Idempotency-Key", "k"}, asBackend...)
		s.want(s.request("POST", cart+req[0], req[1], headers...), 422, "idempotency_key_reused")
	}
}

func TestDeletingTwiceWithOneKeySucceedsTwice(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("DELETE", cart, "", "Idempotency-Key", "k"), 204, "")
	if a := s.want(s.request("DELETE", cart, "", "Idempotency-Key", "k"), 204, ""); a.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the repeat is not marked")
	}
}

func TestPreconditions(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern, "If-Match", `"main-1"`), 200, "")
	a := s.want(s.request("POST", cart+"/items", addLantern, "If-Match", `"main-1"`), 412, "version_conflict")
	if a.field("cart.version") != "2" || a.header.Get("ETag") != `"main-2"` {
		t.Errorf("the conflict does not carry the present cart: %s", a.body)
	}
	for tag, code := range map[string]string{`W/"main-2"`: "version_conflict", `"gift-2"`: "version_conflict", `"main-02"`: "version_conflict", `main-2`: "invalid_request", `"main-1", "main-2"`: "invalid_request"} {
		if a := s.request("POST", cart+"/items", addLantern, "If-Match", tag); a.field("code") != code {
			t.Errorf("If-Match %s: %s, want %s", tag, a.body, code)
		}
	}
	s.want(s.request("POST", cart+"/items", addLantern, "If-Match", `*`), 200, "")
	for _, tag := range []string{`"main-3"`, `W/"main-3"`, `"x", "main-3"`, `*`} {
		if a := s.want(s.request("GET", cart, "", "If-None-Match", tag), 304, ""); len(a.body) > 0 || a.header.Get("ETag") != `"main-3"` {
			t.Errorf("304 with body %s and ETag %s", a.body, a.header.Get("ETag"))
		}
	}
	s.want(s.request("GET", cart, "", "If-None-Match", `"main-2"`), 200, "")
	s.want(s.request("GET", cart, "", "If-None-Match", `main-2`), 400, "invalid_request")
}

func TestMinimalAnswer(t *testing.T) {
	s := openShop(t, nil)
	a := s.want(s.request("POST", s.newCart()+"/items", addLantern, "Prefer", `respond-async, return="minimal"; x=1`), 200, "")
	if a.field("version") != "2" || a.field("result") != "" || a.field("mutations.0.type") != "AddItem" {
		t.Errorf("answer %s", a.body)
	}
}

func TestSixtyFourConcurrentAddsSumUp(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 64 {
		wg.Go(func() {
			a := s.request("POST", cart+"/items", `{"sku":"85123A","quantity":1}`)
			mu.Lock()
			defer mu.Unlock()
			seen[a.field("result.version")] = a.status == 200
		})
	}
	wg.Wait()
	if a := s.request("GET", cart, ""); a.field("items.0.qty") != "64" {
		t.Errorf("quantity %s, want 64", a.field("items.0.qty"))
	}
	for v := 2; v <= 65; v++ {
		if !seen[fmt.Sprint(v)] {
			t.Errorf("nobody was answered with version %d", v)
		}
	}
}
