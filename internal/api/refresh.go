package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"cartd/internal/catalog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// priced is a line as far as a refresh looks at it.
type priced struct {
	ID         uint32 `json:"id"`
	SKU        string `json:"sku"`
	SaleStatus string `json:"saleStatus"`
	Meta       struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	} `json:"meta"`
}

// refresh looks all products of the cart up again. Either all of them are known afterwards, or nothing is changed. What
// is added to the cart meanwhile has the catalogue's price anyway.
func (s *server) refresh(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readChange(r, nil)
	if err != nil {
		return err
	}
	reply, err := s.query(r, c.id, &actor.Query{Key: c.cmd.Key})
	if err != nil {
		return err
	}
	m := &messages.RefreshPrices{}
	if !reply.Replayed { // else the grain knows the key
		var cart struct {
			Country string   `json:"country"`
			Items   []priced `json:"items"`
		}
		if err := json.Unmarshal(reply.View, &cart); err != nil {
			return fmt.Errorf("read a cart's own view: %w", err)
		}
		if m.Lines, err = s.refreshed(r, cart.Items, cart.Country); err != nil {
			return s.refuse(w, r, c, err)
		}
	}
	c.cmd.Steps = []actor.Step{{Mutation: m}}
	return s.finish(w, r, c)
}

// refreshed returns the lines as the catalogue has them now, and not as it had them when it was asked for another cart.
// Each product is looked up once, several at a time.
func (s *server) refreshed(r *http.Request, items []priced, country string) ([]*messages.RefreshPrices_Line, error) {
	type found struct {
		product catalog.Product
		err     error
	}
	products := make(map[string]*found, len(items))
	g, ctx := errgroup.WithContext(catalog.Anew(r.Context())) // when one look-up has failed, the others are for nothing
	g.SetLimit(lookupsAtOnce)
	for i := range items {
		sku := items[i].SKU
		if products[sku] != nil {
			continue
		}
		f := &found{}
		products[sku] = f
		g.Go(func() (err error) {
			defer func() { // a panic in a goroutine of our own would end the process
				if v := recover(); v != nil {
					err = fmt.Errorf("look up %q: panic: %v", sku, v)
				}
			}()
			f.product, f.err = s.Catalog.Product(ctx, sku, country)
			if errors.Is(f.err, catalog.ErrUnknownSKU) {
				return nil
			}
			return f.err
		})
	}
	if err := g.Wait(); err != nil {
		if r.Context().Err() != nil { // our time is over, whatever the catalogue would have said
			err = fmt.Errorf("%w: %w", errTooLate, err)
		}
		return nil, err
	}
	lines := make([]*messages.RefreshPrices_Line, len(items))
	for i := range items {
		item, f := &items[i], products[items[i].SKU]
		if f.err != nil {
			lines[i] = &messages.RefreshPrices_Line{Id: item.ID, Gone: true}
			continue
		}
		p := f.product
		lines[i] = &messages.RefreshPrices_Line{
			Id: item.ID, Price: p.Price, OrgPrice: p.OrgPrice, Tax: p.Tax, PriceExVat: p.PriceExVat, Stock: p.Stock, Currency: p.Currency,
			Name: changed(item.Meta.Name, p.Name), Image: changed(item.Meta.Image, p.Image), SaleStatus: changed(item.SaleStatus, p.SaleStatus),
		}
	}
	return lines, nil
}

// changed returns what a text is now, nil if it is what it was.
func changed(was, is string) *string {
	if was == is {
		return nil
	}
	return &is
}
