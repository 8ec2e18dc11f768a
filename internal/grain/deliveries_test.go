package grain

import (
	"reflect"
	"strings"
	"testing"

	"cartd/pkg/messages"
)

func threeLines(t *testing.T) *bench {
	b := newBench()
	b.must(t, item("A", 1, 100, 2500), item("B", 1, 100, 600), item("C", 1, 100, 0))
	return b
}

func TestLinesMoveToTheNewDelivery(t *testing.T) {
	b := threeLines(t)
	deliver := func(lines ...uint32) *messages.SetDelivery {
		return &messages.SetDelivery{Provider: "p", Items: lines, Price: 490, Tax: 2500}
	}
	b.must(t, deliver(3, 1), deliver(2), deliver(2, 3))
	cart := decodeView(t, []byte(b.view()))
	got := map[uint32][]uint32{}
	for _, d := range cart.Deliveries {
		got[d.ID] = d.Items
	}
	if want := map[uint32][]uint32{1: {1}, 3: {2, 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("deliveries %v, want %v", got, want)
	}
	if want := int64(300 + 2*490); cart.TotalPrice.IncVat != want {
		t.Errorf("total %d, want %d", cart.TotalPrice.IncVat, want)
	}
	b.must(t, &messages.RemoveDelivery{Id: 3}, deliver(2))
	if err := checkCart(&b.cart); err != nil {
		t.Fatal(err)
	}
	b.refused(t, &messages.RemoveDelivery{Id: 3}, codeDeliveryNotFound, "")
	b.must(t, &messages.ClearCart{})
	if cart := decodeView(t, []byte(b.view())); len(cart.Deliveries) != 0 || len(cart.TotalPrice.Vat) != 0 {
		t.Errorf("cleared: %s", b.view())
	}
}

func TestDeliveriesOutOfBoundsAreRefused(t *testing.T) {
	long := strings.Repeat("x", 257)
	for _, tc := range []struct {
		field  string
		change func(*messages.SetDelivery)
	}{
		{"provider", func(m *messages.SetDelivery) { m.Provider = "" }},
		{"provider", func(m *messages.SetDelivery) { m.Provider = long }},
		{"items", func(m *messages.SetDelivery) { m.Items = nil }},
		{"items", func(m *messages.SetDelivery) { m.Items = []uint32{1, 1} }},
		{"items", func(m *messages.SetDelivery) { m.Items = []uint32{1, 4} }},
		{"items", func(m *messages.SetDelivery) { m.Items = []uint32{0} }},
		{"items", func(m *messages.SetDelivery) { m.Items = make([]uint32, 6000) }},
		{"price", func(m *messages.SetDelivery) { m.Price = -1 }},
		{"tax", func(m *messages.SetDelivery) { m.Tax = 1 << 40 }},
		{"country", func(m *messages.SetDelivery) { m.Country = "1" }},
		{"address.email", func(m *messages.SetDelivery) { m.Address = &messages.Address{Email: &long} }},
		{"address.country", func(m *messages.SetDelivery) { m.Address = &messages.Address{Country: new("??")} }},
		{"pickupPoint", func(m *messages.SetDelivery) { m.PickupPoint = &messages.PickupPoint{} }},
		{"pickupPoint.zip", func(m *messages.SetDelivery) { m.PickupPoint = &messages.PickupPoint{Id: "p", Zip: &long} }},
		{"pickupPoint.country", func(m *messages.SetDelivery) { m.PickupPoint = &messages.PickupPoint{Id: "p", Country: new("GBR")} }},
	} {
		b := threeLines(t)
		m := &messages.SetDelivery{Provider: "p", Items: []uint32{1, 2}, Price: 490, Tax: 2500}
		tc.change(m)
		b.refused(t, m, codeInvalid, tc.field)
	}
}

func TestPickupPointIsKeptAsItCame(t *testing.T) {
	b := threeLines(t)
	b.must(t, &messages.SetDelivery{Provider: "p", Items: []uint32{1}})
	point := &messages.PickupPoint{Id: "p-1", Country: new("gb")}
	b.must(t, &messages.SetPickupPoint{DeliveryId: 1, PickupPoint: point})
	if point.GetCountry() != "gb" {
		t.Error("the handler changed its mutation")
	}
	b.unchanged(t, &messages.SetPickupPoint{DeliveryId: 1, PickupPoint: &messages.PickupPoint{Id: "p-1", Country: new("GB")}})
	b.refused(t, &messages.SetPickupPoint{DeliveryId: 2, PickupPoint: point}, codeDeliveryNotFound, "")
	b.refused(t, &messages.SetPickupPoint{DeliveryId: 1}, codeInvalid, "pickupPoint")
	if want := `"pickupPoint":{"id":"p-1","name":null,"address":null,"city":null,"zip":null,"country":"GB"}`; !strings.Contains(b.view(), want) {
		t.Errorf("got %s, want %s in it", b.view(), want)
	}
}
