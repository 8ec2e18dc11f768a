package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// startCheckout freezes the cart while its order is paid.
func (s *server) startCheckout(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		OrderID         *string `json:"orderId"`
		PaymentProvider string  `json:"paymentProvider"`
		ExpectedTotal   *int64  `json:"expectedTotal"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	m := &messages.InitializeCheckout{PaymentProvider: req.PaymentProvider, ExpectedTotal: req.ExpectedTotal}
	switch {
	case req.OrderID != nil:
		m.OrderId = *req.OrderID
	case exchangeOf(r).session.cart != "":
		m.OrderId, c.orderMade = rand.Text(), true
	}
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
	c.cmd.Settles = endsCheckout(c.cmd.Steps)
	reply, err := s.askReserving(r, c, m)
	if c.orderMade {
		reply, err = s.joinCheckout(r, c, m, reply, err)
	}
	if err != nil {
		return s.withCart(r, c, err)
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

// endsCheckout reports whether all that the steps do is to end a checkout: a cart that has had as many changes as it may
// have is not frozen for ever, and what was paid is ordered.
func endsCheckout(steps []actor.Step) bool {
	for i := range steps {
		switch steps[i].Mutation.(type) {
		case *messages.OrderCreated, *messages.AbortCheckout, *messages.CheckoutExpired:
		default:
			return false
		}
	}
	return true
}

// withCart adds the present cart to the problem of a total that is not the one expected: the client wants to show it.
func (s *server) withCart(r *http.Request, c *change, err error) error {
	p, ok := errors.AsType[*problem](err)
	if !ok || p.Code != "expected_total_changed" || p.Cart != nil {
		return err
	}
	if now, err := s.ask(r, c.id, &actor.Query{}); err == nil && now.Refusal == nil {
		p.Cart, p.etag = now.View, etag(c.cmd.Branch, now.Version)
	}
	return p
}

// joinTries bounds how often a checkout is tried that others begin and end all the time.
const joinTries = 3

// joinCheckout asks for a checkout again, for the order that the cart is frozen for already, if that is why it was
// refused: a client that does not name the order means the one that there is, and a repeat changes nothing. An order is
// named anew for each freeze, since whoever takes payments goes by it, and the total may be another next time.
func (s *server) joinCheckout(r *http.Request, c *change, m *messages.InitializeCheckout, reply *actor.Reply, err error) (*actor.Reply, error) {
	for range joinTries {
		if err == nil || problemOf(err).Code != "cart_frozen" {
			break
		}
		now, queryErr := s.query(r, c.id, &actor.Query{})
		if queryErr != nil {
			return nil, queryErr
		}
		cart, viewErr := readView(now.View)
		if viewErr != nil {
			return nil, viewErr
		}
		if m.OrderId = cart.Order; cart.Status != string(grain.StatusCheckout) {
			m.OrderId = rand.Text() // it is open again
		}
		reply, err = s.askReserving(r, c, m)
	}
	return reply, err
}

// settleWait bounds how long an answer waits for what is settled anyway.
const settleWait = 2 * time.Second
