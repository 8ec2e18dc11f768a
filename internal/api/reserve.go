package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// reserveTries bounds how often the vouchers of a cart are looked at that change all the time.
const reserveTries = 4

// reserved is what vouchers keep for a checkout that has not begun.
type reserved struct {
	cart, name string
	codes      []string
}

// askReserving asks for c, whose checkout is m (nil: it has none). A cart without limited vouchers is frozen at once. One
// that has some refuses: then their vouchers are asked to keep a use each, and the cart is asked again.
func (s *server) askReserving(r *http.Request, c *change, m *messages.InitializeCheckout) (*actor.Reply, error) {
	var kept *reserved
	for try := 0; ; try++ {
		reply, err := s.askChange(r, c)
		switch {
		case err == nil && !reply.Replayed:
			return reply, nil
		case reply == nil, err != nil && reply.Refusal.Code == actor.CodeOutcomeUnknown:
			return nil, err // nobody knows whether the cart stands on what is kept
		}
		s.release(kept)
		if err == nil || m == nil || reply.Refusal.Code != grain.CodeReservation || try == reserveTries {
			return reply, err
		}
		if kept, err = s.reserve(r, c, m, try > 0); err != nil {
			return nil, err
		}
	}
}

// release gives back what is kept, in the background. If that is cut off, the vouchers ask the cart in time.
func (s *server) release(kept *reserved) {
	if kept == nil {
		return
	}
	for _, code := range kept.codes {
		s.Courier.Send(string(eventlog.KindVoucher), grain.VoucherStream(code), []actor.Errand{grain.ReleaseErrand(code, kept.cart, kept.name)})
	}
}

// reserve asks the limited vouchers of a cart to keep a use, and notes in m which do: those that take something off, or
// all of them. It returns nil if there is nothing to ask for; the cart knows why.
//
// If one has no use left, the cart is told and shows it. The checkout then goes on without the voucher only if the client has
// said what it expects to pay: else it would be more than was shown.
func (s *server) reserve(r *http.Request, c *change, m *messages.InitializeCheckout, all bool) (_ *reserved, err error) {
	m.Reservation, m.Reserved = "", nil
	cart, err := s.vouchersOf(r, c.id)
	if err != nil {
		return nil, err
	}
	if cart.Status != string(grain.StatusOpen) && (cart.Status != string(grain.StatusCheckout) || time.Now().Before(cart.CheckoutUntil)) {
		return nil, nil
	}
	deadline, _ := r.Context().Deadline()
	use := messages.UseReserved{Cart: string(c.id), Reservation: rand.Text(), UserId: cart.UserID,
		// Whatever begins before this request ends is over by then.
		Until: deadline.Add(time.Duration(m.TtlMillis) * time.Millisecond).UnixMilli()}
	kept := &reserved{cart: string(c.id), name: use.Reservation}
	defer func() {
		if err != nil {
			s.release(kept)
		}
	}()
	for _, v := range grain.LimitedVouchers(cart.Vouchers) {
		if !v.Applied && !all || v.OncePerUser && cart.UserID == "" { // the latter never applies
			continue
		}
		reason, err := s.reserveUse(r, v, use.Cart, use.Reservation, use.UserId, use.Until)
		if err != nil {
			kept.codes = append(kept.codes, v.Code) // nobody knows
			return nil, err
		}
		if reason != "" {
			if err := s.barVoucher(r, c, v.Code, reason, v.Applied && m.ExpectedTotal == nil); err != nil {
				return nil, err
			}
			continue
		}
		kept.codes = append(kept.codes, v.Code)
	}
	if len(kept.codes) > 0 {
		m.Reservation, m.Reserved = kept.name, kept.codes
	}
	return kept, nil
}

// vouchersView is what has to be known of a cart to reserve its vouchers.
type vouchersView struct {
	Status        string              `json:"status"`
	CheckoutUntil time.Time           `json:"checkoutUntil"`
	UserID        string              `json:"userId"`
	Vouchers      []grain.VoucherView `json:"vouchers"`
}

func (s *server) vouchersOf(r *http.Request, id grain.CartID) (v vouchersView, err error) {
	reply, err := s.query(r, id, &actor.Query{})
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(reply.View, &v); err != nil {
		return v, fmt.Errorf("read a cart's own view: %w", err)
	}
	return v, nil
}

