package grain

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

func viaEncodingJSON(t *rapid.T, m actor.Mutation) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		t.Fatal(err)
	}
	return buf.String()[:buf.Len()-1]
}

var (
	rawText = rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes")) })
	anyText = rapid.OneOf(rapid.String(), rawText, texts)
)

// itemWith makes AddItems of any content, whose texts are of one sort.
func itemWith(texts *rapid.Generator[string]) *rapid.Generator[*messages.AddItem] {
	return rapid.Custom(func(t *rapid.T) *messages.AddItem {
		text := func() string { return texts.Draw(t, "text") }
		n := func() int64 { return rapid.Int64().Draw(t, "n") }
		return &messages.AddItem{
			ItemId: rapid.Uint32().Draw(t, "itemId"), Sku: text(), Quantity: n(), Price: n(), OrgPrice: n(), Tax: n(),
			PriceExVat: rapid.Bool().Draw(t, "exVat"), Name: text(), Image: text(), Stock: rapid.Ptr(rapid.Int64(), true).Draw(t, "stock"),
			Country: text(), StoreId: rapid.Ptr(texts, true).Draw(t, "store"), ParentId: rapid.Ptr(rapid.Uint32(), true).Draw(t, "parent"),
			Attributes: rapid.MapOf(texts, texts).Draw(t, "attributes"), Type: text(), Disclaimer: text(), SaleStatus: text(),
			Brand: text(), Category: text(), SellerId: text(), SellerName: text(), Currency: text(),
			TaxRounding: text(), TaxLevel: text(),
		}
	})
}

func TestPayloadIsThatOfEncodingJSON(t *testing.T) {
	anyItem := itemWith(anyText)
	hot := rapid.Custom(func(t *rapid.T) actor.Mutation {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return &messages.ChangeQuantity{Id: rapid.Uint32().Draw(t, "id"), Quantity: rapid.Int64().Draw(t, "quantity")}
		case 1:
			return &messages.RemoveItem{Id: rapid.Uint32().Draw(t, "id")}
		case 2:
			return &messages.ClearCart{}
		case 3:
			return &messages.CartCreated{Currency: anyText.Draw(t, "currency"), Country: anyText.Draw(t, "country"), UserId: anyText.Draw(t, "user")}
		case 4:
			return mutationGen.Draw(t, "any")
		default:
			return anyItem.Draw(t, "item")
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := hot.Draw(t, "mutation")
		got, err := AppendPayload([]byte("x"), m)
		if err != nil {
			t.Fatal(err)
		}
		if want := "x" + viaEncodingJSON(t, m); string(got) != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		if err := eventlog.CheckPayload(got[1:]); err != nil { // the log takes it for sound, and does not look
			t.Fatal(err)
		}
	})
}

// TestAddItemIsReadAsEncodingJSONReadsIt also cuts a piece out of what was written, or puts another byte in.
func TestAddItemIsReadAsEncodingJSONReadsIt(t *testing.T) {
	plainText := rapid.StringMatching("[A-Za-z0-9 åäö€]{0,5}")
	items := rapid.OneOf(itemWith(plainText), itemWith(anyText))
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		m := items.Draw(t, "item")
		if rapid.Bool().Draw(t, "plain") {
			m.Attributes, m.Quantity, m.Price, m.OrgPrice, m.Tax, m.Stock = nil, m.Quantity>>8, -(m.Price >> 8), 0, 2500, nil
		}
		payload, err := AppendPayload(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(payload)-1).Draw(t, "at")
		switch rapid.IntRange(0, 3).Draw(t, "spoil") {
		case 0:
			payload = slices.Delete(payload, at, rapid.IntRange(at, len(payload)).Draw(t, "to"))
		case 1:
			payload[at] = rapid.OneOf(rapid.SampledFrom([]byte(`{}[]",:-+.eE0123456789 \ntfu`)), rapid.Byte()).Draw(t, "byte")
		}
		if wantRead(t, payload) {
			taken++
		}
	})
	if taken == 0 {
		t.Error("nothing was read without encoding/json")
	}
}

