package api

import (
	"net/http"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// startCheckout freezes the cart while its order is paid.
func (s *server) startCheckout(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		OrderID         string `json:"orderId"`
		PaymentProvider string `json:"paymentProvider"`
		ExpectedTotal   *int64 `json:"expectedTotal"`
	}
	return s.apply(w, r, &req, nil, func() (actor.Mutation, error) {
		return &messages.InitializeCheckout{OrderId: req.OrderID, PaymentProvider: req.PaymentProvider, ExpectedTotal: req.ExpectedTotal,
			TtlMillis: s.CheckoutTTL.Milliseconds()}, nil
	})
}

func (s *server) abortCheckout(w http.ResponseWriter, r *http.Request) error {
	return s.apply(w, r, nil, nil, func() (actor.Mutation, error) { return &messages.AbortCheckout{}, nil })
}

// createOrder notes that the order of the checkout has been created.
func (s *server) createOrder(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		OrderID string `json:"orderId"`
		Status  string `json:"status"`
	}
	return s.apply(w, r, &req, nil, func() (actor.Mutation, error) {
		return &messages.OrderCreated{OrderId: req.OrderID, Status: req.Status}, nil
	})
}
