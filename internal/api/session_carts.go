package api

import (
	"net/http"
	"strings"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// The handlers of the session API whose bodies are not those of the resource API.

// setQuantity changes the quantity of a line that the body names.
func (s *server) setQuantity(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID       *uint64 `json:"id"`
		Quantity *int64  `json:"quantity"`
	}
	return s.apply(w, r, &req, nil, func() (actor.Mutation, error) {
		switch {
		case req.ID == nil:
			return nil, invalid("id", "is missing")
		case req.Quantity == nil:
			return nil, invalid("quantity", "is missing")
		case *req.ID != uint64(uint32(*req.ID)):
			return nil, fault("item_not_found", "there is no such part of the cart")
		}
		return &messages.ChangeQuantity{Id: uint32(*req.ID), Quantity: *req.Quantity}, nil
	})
}

func (s *server) setMarking(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Type    int32  `json:"type"`
		Marking string `json:"marking"`
	}
	return s.apply(w, r, &req, nil, func() (actor.Mutation, error) {
		id, err := partID(r, "item_not_found")
		return &messages.LineItemMarking{Id: id, Type: req.Type, Marking: req.Marking}, err
	})
}

func (s *server) removeMarking(w http.ResponseWriter, r *http.Request) error {
	return s.apply(w, r, nil, nil, func() (actor.Mutation, error) {
		id, err := partID(r, "item_not_found")
		return &messages.RemoveLineItemMarking{Id: id}, err
	})
}

// putVoucher adds a voucher. The country is that of a cart which is made by this.
func (s *server) putVoucher(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Code    string `json:"code"`
		Country string `json:"country"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	if !validCountry(req.Country) {
		return invalid("country", "must be two letters")
	}
	if c.created != nil {
		c.created.Country = strings.ToUpper(req.Country)
	}
	return s.finishVoucher(w, r, c, req.Code)
}
