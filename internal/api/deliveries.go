package api

import (
	"errors"
	"net/http"
	"strings"

	"cartd/internal/catalog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

type pickupPoint struct {
	ID      string  `json:"id"`
	Name    *string `json:"name"`
	Address *string `json:"address"`
	City    *string `json:"city"`
	Zip     *string `json:"zip"`
	Country *string `json:"country"`
}

func (p *pickupPoint) message() *messages.PickupPoint {
	if p == nil {
		return nil
	}
	return &messages.PickupPoint{Id: p.ID, Name: p.Name, Address: p.Address, City: p.City, Zip: p.Zip, Country: upper(p.Country)}
}

type address struct {
	Name    *string `json:"name"`
	Street  *string `json:"street"`
	City    *string `json:"city"`
	Zip     *string `json:"zip"`
	Country *string `json:"country"`
	Phone   *string `json:"phone"`
	Email   *string `json:"email"`
}

func (a *address) message() *messages.Address {
	if a == nil {
		return nil
	}
	return &messages.Address{Name: a.Name, Street: a.Street, City: a.City, Zip: a.Zip, Country: upper(a.Country), Phone: a.Phone, Email: a.Email}
}

// upper returns a country as it is kept. What is none stays as it is, to be refused.
func upper(s *string) *string {
	if s == nil || !validCountry(*s) {
		return s
	}
	u := strings.ToUpper(*s)
	return &u
}

// addDelivery makes a delivery at the price that the table of deliveries has at this moment.
func (s *server) addDelivery(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Provider    string       `json:"provider"`
		Items       []uint32     `json:"items"`
		Address     *address     `json:"address"`
		PickupPoint *pickupPoint `json:"pickupPoint"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	m := &messages.SetDelivery{Provider: req.Provider, Items: req.Items, Address: req.Address.message(), PickupPoint: req.PickupPoint.message()}
	field := "address.country"
	if m.Country = m.GetAddress().GetCountry(); m.Country == "" {
		field, m.Country = "pickupPoint.country", m.GetPickupPoint().GetCountry()
	}
	if m.Country == "" {
		if m.Country, err = s.country(r, c.id); err != nil {
			return err
		}
	}
	switch {
	case req.Provider == "" || len(req.Provider) > 64:
		return s.refuse(w, r, c, invalid("provider", "must have 1 to 64 bytes"))
	case len(req.Items) == 0:
		return s.refuse(w, r, c, invalid("items", "at least one line is needed"))
	case !validCountry(m.Country):
		return invalid(field, "must be two letters")
	}
	d, err := s.Deliveries.Delivery(r.Context(), req.Provider, m.Country)
	if err != nil {
		if errors.Is(err, catalog.ErrUnknownProvider) {
			p := fault("unknown_provider", "there is no delivery by %q", req.Provider)
			p.Errors = []fieldError{{Field: "provider", Message: p.Detail}}
			err = p
		}
		if err := s.unlessApplied(r, c, err); err != nil {
			return err
		}
	}
	m.Price, m.Tax, m.PriceExVat = d.Price, d.Tax, d.PriceExVat
	c.cmd.Steps = []actor.Step{{Mutation: m}}
	return s.finish(w, r, c)
}

func (s *server) removeDelivery(w http.ResponseWriter, r *http.Request) error {
	return s.apply(w, r, nil, nil, func() (actor.Mutation, error) {
		id, err := partID(r, "delivery_not_found")
		return &messages.RemoveDelivery{Id: id}, err
	})
}

func (s *server) setPickupPoint(w http.ResponseWriter, r *http.Request) error {
	var req pickupPoint
	fields := map[string]string{}
	for _, name := range []string{"id", "name", "address", "city", "zip", "country"} {
		fields["pickupPoint."+name] = name
	}
	return s.apply(w, r, &req, fields, func() (actor.Mutation, error) {
		id, err := partID(r, "delivery_not_found")
		return &messages.SetPickupPoint{DeliveryId: id, PickupPoint: req.message()}, err
	})
}
