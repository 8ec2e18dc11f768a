package api

import (
	"context"
	"net/http"
	"time"

	"cartd/internal/eventlog"
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
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	m := &messages.InitializeCheckout{OrderId: req.OrderID, PaymentProvider: req.PaymentProvider, ExpectedTotal: req.ExpectedTotal}
	s.complete(m)
	c.cmd.Steps = []actor.Step{{Mutation: m}}
	return s.finishCheckout(w, r, c, m)
}

func (s *server) abortCheckout(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readChange(r, nil)
	if err != nil {
		return err
	}
	c.cmd.Steps = []actor.Step{{Mutation: &messages.AbortCheckout{}}}
	return s.finishCheckout(w, r, c, nil)
}

// createOrder notes that the order of the checkout has been created.
func (s *server) createOrder(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		OrderID string `json:"orderId"`
		Status  string `json:"status"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	c.cmd.Steps = []actor.Step{{Mutation: &messages.OrderCreated{OrderId: req.OrderID, Status: req.Status}}}
	return s.finishCheckout(w, r, c, nil)
}

// finishCheckout is finish for a change that may begin a checkout, by m, or end one.
func (s *server) finishCheckout(w http.ResponseWriter, r *http.Request, c *change, m *messages.InitializeCheckout) error {
	watch := s.Courier.Watch(string(eventlog.KindCart), string(c.id))
	defer watch.Close()
	reply, err := s.askReserving(r, c, m)
	if err != nil {
		return err
	}
	// Vouchers are told, and the cart notes it: as a rule so soon that the answer can be of the version after that, and
	// the client's next If-Match holds.
	ctx, cancel := context.WithTimeout(r.Context(), settleWait)
	defer cancel()
	if results, err := watch.Wait(ctx); err == nil && len(results) > 0 {
		if now, err := s.ask(r, c.id, &actor.Query{Branch: c.cmd.Branch, Minimal: c.cmd.Minimal}); err == nil && now.Refusal == nil {
			now.Outcomes, now.Replayed = reply.Outcomes, reply.Replayed
			reply = now
		}
	}
	return c.answer(w, http.StatusOK, reply)
}

// settleWait bounds how long an answer waits for what is settled anyway.
const settleWait = 2 * time.Second