// reserveUse asks a voucher to keep a use. It returns the reason if it has none left: after those carts have been asked
// whose checkouts should be over, this one maybe among them.
func (s *server) reserveUse(r *http.Request, v grain.Limited, cart, reservation, user string, until int64) (reason string, err error) {
	for try := 0; ; try++ {
		deadline, _ := r.Context().Deadline()
		reply, err := s.askVoucher(r, v.Code, &actor.Command{Minimal: true, Deadline: deadline, Steps: []actor.Step{{Mutation: &messages.UseReserved{
			Code: v.Code, Cart: cart, Reservation: reservation, UserId: user, Until: until, Limit: v.Limit, OncePerUser: v.OncePerUser}}}})
		if err != nil || reply.Refusal == nil {
			return "", err
		}
		switch reply.Refusal.Code {
		case grain.ReasonUsedUp, grain.ReasonUsedByUser:
			reason = reply.Refusal.Code
		case actor.CodeUnavailable: // it keeps too much for this cart
			err = problemOfRefusal(reply.Refusal)
		default:
			return "", problemOfRefusal(reply.Refusal)
		}
		if try > 0 {
			return reason, err
		}
		if _, asked, askErr := s.usesOf(r, cart, v.Code); askErr != nil || !asked {
			return reason, cmp.Or(askErr, err)
		}
	}
}

// askVoucher asks a voucher. Until its cart is asked, nothing has been changed that anybody could see.
func (s *server) askVoucher(r *http.Request, code string, msg any) (*actor.Reply, error) {
	ctx, end := s.traceAsk(r.Context(), string(eventlog.KindVoucher), msg)
	answer, err := s.Carts.Ask(ctx, string(eventlog.KindVoucher), grain.VoucherStream(code), msg)
	end(err)
	if err != nil {
		return nil, fmt.Errorf("ask voucher %q: %w: %w", code, errTooLate, err)
	}
	reply, ok := answer.(*actor.Reply)
	if !ok {
		return nil, fmt.Errorf("voucher %q answered with %T", code, answer)
	}
	if reply.Refusal != nil && reply.Refusal.Code == actor.CodeOutcomeUnknown {
		return nil, fmt.Errorf("ask voucher %q: %w: %w", code, errTooLate, reply.Refusal)
	}
	return reply, nil
}

// usesOf returns how many carts a voucher counts beside this one. Carts whose checkouts should be over have been asked then, if there are
// any: it may be fewer by now.
func (s *server) usesOf(r *http.Request, cart, code string) (uses int64, asked bool, err error) {
	reply, err := s.askVoucher(r, code, &actor.Query{})
	if err != nil {
		return 0, false, err
	}
	if reply.Refusal != nil {
		return 0, false, problemOfRefusal(reply.Refusal)
	}
	uses, lapsed, err := grain.Uses(reply.View, cart, time.Now())
	if err != nil || len(lapsed) == 0 {
		return uses, false, err
	}
	kind, stream := string(eventlog.KindVoucher), grain.VoucherStream(code)
	watch := s.Courier.Watch(kind, stream)
	defer watch.Close()
	s.Courier.Send(kind, stream, lapsed)
	ctx, cancel := context.WithTimeout(r.Context(), settleWait)
	defer cancel()
	_, _ = watch.Wait(ctx) // a cart that does not answer keeps what it has
	return uses, true, nil
}

// barVoucher tells the cart that a voucher has no use left for it. If the client is to be told, that is the error. A cart
// that refuses to hear of it has changed since: it is asked for the checkout again, and says what it thinks of that.
func (s *server) barVoucher(r *http.Request, c *change, code, reason string, tell bool) error {
	bar := &change{id: c.id, cmd: actor.Command{MustExist: true, Steps: []actor.Step{{Mutation: &messages.VoucherRefused{Code: code, Reason: reason}}}}}
	reply, err := s.askChange(r, bar)
	if p, ok := errors.AsType[*problem](err); ok {
		if p.Status < http.StatusInternalServerError {
			return nil
		}
		p.Mutations = nil // a step of ours, which the client has not asked for
	}
	if err != nil || !tell {
		return err
	}
	why := "has been used as often as it may be"
	if reason == grain.ReasonUsedByUser {
		why = "is for one order of each customer"
	}
	p := fault("expected_total_changed", "voucher %q %s; without it the cart's total is another", code, why)
	p.Cart, p.etag = reply.View, etag(c.cmd.Branch, reply.Version)
	return p
}
