package grain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"cartd/pkg/messages"
)

func TestStateCutAnywhereIsRefused(t *testing.T) {
	data := appendState(nil, &storedCart(t).cart)
	for n := range data {
		if c, err := decodeState(data[:n]); err == nil {
			t.Errorf("cut at byte %d of %d: got %s, want an error", n, len(data), AppendView(nil, c, exampleInfo()))
		}
	}
}

// unknownField is what a newer program might have added to a message.
func unknownField(m proto.Message) {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 2000, protowire.VarintType), 1))
}

func TestStateThatNoCartCanHaveIsRefused(t *testing.T) {
	empty := newBench()
	deleted := newBench()
	deleted.must(t, &messages.SetUserId{UserId: "u"}, &messages.CartDeleted{})
	open := exampleCart(t)
	second := item("B", 2, 100, 0)
	second.ParentId = new(uint32(1))
	open.must(t, second, item("C", 1, 5, 0), &messages.UpsertSubscriptionDetails{Id: new("a")}, &messages.UpsertSubscriptionDetails{Id: new("b")},
		&messages.SetDelivery{Provider: "q", Items: []uint32{2}, Price: 100, Tax: 1900, Address: &messages.Address{}})
	ordered := storedCart(t)
	whole := wholeCarts(t)
	paying, going, gone, limited, aborted := whole[1], whole[2], whole[3], whole[4], whole[5]

	type state = messages.CartState
	for _, tc := range []struct {
		name   string
		of     *bench
		change func(*state)
		want   string // part of the error
	}{
		{"no rounding", open, func(s *state) { s.Rounding = 0 }, "rounded"},
		{"rounding of the future", open, func(s *state) { s.Rounding = 9 }, "rounded"},
		{"a checkout that is none", open, func(s *state) { s.CheckoutUntil = 5 }, "checkout until"},
		{"a checkout without end", paying, func(s *state) { s.CheckoutUntil = 0 }, "checkout until"},
		{"a checkout that ended before time began", paying, func(s *state) { s.CheckoutUntil = -1 }, "checkout until"},
		{"a voucher without terms", ordered, func(s *state) { s.Vouchers[0].Terms = nil }, "terms"},
		{"a voucher of the future", ordered, func(s *state) { unknownField(s.Vouchers[0]) }, "newer program"},
		{"terms of the future", ordered, func(s *state) { unknownField(s.Vouchers[0].Terms) }, "newer program"},
		{"vouchers out of order", ordered, func(s *state) { s.Vouchers[1].Id = 1 }, "comes after 1"},
		{"a voucher id that is given", ordered, func(s *state) { s.LastVoucher = 2 }, "the last of"},
		{"a voucher twice", ordered, func(s *state) { s.Vouchers[1].Terms.Code = s.Vouchers[0].Terms.Code }, "another has its code"},
		{"a voucher that nobody makes", ordered, func(s *state) { s.Vouchers[0].Terms.Kind = "gift" }, "kind must be"},
		{"a voucher of another value", ordered, func(s *state) { s.Vouchers[0].Value++ }, "takes off"},
		{"an unknown obstacle", ordered, func(s *state) { s.Vouchers[0].Obstacle = 99 }, "obstacle 99"},
		{"a voucher that is said to apply", ordered, func(s *state) { s.Vouchers[0].Obstacle, s.Vouchers[1].Obstacle = 0, 0 }, "takes off"},
		{"a notice of nothing", ordered, func(s *state) { s.Lines[0].Notice = &messages.CartState_Notice{Was: -1} }, "notice"},
		{"a notice of a strange price", ordered, func(s *state) { s.Lines[0].Notice.Was = -2 }, "notice"},
		{"a notice of the future", ordered, func(s *state) { unknownField(s.Lines[0].Notice) }, "newer program"},
		{"a merge of a cart that is paid", paying, func(s *state) { s.Merge = &messages.CartState_Merge{Into: "C9", Started: 1} }, "being merged"},
		{"a merge into nothing", going, func(s *state) { s.Merge.Into = "" }, "being merged"},
		{"a merge that never began", going, func(s *state) { s.Merge.Started = 0 }, "being merged"},
		{"a merge of the future", going, func(s *state) { unknownField(s.Merge) }, "newer program"},
		{"a cart that was merged and is open", going, func(s *state) { s.MergedInto = "C9" }, "was merged"},
		{"a cart that was merged into no cart", gone, func(s *state) { s.MergedInto = "/" }, "was merged"},
		{"a cart taken over twice", going, func(s *state) { s.TakenOver = []string{"C7", "C7"} }, "taken over"},
		{"no cart taken over", going, func(s *state) { s.TakenOver = []string{""} }, "taken over"},
		{"too many taken over", going, func(s *state) {
			for i := range maxTakenOver {
				s.TakenOver = append(s.TakenOver, fmt.Sprint("D", i))
			}
		}, "taken over 1001"},
		{"a reservation of an open cart", open, func(s *state) { s.Reservation = "r" }, "has reservation"},
		{"a reservation without a name", limited, func(s *state) { s.Reservation = "" }, "is reserved by"},
		{"a reservation that cannot be seen", limited, func(s *state) { s.Reservation = "\n" }, "reservation"},
		{"a reserved voucher that has no limit", limited, func(s *state) { s.Vouchers[0].Reserved = true }, "is reserved by"},
		{"a reserved voucher that takes nothing off", limited, func(s *state) { s.Vouchers[3].Reserved = true }, "is reserved by"},
		{"a barred voucher that applies", limited, func(s *state) { s.Vouchers[2].Barred = uint32(usedUp) }, "barred"},
		{"a barred voucher of another reason", aborted, func(s *state) { s.Vouchers[2].Barred = uint32(usedByUser) }, "barred"},
		{"a used voucher that is not barred", aborted, func(s *state) { s.Vouchers[2].Barred = 0 }, "barred"},
		{"a settlement of nothing", aborted, func(s *state) { s.Settlements[0].Code = "" }, "code"},
		{"a settlement without a name", aborted, func(s *state) { s.Settlements[0].Reservation = "" }, "reservation"},
		{"a settlement of the future", aborted, func(s *state) { unknownField(s.Settlements[0]) }, "newer program"},
		{"too many settlements", aborted, func(s *state) {
			for range maxSettlements + 2*maxVouchers {
				s.Settlements = append(s.Settlements, s.Settlements[0])
			}
		}, "settlements"},
		{"unknown status", open, func(s *state) { s.Status = "lost" }, `unknown status "lost"`},
		{"no status", open, func(s *state) { s.Status = "" }, "something in it"},
		{"deleted with lines", open, func(s *state) { s.Status = "deleted" }, "something in it"},
		{"nothing with an id", empty, func(s *state) { s.LastLine = 1 }, "something in it"},
		{"nothing with a user", empty, func(s *state) { s.UserId = "u" }, "something in it"},
		{"deleted with a currency", deleted, func(s *state) { s.Currency = "GBP" }, "something in it"},
		{"open with an order", open, func(s *state) { s.OrderId = "o" }, "order"},
		{"open with a payment", open, func(s *state) { s.PaymentStatus = "paid" }, "payment"},
		{"checkout without an order", open, func(s *state) { s.Status = "checkout" }, "orderId"},
		{"ordered without lines", ordered, func(s *state) { s.Lines, s.Deliveries, s.TotalExVat, s.TotalIncVat = nil, nil, 0, 0 }, "without lines"},
		{"payment status too long", ordered, func(s *state) { s.PaymentStatus = strings.Repeat("x", 65) }, "paymentStatus"},
		{"user that cannot be seen", open, func(s *state) { s.UserId = "\n" }, "userId"},
		{"currency", open, func(s *state) { s.Currency = "gbp" }, "currency"},
		{"country in lower case", open, func(s *state) { s.Country = "gb" }, "country"},
		{"total", open, func(s *state) { s.TotalIncVat++ }, "adds up"},
		{"total without VAT", open, func(s *state) { s.TotalExVat-- }, "adds up"},
		{"a line is missing", open, func(s *state) { s.Lines = s.Lines[:2] }, "takes off"},
		{"last line too low", open, func(s *state) { s.LastLine-- }, "last"},
		{"last delivery too low", open, func(s *state) { s.LastDelivery-- }, "last"},

		{"line 0", open, func(s *state) { s.Lines[0].Id = 0 }, "line 0: comes after"},
		{"lines out of order", open, func(s *state) { s.Lines[1], s.Lines[2] = s.Lines[2], s.Lines[1] }, "line 2: comes after line 3"},
		{"line twice", open, func(s *state) { s.Lines[1].Id = 1 }, "line 1: comes after line 1"},
		{"line without item", open, func(s *state) { s.Lines[0].Item = nil }, "no item"},
		{"line without sku", open, func(s *state) { s.Lines[0].Item.Sku = "" }, "sku"},
		{"name too long", open, func(s *state) { s.Lines[0].Item.Name = strings.Repeat("x", 513) }, "name"},
		{"quantity 0", open, func(s *state) { s.Lines[0].Item.Quantity = 0 }, "quantity 0"},
		{"quantity below 0", open, func(s *state) { s.Lines[0].Item.Quantity = -1 }, "quantity -1"},
		{"price below 0", open, func(s *state) { s.Lines[0].Item.Price = -1 }, "price"},
		{"price above all", open, func(s *state) { s.Lines[0].Item.Price = maxPrice + 1 }, "price"},
		{"tax above all", open, func(s *state) { s.Lines[0].Item.Tax = fullRate + 1 }, "tax"},
		{"tax that wraps", open, func(s *state) { s.Lines[0].Item.Tax = 1<<32 + 2500 }, "tax"},
		{"line above all", open, func(s *state) { s.Lines[0].Item.Quantity = maxMoney }, "exceed"},
		{"cart above all", open, func(s *state) {
			s.Lines[1].Item.Price, s.Lines[1].Item.Quantity = 1, maxMoney
		}, "line 2: validation_failed: The cart's total would exceed"},
		{"cart above all with its deliveries", open, func(s *state) {
			s.Lines[1].Item.Price, s.Lines[1].Item.Quantity = 1, maxMoney-1530-5
		}, "delivery 1: validation_failed: The cart's total would exceed"},
		{"parent that is missing", open, func(s *state) { s.Lines[1].Item.ParentId = new(uint32(9)) }, "parent 9"},
		{"parent 0", open, func(s *state) { s.Lines[1].Item.ParentId = new(uint32) }, "parent 0"},
		{"own parent", open, func(s *state) { s.Lines[1].Item.ParentId = new(uint32(2)) }, "parent 2"},
		{"parent that comes later", open, func(s *state) { s.Lines[1].Item.ParentId = new(uint32(3)) }, "parent 3"},
		{"attributes that are no JSON", open, func(s *state) { s.Lines[0].Attributes = `{"a":` }, "attributes"},
		{"attributes that are no object", open, func(s *state) { s.Lines[0].Attributes = `null` }, "attributes"},
		{"attributes that are not texts", open, func(s *state) { s.Lines[0].Attributes = `{"a":1}` }, "attributes"},
		{"attributes of nothing", open, func(s *state) { s.Lines[0].Attributes = `{}` }, "attributes"},
		{"attributes with more behind", open, func(s *state) { s.Lines[0].Attributes = `{"a":"b"},"x":1` }, "attributes"},
		{"attributes out of order", open, func(s *state) { s.Lines[0].Attributes = `{"b":"","a":""}` }, "attributes"},
		{"attribute without a name", open, func(s *state) { s.Lines[0].Attributes = `{"":"a"}` }, "attributes"},
		{"attributes with space", open, func(s *state) { s.Lines[0].Attributes = `{"a": "b"}` }, "attributes"},
		{"attributes with a needless escape", open, func(s *state) { s.Lines[0].Attributes = `{"a":"\u0062"}` }, "attributes"},
		{"attributes with a line separator", open, func(s *state) { s.Lines[0].Attributes = "{\"a\":\"\u2028\"}" }, "attributes"},
		{"attributes that end in an escape", open, func(s *state) { s.Lines[0].Attributes = `{"a":"\` }, "attributes"},
		{"attribute too long", open, func(s *state) { s.Lines[0].Attributes = `{"a":"` + strings.Repeat("x", 257) + `"}` }, "attributes"},
		{"more attributes than may be", open, func(s *state) {
			s.Lines[0].Attributes = `{"00":""`
			for i := range maxAttributes {
				s.Lines[0].Attributes += fmt.Sprintf(`,"%02d":""`, i+1)
			}
			s.Lines[0].Attributes += "}"
		}, "attributes"},
		{"attribute twice", open, func(s *state) { s.Lines[0].Attributes = `{"a":"","a":""}` }, "attributes"},
		{"marking", open, func(s *state) { s.Lines[0].Marking.Marking = "\x00" }, "marking"},

		{"delivery 0", open, func(s *state) { s.Deliveries[0].Id = 0 }, "delivery 0: comes after"},
		{"deliveries out of order", open, func(s *state) { slices.Reverse(s.Deliveries) }, "delivery 1: comes after delivery 2"},
		{"delivery without lines", open, func(s *state) { s.Deliveries[0].Lines = nil }, "at least one line"},
		{"delivery of a line that is missing", open, func(s *state) { s.Deliveries[0].Lines = []uint32{9} }, "no line 9"},
		{"delivery of a line twice", open, func(s *state) { s.Deliveries[0].Lines = []uint32{1, 1} }, "named twice"},
		{"line in two deliveries", open, func(s *state) { s.Deliveries[1].Lines = []uint32{1} }, "line 1 is in delivery 1 already"},
		{"delivery without provider", open, func(s *state) { s.Deliveries[0].Provider = "" }, "provider"},
		{"VAT of a delivery", open, func(s *state) { s.Deliveries[0].PriceExVat++; s.TotalExVat++ }, "price"},
		{"delivery below 0", open, func(s *state) { s.Deliveries[0].PriceExVat, s.Deliveries[0].PriceIncVat = -4, -5 }, "price"},
		{"delivery above all", open, func(s *state) { s.Deliveries[0].PriceExVat, s.Deliveries[0].PriceIncVat = 4<<50, 5<<50 }, "price"},
		{"rate of a delivery that wraps", open, func(s *state) { s.Deliveries[0].Tax += 1 << 32 }, "rate"},
		{"address", open, func(s *state) { s.Deliveries[1].Address.Country = new("SWE") }, "address.country"},
		{"pickup point that is none", open, func(s *state) { s.Deliveries[0].PickupPoint = &messages.PickupPoint{} }, "pickup point"},

		{"subscription without id", open, func(s *state) { s.Subscriptions[0].Id = nil }, `"" comes after`},
		{"subscriptions out of order", open, func(s *state) { slices.Reverse(s.Subscriptions) }, `"a" comes after "b"`},
		{"subscription twice", open, func(s *state) { s.Subscriptions[1].Id = new("a") }, `"a" comes after "a"`},
		{"subscription's data", open, func(s *state) { s.Subscriptions[0].Data = "{" }, "data"},
		{"more subscriptions than may be", open, func(s *state) {
			s.Subscriptions = nil
			for i := range maxSubscriptions + 1 {
				s.Subscriptions = append(s.Subscriptions, &messages.UpsertSubscriptionDetails{Id: new(fmt.Sprintf("%03d", i))})
			}
		}, "at most 64"},

		{"new field", open, func(s *state) { unknownField(s) }, "CartState has a field"},
		{"new field of a line", open, func(s *state) { unknownField(s.Lines[0]) }, "Line has a field"},
		{"new field of an item", open, func(s *state) { unknownField(s.Lines[0].Item) }, "AddItem has a field"},
		{"new field of a marking", open, func(s *state) { unknownField(s.Lines[0].Marking) }, "LineItemMarking has a field"},
		{"new field of a delivery", open, func(s *state) { unknownField(s.Deliveries[0]) }, "Delivery has a field"},
		{"new field of an address", open, func(s *state) { unknownField(s.Deliveries[1].Address) }, "Address has a field"},
		{"new field of a pickup point", open, func(s *state) { unknownField(s.Deliveries[0].PickupPoint) }, "PickupPoint has a field"},
		{"new field of a subscription", open, func(s *state) { unknownField(s.Subscriptions[0]) }, "UpsertSubscriptionDetails has a field"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s state
			if err := proto.Unmarshal(appendState(nil, &tc.of.cart), &s); err != nil {
				t.Fatal(err)
			}
			tc.change(&s)
			data, err := proto.Marshal(&s)
			if err != nil {
				t.Fatal(err)
			}
			c, err := decodeState(data)
			if c != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v; want an error with %q", c, err, tc.want)
			}
		})
	}
	for _, b := range []*bench{empty, deleted, open, ordered} { // unchanged, each is taken
		same(t, b, restored(t, b))
	}
}

// What is checked without being made has to be the same as what is made.
func TestAttributesAreTakenAsTheyAreWritten(t *testing.T) {
	long := rapid.Custom(func(t *rapid.T) string { return rapid.StringN(0, 64, maxTextBytes).Draw(t, "text") })
	rapid.Check(t, func(t *rapid.T) {
		attributes := rapid.MapOfN(rapid.OneOf(rapid.StringN(0, 8, maxKeyBytes), texts), rapid.OneOf(long, texts), 0, 40).Draw(t, "attributes")
		s, err := canonical(attributes)
		if err != nil {
			t.Skip(err)
		}
		if err := checkAttributes(s); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// FuzzCheckAttributes: what is taken is what canonical makes of it.
func FuzzCheckAttributes(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":"b"}`, `{"a":"b","c":"\n\u2028"}`, `{"b":"","a":""}`, `{"a":"\u0061"}`, `{"a":"b"},"x":1`, "{\"a\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var attributes map[string]string
		again, err := "", json.Unmarshal([]byte(s), &attributes)
		if err == nil {
			again, err = canonical(attributes)
		}
		want := s == "" || err == nil && again == s
		if err := checkAttributes(s); (err == nil) != want {
			t.Errorf("%q: got %v; canonical makes %q of it", s, err, again)
		}
	})
}

// FuzzDecodeState reads its input as a state: what is taken is a whole cart, comes back from its own state, and takes
// mutations as any other.
func FuzzDecodeState(f *testing.F) {
	for _, b := range []*bench{newBench(), exampleCart(f), storedCart(f), cartOf(f, 20)} {
		data := appendState(nil, &b.cart)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeState(data)
		if err != nil {
			if c != nil {
				t.Fatalf("got a cart and %v", err)
			}
			return
		}
		b := newBench()
		b.cart = *c
		same(t, b, restored(t, b))
		decodeView(t, []byte(b.view()))
		for _, m := range everyMutation() {
			_ = b.apply(m)
			if err := checkCart(&b.cart); err != nil {
				t.Fatalf("after %T: %v", m, err)
			}
		}
	})
}