// wantRead reports whether payload is read without encoding/json, and wants the same of both then.
func wantRead(t interface{ Fatalf(string, ...any) }, payload []byte) bool {
	got, ok := readAddItem(payload)
	if !ok {
		return false
	}
	want := new(messages.AddItem)
	if err := json.Unmarshal(payload, want); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("read %q: got %v; encoding/json says %v, %v", payload, got, want, err)
	}
	return true
}

// FuzzReadAddItem: what is read without encoding/json is what that reads.
func FuzzReadAddItem(f *testing.F) {
	for _, seed := range []string{`{}`, `{"sku":"A","quantity":1}`, `{"sku":"A","sku":"B","stock":-0,"priceExVat":true}`,
		`{"parentId":4294967295,"itemId":4294967296}`, `{"itemId":-0}`, `{"quantity":1.5}`, `{"quantity":01}`, `{"price":999999999999999999}`,
		`{"name":"å€","storeId":""}`, "{\"name\":\"\xff\"}", `{"SKU":"A"}`, `{"sku":null}`, `{"sku":"A"} `, `{"sku":"\u0041"}`, `{,"sku":"A"}`, `{"sku":"A",}`, ``, `}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) { wantRead(t, payload) })
}

func TestEmptyMutationsHaveAPayload(t *testing.T) {
	r := Registry(Limits{})
	for _, m := range everyMutation() {
		name, _ := r.Name(m)
		empty, _ := r.Create(name)
		if got, err := AppendPayload(nil, empty); string(got) != "{}" || err != nil {
			t.Errorf("%s: got %s, %v; want {}", name, got, err)
		}
	}
	if got, err := AppendPayload(nil, (*messages.AddItem)(nil)); string(got) != "null" || err != nil {
		t.Errorf("nil: got %s, %v; want null", got, err)
	}
	if got, err := AppendPayload([]byte("x"), math.NaN()); string(got) != "x" || err == nil {
		t.Errorf("NaN: got %s, %v; want an error", got, err)
	}
}

func TestRequestsAreNotRegistered(t *testing.T) {
	r := Registry(Limits{})
	for _, name := range []string{"AddRequest", "SetCartRequest", "addItem", ""} {
		if m, ok := r.Create(name); ok {
			t.Errorf("%q makes a %T, want nothing", name, m)
		}
	}
}

// FuzzDecode feeds payloads to the decoder: what comes out is encoded and decoded again, the same, and applied.
func FuzzDecode(f *testing.F) {
	r := Registry(Limits{})
	for _, m := range everyMutation() {
		name, _ := r.Name(m)
		payload, err := AppendPayload(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name, payload)
	}
	f.Add("AddItem", []byte(`{"sku":"\u2028\ud800","quantity":9223372036854775807,"attributes":{"":"","\u0000":"x"},"stock":null}`))
	f.Add("SetDelivery", []byte(`{"provider":"p","items":[1,null],"address":{},"pickupPoint":null}`))
	f.Add("SetPickupPoint", []byte(`null`))
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		m, err := r.Decode(name, payload)
		if err != nil {
			return
		}
		again, err := AppendPayload(nil, m)
		if err != nil {
			t.Fatalf("%s %s: %v", name, payload, err)
		}
		if err := eventlog.CheckPayload(again); err != nil {
			t.Fatalf("%s %s: %v", name, payload, err)
		}
		back, err := r.Decode(name, again)
		if err != nil {
			t.Fatalf("%s %s became %s: %v", name, payload, again, err)
		}
		if !proto.Equal(m.(proto.Message), back.(proto.Message)) {
			t.Fatalf("%s %s became %s, which is another mutation", name, payload, again)
		}
		b := newBench()
		_ = b.apply(m)
		if err := checkCart(&b.cart); err != nil {
			t.Fatal(err)
		}
	})
}
