package grain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"cartd/pkg/messages"
)

// restored returns a bench with the cart that b's becomes by way of a snapshot.
func restored(t interface{ Fatalf(string, ...any) }, b *bench) *bench {
	prefix := []byte("before")
	data := appendState(prefix, &b.cart)
	if !bytes.HasPrefix(data, prefix) {
		t.Fatalf("the state was not appended: %q", data)
	}
	c, err := decodeState(data[len(prefix):])
	if err != nil {
		t.Fatalf("decode what was encoded: %v", err)
	}
	return &bench{registry: b.registry, cart: *c, version: b.version}
}

// same fails unless both carts are the same, to those who ask and inside.
func same(t interface{ Fatalf(string, ...any) }, live, fromState *bench) {
	if diff := diffCarts(&live.cart, &fromState.cart); diff != "" {
		t.Fatalf("(-live +from its state):\n%s", diff)
	}
	if err := checkCart(&fromState.cart); err != nil {
		t.Fatalf("from its state: %v", err)
	}
	if got, want := fromState.view(), live.view(); got != want {
		t.Fatalf("view of the cart from its state:\n got %s\nwant %s", got, want)
	}
}

func TestSnapshotPlusTailEqualsFullReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live := newBench()
		for range rapid.IntRange(0, 60).Draw(t, "before") {
			_ = live.apply(mutationGen.Draw(t, "mutation"))
		}
		fromState := restored(t, live)
		same(t, live, fromState)
		for range rapid.IntRange(0, 30).Draw(t, "after") {
			m := mutationGen.Draw(t, "mutation")
			if got, want := fromState.apply(m), live.apply(m); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%T %v: got %v from the state, %v live", m, m, got, want)
			}
		}
		same(t, live, fromState)
		same(t, live, restored(t, fromState))
	})
}

func TestStateOfALargeCartComesBack(t *testing.T) {
	b := cartOf(t, 3*indexFrom)
	again := restored(t, b)
	same(t, b, again)
	m := item("SKU-00020", 1, 255, 2500)
	m.Name = "White hanging heart"
	b.must(t, m)
	again.must(t, m)
	same(t, b, again)
}

// What a cart took under higher limits it keeps.
func TestStateKnowsNoLimitThatWasLowered(t *testing.T) {
	b := &bench{registry: Registry(Limits{MaxLines: 6_000, MaxQuantity: 1 << 40})}
	for i := range 5_001 {
		b.must(t, item(fmt.Sprint(i), 1<<30, 1, 2500))
	}
	same(t, b, restored(t, b))
}

// storedCart is the cart of testdata/state-2.bin. Its mutations are never changed, as the file is not: what it is to
// show beside goes into wholeCart.
func storedCart(t testing.TB) *bench {
	b := newBench()
	b.must(t,
		&messages.CartCreated{Currency: "GBP", Country: "gb", UserId: "u-17"},
		&messages.AddItem{ItemId: 4711, Sku: "85123A", Quantity: 6, TaxRounding: "half-up", TaxLevel: "unit", Price: 255, OrgPrice: 300, Tax: 2500, PriceExVat: true,
			Name: "White hanging heart", Image: "/h.png", Stock: new(int64(12)), Country: "GB", StoreId: new("s-1"),
			Attributes: map[string]string{"size": "s", "colour": "white"}, Type: "t", Disclaimer: "d", SaleStatus: "s",
			Brand: "b", Category: "c", SellerId: "7", SellerName: "n", Currency: "GBP"},
		item("gone", 1, 100, 600),
		&messages.AddItem{Sku: "gift wrap", Quantity: 1, Price: 99, Tax: 1200, Stock: new(int64(0)), ParentId: new(uint32(1))},
		&messages.RemoveItem{Id: 2},
		&messages.LineItemMarking{Id: 1, Type: 1, Marking: "To Ada \u2028 & \"co\""},
		&messages.LineItemMarking{Id: 3},
		&messages.SetDelivery{Provider: "courier", Items: []uint32{3}, Price: 100, Tax: 1234, PriceExVat: true,
			Address: &messages.Address{Name: new("Ada"), Street: new("2 Low Rd"), City: new("Leeds"), Zip: new("LS1"), Country: new("gb"),
				Phone: new("+44 1"), Email: new("a@b.example")}},
		&messages.SetDelivery{Provider: "postnord", Items: []uint32{3, 1}, Price: 490, Tax: 2500,
			Address:     &messages.Address{Name: new("Ada"), Street: new(""), City: new("Leeds"), Zip: new("LS1"), Country: new("gb"), Phone: new("1"), Email: new("e")},
			PickupPoint: &messages.PickupPoint{Id: "p-9", Name: new("Kiosk"), Address: new("1 High St"), City: new("Leeds"), Zip: new("LS1"), Country: new("gb")}},
		&messages.UpsertSubscriptionDetails{Id: new("s"), OfferingCode: "o", SigningType: "bankid", Data: `{"a":"<"}`},
		&messages.UpsertSubscriptionDetails{},
		&messages.AddVoucher{Code: "WELCOME10", Kind: kindPercent, Value: 1000, Description: "10 % off", Currency: "GBP",
			MinTotal: 5, Skus: []string{"gift wrap", "85123A"}, ValidFrom: "2026-01-01T00:00:00Z", ValidTo: "2027-01-01T00:00:00.5Z", OncePerUser: true, UsageLimit: 3},
		&messages.AddVoucher{Code: "gone", Kind: kindFreeDelivery},
		&messages.AddVoucher{Code: "LATER", Kind: kindAmount, Value: 100, ValidFrom: "2099-01-01T00:00:00Z"},
		&messages.RemoveVoucher{Id: 2},
		&messages.RefreshPrices{Lines: []*messages.RefreshPrices_Line{
			{Id: 1, Price: 250, OrgPrice: 300, Tax: 2500, PriceExVat: true, Stock: new(int64(12))}, {Id: 3, Gone: true}}},
		&messages.InitializeCheckout{OrderId: "o-1"},
		&messages.OrderCreated{OrderId: "o-1", Status: "paid"})
	return b
}

