package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"cartd/internal/catalog"
	"cartd/internal/resolve"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// itemsList names an entry of a list of items.
const itemsList = "items[%d]"

// maxSKUBytes bounds a SKU before it is looked up.
const maxSKUBytes = 64

// addRequest is one product that a shopper wants.
type addRequest struct {
	SKU        string            `json:"sku"`
	Quantity   *int64            `json:"quantity"`
	Country    string            `json:"country,omitempty"`
	StoreID    *string           `json:"storeId,omitempty"`
	ParentID   *uint32           `json:"parentId,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// addBody is the body of an add.
type addBody struct {
	SKU        *string           `json:"sku"`
	Quantity   *int64            `json:"quantity"`
	Country    string            `json:"country"`
	StoreID    *string           `json:"storeId"`
	ParentID   *uint32           `json:"parentId"`
	Attributes map[string]string `json:"attributes"`
	Items      *[]addRequest     `json:"items"` // instead of all but country
}

func (s *server) addItems(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readChange(r, nil)
	if err != nil {
		return err
	}
	items, country, err := c.readAdd()
	if err != nil {
		return err
	}
	if err := s.resolve(r, c, items, country); err != nil {
		return err
	}
	return s.finish(w, r, c)
}

// readAdd returns what the body of an add asks for.
func (c *change) readAdd() (items []addRequest, country string, err error) {
	if add, ok := decodePlainAdd(c.body); ok {
		c.quantity = add.quantity
		c.item[0] = addRequest{SKU: add.sku, Quantity: &c.quantity}
		return c.item[:], add.country, nil
	}
	var req addBody
	if err := c.body.decode(&req); err != nil {
		return nil, "", err
	}
	if req.Items == nil {
		one := addRequest{Quantity: req.Quantity, StoreID: req.StoreID, ParentID: req.ParentID, Attributes: req.Attributes}
		if req.SKU != nil {
			one.SKU = *req.SKU
		}
		c.item[0] = one
		return c.item[:], req.Country, nil
	}
	if req.SKU != nil || req.Quantity != nil || req.StoreID != nil || req.ParentID != nil || req.Attributes != nil {
		return nil, "", invalid("items", "give one product, or a list of them, not both")
	}
	if len(*req.Items) == 0 {
		return nil, "", invalid("items", "at least one item is needed")
	}
	c.list = itemsList
	return *req.Items, req.Country, nil
}

// replaceItems clears the cart and adds the items in one commit.
func (s *server) replaceItems(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Items   *[]addRequest `json:"items"`
		Country string        `json:"country"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	if req.Items == nil {
		return invalid("items", "is missing; an empty list removes all items")
	}
	c.list = itemsList
	if len(*req.Items) > 0 {
		if err := s.resolve(r, c, *req.Items, req.Country); err != nil {
			return err
		}
	}
	c.cmd.Steps = append([]actor.Step{{Mutation: &messages.ClearCart{}}}, c.cmd.Steps...)
	c.lead = 1
	return s.finish(w, r, c)
}

// resolve looks the items up and adds a step for each; the ones that are turned down are noted in c. It returns an
// error if none is left, or if the catalogue cannot be asked.
func (s *server) resolve(r *http.Request, c *change, items []addRequest, country string) error {
	if len(items) > s.MaxMutations {
		return s.unlessApplied(r, c, invalid("items", "at most %d items fit into one request", s.MaxMutations))
	}
	if country == "" && s.Catalog.ByCountry() && slices.ContainsFunc(items, func(item addRequest) bool { return item.Country == "" }) {
		var err error
		if country, err = s.country(r, c.id); err != nil {
			return err
		}
	}
	for i := range items {
		if items[i].Country == "" {
			items[i].Country = country
		}
	}
	var one [1]lookup
	all := one[:]
	if len(items) == 1 {
		one[0].add, one[0].err = s.product(r, &items[0])
	} else {
		all = s.products(r, items)
	}
	for i, found := range all {
		if found.err == nil {
			c.cmd.Steps = append(c.cmd.Steps, actor.Step{Mutation: found.add, Optional: true})
			continue
		}
		p := problemOf(found.err)
		if p.Status != http.StatusUnprocessableEntity {
			return s.unlessApplied(r, c, found.err)
		}
		raw, err := json.Marshal(items[i])
		if err != nil {
			return err
		}
		if c.refused == nil {
			c.refused = map[int]refusedItem{}
		}
		c.refused[i] = refusedItem{mutation: raw, problem: p}
	}
	if len(c.cmd.Steps) > 0 {
		return nil
	}
	p := *c.refused[0].problem
	p.Mutations = c.outcomes(nil, &actor.Reply{})
	p.Errors = c.fieldErrors(p.Mutations)
	return s.unlessApplied(r, c, &p)
}

