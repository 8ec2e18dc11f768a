package grain

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// The cart as the HTTP contract has it. Pointers are what may be null or missing.
type (
	viewPrice struct {
		ExVat  int64            `json:"exVat"`
		IncVat int64            `json:"incVat"`
		Vat    map[string]int64 `json:"vat"`
	}
	viewItem struct {
		ID         uint32    `json:"id"`
		ItemID     uint32    `json:"itemId"`
		SKU        string    `json:"sku"`
		Qty        int64     `json:"qty"`
		Type       string    `json:"type"`
		StoreID    string    `json:"storeId"`
		ParentID   *uint32   `json:"parentId"`
		Price      viewPrice `json:"price"`
		OrgPrice   viewPrice `json:"orgPrice"`
		Discount   viewPrice `json:"discount"`
		TotalPrice viewPrice `json:"totalPrice"`
		Stock      *int64    `json:"stock"`
		Disclaimer string    `json:"disclaimer"`
		SaleStatus string    `json:"saleStatus"`
		Marking    *struct {
			Type int32  `json:"type"`
			Text string `json:"text"`
		} `json:"marking"`
		Attributes map[string]string `json:"attributes"`
		Meta       struct {
			Name       string `json:"name"`
			Brand      string `json:"brand"`
			Category   string `json:"category"`
			SellerID   string `json:"sellerId"`
			SellerName string `json:"sellerName"`
			Image      string `json:"image"`
		} `json:"meta"`
	}
	viewDelivery struct {
		ID          uint32    `json:"id"`
		Provider    string    `json:"provider"`
		Items       []uint32  `json:"items"`
		Price       viewPrice `json:"price"`
		Address     *viewText `json:"address"`
		PickupPoint *viewText `json:"pickupPoint"`
	}
	viewText    map[string]*string
	viewVoucher struct {
		ID          uint32   `json:"id"`
		Code        string   `json:"code"`
		Value       int64    `json:"value"`
		Description string   `json:"description"`
		Applied     bool     `json:"applied"`
		Reason      string   `json:"reason"`
		Rules       []string `json:"rules"`
	}
	viewCart struct {
		ID                string         `json:"id"`
		Branch            string         `json:"branch"`
		Version           uint64         `json:"version"`
		Status            string         `json:"status"`
		Currency          string         `json:"currency"`
		Country           string         `json:"country"`
		UserID            string         `json:"userId"`
		Items             []viewItem     `json:"items"`
		Deliveries        []viewDelivery `json:"deliveries"`
		Vouchers          []viewVoucher  `json:"vouchers"`
		TotalPrice        viewPrice      `json:"totalPrice"`
		TotalTax          int64          `json:"totalTax"`
		TotalDiscount     viewPrice      `json:"totalDiscount"`
		Processing        bool           `json:"processing"`
		PaymentInProgress bool           `json:"paymentInProgress"`
		OrderReference    string         `json:"orderReference"`
		PaymentStatus     string         `json:"paymentStatus"`
		CheckoutUntil     *time.Time     `json:"checkoutUntil,omitempty"`
		Warnings          []struct {
			Code    string `json:"code"`
			Item    uint32 `json:"item"`
			Message string `json:"message"`
		} `json:"warnings"`
		SubscriptionDetails map[string]map[string]json.RawMessage `json:"subscriptionDetails,omitempty"`
		CreatedAt           time.Time                             `json:"createdAt"`
		UpdatedAt           time.Time                             `json:"updatedAt"`
		ExpiresAt           string                                `json:"expiresAt,omitempty"`
		Damaged             bool                                  `json:"damaged,omitempty"`
	}
)