func TestStoredStateIsReadForEver(t *testing.T) {
	b := storedCart(t)
	file := filepath.Join("testdata", fmt.Sprintf("state-%d.bin", stateVersion))
	if _, err := os.Stat(file); *update && errors.Is(err, os.ErrNotExist) { // never anew: it stands for what is on disks
		if err := os.WriteFile(file, appendState(nil, &b.cart), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := decodeState(data)
	if err != nil {
		t.Fatalf("%s: %v; states like it need another stateVersion", file, err)
	}
	same(t, b, &bench{registry: b.registry, cart: *c, version: b.version})
}

// wholeCarts have every field set in one of them: a field that is new in Cart or below is to be set here.
func wholeCarts(t testing.TB) []*bench {
	paying := newBench()
	paying.must(t, item("A", 1, 100, 600), &messages.InitializeCheckout{OrderId: "o-1", TtlMillis: 60_000})
	going, gone := newBench(), newBench()
	going.must(t, item("A", 1, 100, 600), &messages.MergeCart{From: "C7"}, &messages.MergeStarted{Into: "C9", IfVersion: new(uint64(5))})
	gone.must(t, &messages.CartCreated{}, &messages.MergeStarted{Into: "C9"}, &messages.CartMerged{Into: "C9", Started: 2})
	limited, aborted := newBench(), newBench()
	limited.must(t, limitedCart()...)
	aborted.must(t, limitedCart()...)
	aborted.must(t, &messages.AbortCheckout{}, &messages.VoucherRefused{Code: "L1", Reason: ReasonUsedUp},
		&messages.AddVoucher{Code: "L3", Kind: kindAmount, Value: 9, UsageLimit: 3, UsedUp: true})
	used := newBench()
	used.must(t, limitedCart()...)
	used.must(t, &messages.OrderCreated{OrderId: "o-9"})
	branching := newBranched()
	branching.prepare(t, fullCart())
	expired := newBench()
	expired.must(t, &messages.SetUserId{UserId: "u-1"}, &messages.CartExpired{})
	return []*bench{storedCart(t), paying, going, gone, limited, aborted, used, expired, &branching.bench}
}

// A field that Cart has and the codec forgets would be lost at a snapshot, unnoticed until then.
func TestStateHasEveryFieldOfACart(t *testing.T) {
	set := map[string]bool{}
	for _, b := range wholeCarts(t) {
		fieldsOf(reflect.ValueOf(&b.cart), "Cart", set)
		same(t, b, restored(t, b))
	}
	if len(set) < 40 {
		t.Errorf("found only %d fields: %v", len(set), set)
	}
	for path, set := range set {
		if !set {
			t.Errorf("%s is zero: set it in wholeCarts, so that this test sees whether it comes back", path)
		}
	}
}

// fieldsOf notes for every field below v whether it is set; of the elements of slices and maps, whether it is in one.
func fieldsOf(v reflect.Value, path string, set map[string]bool) {
	note := func(path string, isSet bool) { set[path] = set[path] || isSet }
	if v.Type() == reflect.TypeFor[index]() {
		return // is made from the lines when an item is added
	}
	if v.Type() == reflect.TypeFor[branch]() { // its cart has what a cart has: see TestBranchesComeBackFromASnapshot
		for _, field := range []string{"name", "from", "version", "cart"} {
			note(path+"."+field, !v.FieldByName(field).IsZero())
		}
		return
	}
	if v.Kind() == reflect.Pointer && v.Type().Implements(reflect.TypeFor[proto.Message]()) {
		v = reflect.NewAt(v.Type().Elem(), v.UnsafePointer()) // the same, but not "obtained by an unexported field"
		m := v.Interface().(proto.Message).ProtoReflect()
		for fd := range fieldsOfMessage(m) {
			note(path+"."+string(fd.Name()), m.Has(fd))
		}
		return
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		note(path, !v.IsZero())
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			note(path, false)
			return
		}
		note(path, true)
		fieldsOf(v.Elem(), path, set)
	case reflect.Struct:
		for field, value := range v.Fields() {
			fieldsOf(value, path+"."+field.Name, set)
		}
	case reflect.Slice:
		note(path, v.Len() > 0)
		for i := range v.Len() {
			fieldsOf(v.Index(i), path+"[]", set)
		}
	case reflect.Map:
		note(path, v.Len() > 0)
		for key, value := range v.Seq2() {
			note(path+"[key]", !key.IsZero())
			fieldsOf(value, path+"[]", set)
		}
	default:
		note(path, !v.IsZero())
	}
}

func fieldsOfMessage(m protoreflect.Message) func(func(protoreflect.FieldDescriptor) bool) {
	return func(yield func(protoreflect.FieldDescriptor) bool) {
		for i := range m.Descriptor().Fields().Len() {
			if !yield(m.Descriptor().Fields().Get(i)) {
				return
			}
		}
	}
}
