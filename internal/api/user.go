package api

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// setUser binds the cart to a user. Only the shop's backend may give it to another one.
func (s *server) setUser(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		UserID string `json:"userId"`
	}
	return s.apply(w, r, &req, nil, func() (actor.Mutation, error) {
		if err := mayBind(r, req.UserID); err != nil {
			return nil, err
		}
		return &messages.SetUserId{UserId: req.UserID, Rebind: s.tokens.allow(r)}, nil
	})
}

// setSubscription sets the details of a subscription. The cart keeps them and does not look into them.
func (s *server) setSubscription(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID           *string        `json:"id"`
		OfferingCode string         `json:"offeringCode"`
		SigningType  string         `json:"signingType"`
		Data         jsontext.Value `json:"data"` // any JSON at all
	}
	return s.apply(w, r, &req, nil, func() (actor.Mutation, error) {
		if len(req.Data) > 0 {
			if err := req.Data.Compact(); err != nil {
				return nil, invalid("data", "must be a JSON document")
			}
		}
		return &messages.UpsertSubscriptionDetails{Id: req.ID, OfferingCode: req.OfferingCode, SigningType: req.SigningType, Data: string(req.Data)}, nil
	})
}