// decodeView decodes a view and fails unless it has exactly the documented members, in their order, and money that
// is consistent in itself.
func decodeView(t interface{ Fatalf(string, ...any) }, view []byte) viewCart {
	dec := json.NewDecoder(bytes.NewReader(view))
	dec.DisallowUnknownFields()
	var cart viewCart
	if err := dec.Decode(&cart); err != nil {
		t.Fatalf("view does not decode: %v\n%s", err, view)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("view has something after its end: %s", view)
	}
	// Encoded again it is the same text, so no member is missing, null where it may not be, or elsewhere. Members of
	// addresses are maps here and their order is not compared.
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(cart); err != nil {
		t.Fatalf("encode: %v", err)
	}
	if got, want := memberNames(t, view), memberNames(t, buf.Bytes()); !reflect.DeepEqual(got, want) {
		t.Fatalf("members of the view:\n got %v\nwant %v", got, want)
	}

	ex, inc := -cart.TotalDiscount.ExVat, -cart.TotalDiscount.IncVat
	vat := map[string]int64{}
	add := func(p viewPrice) {
		ex, inc = ex+p.ExVat, inc+p.IncVat
		for rate, v := range p.Vat {
			vat[rate] += v
		}
	}
	check := func(what string, p viewPrice) {
		sum := p.ExVat
		for _, v := range p.Vat {
			sum += v
		}
		if sum != p.IncVat || p.Vat == nil {
			t.Fatalf("%s: exVat %d and vat %v are not incVat %d", what, p.ExVat, p.Vat, p.IncVat)
		}
	}
	for _, i := range cart.Items {
		check("price", i.Price)
		check("orgPrice", i.OrgPrice)
		check("discount", i.Discount)
		check("totalPrice of an item", i.TotalPrice)
		add(i.TotalPrice)
	}
	for _, d := range cart.Deliveries {
		check("price of a delivery", d.Price)
		add(d.Price)
	}
	check("totalPrice", cart.TotalPrice)
	check("totalDiscount", cart.TotalDiscount)
	for rate, v := range cart.TotalDiscount.Vat {
		vat[rate] -= v
	}
	value := int64(0)
	for _, v := range cart.Vouchers {
		if value += v.Value; v.Rules == nil || v.Applied != (v.Reason == "") {
			t.Fatalf("voucher %+v", v)
		}
	}
	if value != cart.TotalDiscount.IncVat {
		t.Fatalf("vouchers take off %d, totalDiscount is %d", value, cart.TotalDiscount.IncVat)
	}
	if ex != cart.TotalPrice.ExVat || inc != cart.TotalPrice.IncVat || !reflect.DeepEqual(vat, cart.TotalPrice.Vat) {
		t.Fatalf("lines and deliveries sum to %d, %d, %v; totalPrice is %v", ex, inc, vat, cart.TotalPrice)
	}
	if cart.TotalTax != inc-ex {
		t.Fatalf("totalTax is %d, want %d", cart.TotalTax, inc-ex)
	}
	return cart
}

// memberNames returns the names of the outermost members and of the first item's, in order.
func memberNames(t interface{ Fatalf(string, ...any) }, object []byte) []string {
	var names []string
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	for dec.More() {
		name, _ := dec.Token()
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatalf("member %v: %v", name, err)
		}
		names = append(names, name.(string))
		var items []json.RawMessage
		if name == "items" && json.Unmarshal(value, &items) == nil && len(items) > 0 && len(items[0]) > 0 && items[0][0] == '{' {
			for _, n := range memberNames(t, items[0]) {
				names = append(names, "items."+n)
			}
		}
	}
	return names
}

