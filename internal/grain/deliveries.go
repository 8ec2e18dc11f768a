package grain

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

func deliveryNotFound(id uint32) error {
	return actor.Refuse(codeDeliveryNotFound, "The cart has no delivery %d.", id)
}

// setDelivery makes a new delivery for some lines and takes them out of those that they were in.
func setDelivery(c *Cart, m *messages.SetDelivery, _ actor.Meta) error {
	if err := checkWord(field{"provider", m.Provider, maxTextBytes}); err != nil {
		return err
	}
	if err := checkPrice(m.Price, m.Tax); err != nil {
		return err
	}
	if _, err := checkCountry("country", m.Country); err != nil {
		return err
	}
	address, err := checkAddress(m.Address)
	if err != nil {
		return err
	}
	var pickup *messages.PickupPoint
	if m.PickupPoint != nil {
		if pickup, err = checkPickupPoint(m.PickupPoint); err != nil {
			return err
		}
	}
	moving, err := c.linesOf(m.Items)
	if err != nil {
		return err
	}
	price, ok := c.rounding.times(quote{m.Price, int32(m.Tax), m.PriceExVat}, 1)
	if !ok || c.lastDelivery == ^uint32(0) {
		return invalid("price", "price is out of bounds.")
	}
	if err := c.fits(amount{}, price, "price"); err != nil {
		return err
	}

	c.undeliver(moving)
	c.lastDelivery++
	for _, l := range moving {
		at, _ := c.lineAt(l.id)
		c.lines[at].delivery = c.lastDelivery
	}
	c.deliveries = append(c.deliveries, delivery{
		id: c.lastDelivery, provider: m.Provider, lines: slices.Clone(m.Items),
		price: price, tax: int32(m.Tax), address: address, pickup: pickup,
	})
	c.freight.add(price, int32(m.Tax))
	return nil
}

// linesOf returns the lines with these ids, in the order of the lines.
func (c *Cart) linesOf(ids []uint32) ([]line, error) {
	if len(ids) == 0 {
		return nil, invalid("items", "A delivery needs at least one line.")
	}
	if len(ids) > len(c.lines) {
		return nil, invalid("items", "The delivery names more lines than the cart has.")
	}
	ids = slices.Sorted(slices.Values(ids))
	lines := make([]line, len(ids))
	for i, id := range ids {
		if i > 0 && ids[i-1] == id {
			return nil, invalid("items", "Line %d is named twice.", id)
		}
		at, ok := c.lineAt(id)
		if !ok {
			return nil, invalid("items", "The cart has no line %d.", id)
		}
		lines[i] = c.lines[at]
	}
	return lines, nil
}

func removeDelivery(c *Cart, m *messages.RemoveDelivery, _ actor.Meta) error {
	at, ok := c.deliveryAt(m.Id)
	if !ok {
		return deliveryNotFound(m.Id)
	}
	c.removeDelivery(at)
	return nil
}

func setPickupPoint(c *Cart, m *messages.SetPickupPoint, _ actor.Meta) error {
	if m.PickupPoint == nil {
		return invalid("pickupPoint", "pickupPoint is required.")
	}
	point, err := checkPickupPoint(m.PickupPoint)
	if err != nil {
		return err
	}
	at, ok := c.deliveryAt(m.DeliveryId)
	if !ok {
		return deliveryNotFound(m.DeliveryId)
	}
	if proto.Equal(point, c.deliveries[at].pickup) {
		return actor.NoChange
	}
	c.deliveries[at].pickup = point
	return nil
}

// checkPickupPoint returns a copy of m with its country in upper case.
func checkPickupPoint(m *messages.PickupPoint) (*messages.PickupPoint, error) {
	country, err := checkCountry("pickupPoint.country", m.GetCountry())
	if err != nil {
		return nil, err
	}
	err = checkTexts(
		field{"pickupPoint.id", m.Id, maxTextBytes}, field{"pickupPoint.name", m.GetName(), maxTextBytes},
		field{"pickupPoint.address", m.GetAddress(), maxTextBytes}, field{"pickupPoint.city", m.GetCity(), maxTextBytes},
		field{"pickupPoint.zip", m.GetZip(), maxTextBytes})
	if err != nil {
		return nil, err
	}
	if m.Id == "" && m.GetName() == "" && m.GetAddress() == "" {
		return nil, invalid("pickupPoint", "A pickup point needs an id, a name or an address.")
	}
	point := &messages.PickupPoint{Id: m.Id, Name: m.Name, Address: m.Address, City: m.City, Zip: m.Zip}
	if m.Country != nil {
		point.Country = &country
	}
	return point, nil
}

// checkAddress returns a copy of m with its country in upper case, and nil for nil.
func checkAddress(m *messages.Address) (*messages.Address, error) {
	if m == nil {
		return nil, nil
	}
	country, err := checkCountry("address.country", m.GetCountry())
	if err != nil {
		return nil, err
	}
	err = checkTexts(
		field{"address.name", m.GetName(), maxTextBytes}, field{"address.street", m.GetStreet(), maxTextBytes},
		field{"address.city", m.GetCity(), maxTextBytes}, field{"address.zip", m.GetZip(), maxTextBytes},
		field{"address.phone", m.GetPhone(), maxTextBytes}, field{"address.email", m.GetEmail(), maxTextBytes})
	if err != nil {
		return nil, err
	}
	address := &messages.Address{Name: m.Name, Street: m.Street, City: m.City, Zip: m.Zip, Phone: m.Phone, Email: m.Email}
	if m.Country != nil {
		address.Country = &country
	}
	return address, nil
}
