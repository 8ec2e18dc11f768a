package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cartd/internal/catalog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// Vouchers looks the definitions of vouchers up.
type Vouchers interface {
	Voucher(ctx context.Context, code string) (catalog.Voucher, error)
}

// addVoucher adds a voucher as it is defined at this moment. One that does not apply is added as well: the cart says
// why, and it may yet.
func (s *server) addVoucher(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Code string `json:"code"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	return s.finishVoucher(w, r, c, req.Code)
}

func (s *server) finishVoucher(w http.ResponseWriter, r *http.Request, c *change, code string) error {
	m, err := s.voucher(r, code)
	if err != nil {
		if err := s.unlessApplied(r, c, err); err != nil {
			return err
		}
	}
	if m.UsageLimit > 0 {
		m.UsedUp = s.usedUp(r, string(c.id), m)
	}
	c.cmd.Steps = []actor.Step{{Mutation: m}}
	return s.finish(w, r, c)
}

// usedUp reports whether a voucher has no use left for a cart, as far as can be told: what counts is the checkout.
func (s *server) usedUp(r *http.Request, cart string, m *messages.AddVoucher) bool {
	uses, asked, err := s.usesOf(r, cart, m.Code)
	if err == nil && asked && uses >= m.UsageLimit {
		uses, _, err = s.usesOf(r, cart, m.Code)
	}
	return err == nil && uses >= m.UsageLimit
}

// voucher makes an AddVoucher of the voucher's definition. It returns an empty one with an error.
func (s *server) voucher(r *http.Request, code string) (*messages.AddVoucher, error) {
	if code == "" || len(code) > 64 {
		return &messages.AddVoucher{}, invalid("code", "must have 1 to 64 bytes")
	}
	v, err := s.Vouchers.Voucher(r.Context(), code)
	switch {
	case errors.Is(err, catalog.ErrUnknownVoucher):
		p := fault("unknown_voucher", "there is no voucher %q", code)
		p.Errors = []fieldError{{Field: "code", Message: p.Detail}}
		err = p
	case err != nil && r.Context().Err() != nil: // our time is over, whatever the answer would have been
		err = fmt.Errorf("%w: %w", errTooLate, err)
	}
	if err != nil {
		return &messages.AddVoucher{}, err
	}
	return &messages.AddVoucher{
		Code: v.Code, Kind: v.Kind, Value: v.Value, Description: v.Description, Currency: v.Currency, MinTotal: v.MinTotal,
		Skus: v.SKUs, ValidFrom: instant(v.ValidFrom), ValidTo: instant(v.ValidTo), OncePerUser: v.OncePerUser, UsageLimit: v.UsageLimit,
	}, nil
}

// instant writes a time as events hold it, "" for none.
func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (s *server) removeVoucher(w http.ResponseWriter, r *http.Request) error {
	return s.apply(w, r, nil, nil, func() (actor.Mutation, error) {
		id, err := partID(r, "voucher_not_found")
		return &messages.RemoveVoucher{Id: id}, err
	})
}