// exampleCart is the cart of the HTTP contract.
func exampleCart(t testing.TB) *bench {
	b := newBench()
	b.must(t,
		&messages.CartCreated{Currency: "GBP", Country: "gb", UserId: "u-17"},
		&messages.AddItem{ItemId: 4711, Sku: "85123A", Quantity: 6, Price: 255, OrgPrice: 300, Tax: 2500, Stock: new(int64(12)),
			Name: "White hanging heart", Attributes: map[string]string{"colour": "white"}, Currency: "GBP", Country: "GB"},
		&messages.LineItemMarking{Id: 1, Type: 1, Marking: "To Ada"},
		&messages.SetDelivery{Provider: "postnord", Items: []uint32{1}, Price: 490, Tax: 2500,
			PickupPoint: &messages.PickupPoint{Id: "p-9", Name: new("Kiosk"), Address: new("1 High St"), City: new("Leeds"), Zip: new("LS1"), Country: new("gb")}},
		&messages.AddVoucher{Code: "WELCOME10", Kind: kindPercent, Value: 1000, Description: "10 % off"})
	return b
}

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, view []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, view, "", "  "); err != nil {
		t.Fatalf("%v: %s", err, view)
	}
	got.WriteByte('\n')
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("view differs from %s; got:\n%s", file, got.String())
	}
}

func exampleInfo() actor.Info {
	return actor.Info{ID: "7ZK3D4M8W5Q0X1T2B9C6VNEJ4R", Version: 4,
		Created: time.Date(2026, 11, 21, 2, 26, 22, 123_000_000, time.UTC),
		Updated: time.Date(2026, 11, 21, 3, 26, 24, 9_999_999, time.FixedZone("CET", 3600))}
}

func TestViewOfTheContractsExample(t *testing.T) {
	view := AppendView(nil, &exampleCart(t).cart, exampleInfo())
	decodeView(t, view)
	golden(t, "cart.json", view)
}

func TestViewOfAnEmptyCart(t *testing.T) {
	b := newBench()
	b.must(t, &messages.CartCreated{})
	view := AppendView(nil, &b.cart, exampleInfo())
	decodeView(t, view)
	golden(t, "empty.json", view)
}

func TestViewShowsWhatIsRare(t *testing.T) {
	b := newBench()
	b.must(t,
		&messages.AddItem{Sku: "<a href=\"\">&", Quantity: 3, Price: 100, Tax: 550, Stock: new(int64(2)), StoreId: new("s-1")},
		&messages.AddItem{Sku: "B\u2028", Quantity: 1, Price: 0, Tax: 0, ParentId: new(uint32(1)), Name: "line\nbreak"},
		&messages.SetDelivery{Provider: "courier", Items: []uint32{2}, Price: 100, Tax: 1234, PriceExVat: true,
			Address: &messages.Address{Name: new("Ada"), Country: new("se")}},
		&messages.UpsertSubscriptionDetails{Id: new("s"), OfferingCode: "o", SigningType: "bankid", Data: `{"a":"<"}`},
		&messages.AddVoucher{Code: "<5>", Kind: kindAmount, Value: 500, Currency: "JPY", MinTotal: 5000, Skus: []string{"b", "<a href=\"\">&"},
			ValidFrom: "2026-01-01T00:00:00+01:00", ValidTo: "2027-01-01T00:00:00Z", OncePerUser: true, UsageLimit: 3},
		&messages.RefreshPrices{Lines: []*messages.RefreshPrices_Line{{Id: 1, Price: 90, Tax: 550, Stock: new(int64(2))}, {Id: 2, Gone: true}}},
		&messages.InitializeCheckout{OrderId: "o-1", ExpectedTotal: new(int64(382))})
	info := exampleInfo()
	info.Damaged = true
	view := AppendView(nil, &b.cart, info)
	decodeView(t, view)
	golden(t, "rare.json", view)
}

func TestViewEscapesTextsAsJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\\b\f\n\r\t\x01\x7f", "<>&", "\u2028\u2029", "åäö €", "\xff\xc3", "\U0001F6D2"} {
		var want strings.Builder
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := string(appendString(nil, s)) + "\n"; got != want.String() {
			t.Errorf("%q: got %s, want %s", s, got, want.String())
		}
	}
}

func TestViewAllocatesNothing(t *testing.T) {
	b := exampleCart(t)
	info := b.info()
	dst := make([]byte, 0, 1<<16)
	if n := testing.AllocsPerRun(100, func() { dst = AppendView(dst[:0], &b.cart, info) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