// lookupsAtOnce bounds how many products of one request are looked up at a time.
const lookupsAtOnce = 8

type lookup struct {
	add *messages.AddItem
	err error
}

// products looks all items up: several at a time, for a catalogue may be a network away.
func (s *server) products(r *http.Request, items []addRequest) []lookup {
	found := make([]lookup, len(items))
	var g errgroup.Group
	g.SetLimit(lookupsAtOnce)
	for i := range items {
		g.Go(func() error {
			defer func() { // a panic in a goroutine of our own would end the process
				if v := recover(); v != nil {
					found[i].err = fmt.Errorf("look up %q: panic: %v", items[i].SKU, v)
				}
			}()
			found[i].add, found[i].err = s.product(r, &items[i])
			return nil
		})
	}
	g.Wait() //nolint:errcheck // errors are in found
	return found
}

// product makes an AddItem of what the catalogue says of a product at this moment.
func (s *server) product(r *http.Request, item *addRequest) (*messages.AddItem, error) {
	switch {
	case item.SKU == "" || len(item.SKU) > maxSKUBytes:
		return nil, invalid("sku", "must have 1 to %d bytes", maxSKUBytes)
	case item.Quantity == nil:
		return nil, invalid("quantity", "is missing")
	case !validCountry(item.Country):
		return nil, invalid("country", "must be two letters")
	}
	add, err := resolve.AddItem(r.Context(), s.Catalog, &messages.AddRequest{
		Sku: item.SKU, Quantity: *item.Quantity, Country: item.Country, StoreId: item.StoreID, ParentId: item.ParentID, Attributes: item.Attributes,
	})
	if errors.Is(err, catalog.ErrUnknownSKU) {
		unknown := fault("unknown_sku", "the catalogue has no product %q", item.SKU)
		unknown.Errors = []fieldError{{Field: "sku", Message: unknown.Detail}}
		return nil, unknown
	}
	if err != nil && r.Context().Err() != nil { // our time is over, whatever the catalogue would have said
		err = fmt.Errorf("%w: %w", errTooLate, err)
	}
	if err != nil {
		return nil, err
	}
	add.TaxRounding, add.TaxLevel = s.TaxRounding, s.TaxLevel
	return add, nil
}

// validCountry reports whether c is empty or two letters.
func validCountry(c string) bool {
	if c == "" {
		return true
	}
	letter := func(b byte) bool { b |= 0x20; return 'a' <= b && b <= 'z' }
	return len(c) == 2 && letter(c[0]) && letter(c[1])
}

func (s *server) clearItems(w http.ResponseWriter, r *http.Request) error {
	return s.apply(w, r, nil, nil, func() (actor.Mutation, error) { return &messages.ClearCart{}, nil })
}

func (s *server) removeItem(w http.ResponseWriter, r *http.Request) error {
	return s.apply(w, r, nil, nil, func() (actor.Mutation, error) {
		id, err := partID(r, "item_not_found")
		return &messages.RemoveItem{Id: id}, err
	})
}

// changeItem changes quantity, marking and attributes of a line, all or nothing.
func (s *server) changeItem(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Quantity   *int64             `json:"quantity"`
		Marking    jsontext.Value     `json:"marking"` // null takes it away
		Attributes *map[string]string `json:"attributes"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	id, err := partID(r, "item_not_found")
	if err != nil {
		return err
	}
	c.fields = map[string]string{"marking": "marking.text", "type": "marking.type"}
	add := func(m actor.Mutation) { c.cmd.Steps = append(c.cmd.Steps, actor.Step{Mutation: m}) }
	switch {
	case len(req.Marking) == 0:
	case string(req.Marking) == "null":
		add(&messages.RemoveLineItemMarking{Id: id})
	default:
		var marking struct {
			Type int32  `json:"type"`
			Text string `json:"text"`
		}
		if err := body(req.Marking).decode(&marking); err != nil {
			return err
		}
		add(&messages.LineItemMarking{Id: id, Type: marking.Type, Marking: marking.Text})
	}
	if req.Attributes != nil {
		add(&messages.LineItemAttributes{Id: id, Attributes: *req.Attributes})
	}
	if req.Quantity != nil { // last: 0 removes the line
		add(&messages.ChangeQuantity{Id: id, Quantity: *req.Quantity})
	}
	if len(c.cmd.Steps) == 0 {
		return invalid("quantity", "quantity, marking or attributes is needed")
	}
	return s.finish(w, r, c)
}
