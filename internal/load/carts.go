package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// currency of every invoice in the data.
const currency = "GBP"

// The bodies below are part of what an Idempotency-Key stands for: a change of one, be it the order of two
// fields, needs a new version in row.key.
type (
	newCart struct {
		ID       string `json:"id"`
		Currency string `json:"currency"`
	}
	mutations struct {
		Mutations [1]mutation `json:"mutations"`
	}
	mutation struct {
		Type    string  `json:"type"`
		Payload addItem `json:"payload"`
	}
	addItem struct {
		SKU      string `json:"sku"`
		Quantity int64  `json:"quantity"`
		Price    int64  `json:"price"`
		Tax      int64  `json:"tax"` // always 0: the data's prices are without VAT and none is added
		Name     string `json:"name,omitempty"`
	}
)

// create makes the cart, or finds that it is there: from an earlier start, or because the answer to an
// earlier attempt was lost.
func (c *client) create(ctx context.Context, id string) error {
	body, err := json.Marshal(newCart{ID: id, Currency: currency})
	if err != nil {
		return fmt.Errorf("encode cart %s: %w", id, err)
	}
	r := call{method: http.MethodPost, path: "/v1/carts", body: body}
	a, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	if a.status/100 == 2 || a.status == http.StatusConflict && newStatusError(a).code == "cart_exists" {
		return nil
	}
	return unexpected(r, a)
}

// add adds an item to its cart and returns once it is durable. It reports whether it was already there,
// added under the same key before.
func (c *client) add(ctx context.Context, it item, key string) (replayed bool, err error) {
	body, err := json.Marshal(mutations{[1]mutation{{
		Type:    "AddItem",
		Payload: addItem{SKU: it.sku, Quantity: it.quantity, Price: it.price, Name: it.name},
	}}})
	if err != nil {
		return false, fmt.Errorf("encode row: %w", err)
	}
	r := call{method: http.MethodPost, path: "/v1/carts/" + it.cart + "/mutations", key: key, body: body}
	a, err := c.send(ctx, r)
	if err != nil {
		return false, err
	}
	if a.status/100 != 2 {
		return false, unexpected(r, a)
	}
	return a.replayed, nil
}

// read returns what the server's cart holds. problem says, in a few words, why there is nothing to compare
// (no such cart, or not one of ours), and is empty otherwise.
func (c *client) read(ctx context.Context, id string) (got Sums, problem string, err error) {
	r := call{method: http.MethodGet, path: "/v1/carts/" + id, answer: true}
	a, err := c.send(ctx, r)
	switch {
	case err != nil:
		return Sums{}, "", err
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		return Sums{}, newStatusError(a).Error(), nil
	case a.status/100 != 2:
		return Sums{}, "", unexpected(r, a)
	}
	var cart struct {
		ID       string `json:"id"`
		Currency string `json:"currency"`
		Items    []struct {
			Qty int64 `json:"qty"`
		} `json:"items"`
		TotalPrice *struct {
			IncVat int64 `json:"incVat"`
		} `json:"totalPrice"`
	}
	if err := json.Unmarshal(a.body, &cart); err != nil {
		return Sums{}, "", fmt.Errorf("%s %s: decode the cart: %w", r.method, r.path, err)
	}
	if cart.ID != id || cart.TotalPrice == nil {
		return Sums{}, "", fmt.Errorf("%s %s: the answer is not that cart", r.method, r.path)
	}
	got.Lines = int64(len(cart.Items))
	for _, line := range cart.Items {
		got.Units += line.Qty
	}
	got.Total = cart.TotalPrice.IncVat
	if cart.Currency != currency {
		problem = fmt.Sprintf("currency is %q, not %s", cut(cart.Currency), currency)
	}
	return got, problem, nil
}
