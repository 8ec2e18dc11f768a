package messages_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"cartd/pkg/messages"
)

// The stored form of the most common event. A change here is a change of every log that was ever written.
const addItemJSON = `{"itemId":4711,"sku":"85123A","quantity":6,"price":9007199254740993,"orgPrice":300,"tax":2500,` +
	`"priceExVat":true,"name":"White hanging heart","image":"/h.png","stock":0,"country":"GB","storeId":"",` +
	`"parentId":1,"attributes":{"colour":"white","size":"s"},"type":"t","disclaimer":"d","saleStatus":"s",` +
	`"brand":"b","category":"c","sellerId":"7","sellerName":"n","currency":"GBP"}`

func addItem() *messages.AddItem {
	return &messages.AddItem{
		ItemId: 4711, Sku: "85123A", Quantity: 6, Price: 1<<53 + 1, OrgPrice: 300, Tax: 2500,
		PriceExVat: true, Name: "White hanging heart", Image: "/h.png", Stock: new(int64(0)), Country: "GB",
		StoreId: new(""), ParentId: new(uint32(1)),
		Attributes: map[string]string{"size": "s", "colour": "white"},
		Type:       "t", Disclaimer: "d", SaleStatus: "s", Brand: "b", Category: "c", SellerId: "7", SellerName: "n", Currency: "GBP",
	}
}

func TestAddItemIsStoredUnderCamelCaseNames(t *testing.T) {
	got, err := json.Marshal(addItem())
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	if string(got) != addItemJSON {
		t.Errorf("got  %s\nwant %s", got, addItemJSON)
	}
}

func TestStoredAddItemReadsBackWhole(t *testing.T) {
	got := new(messages.AddItem)
	dec := json.NewDecoder(bytes.NewReader([]byte(addItemJSON)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(got); err != nil {
		t.Fatalf("decode: %v", err)
	}
	if want := addItem(); !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// encoding/json goes by struct tags, and those come from the generator: each has to be the name in the .proto file.
func TestEveryFieldHasItsProtoNameInJSON(t *testing.T) {
	var check func(protoreflect.MessageDescriptors)
	check = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			msg := all.Get(i)
			if msg.IsMapEntry() {
				continue
			}
			mt, err := protoregistry.GlobalTypes.FindMessageByName(msg.FullName())
			if err != nil {
				t.Errorf("%s: %v", msg.FullName(), err)
				continue
			}
			var names []string
			for f := range reflect.TypeOf(mt.Zero().Interface()).Elem().Fields() {
				if tag, ok := f.Tag.Lookup("json"); ok {
					name, _, _ := strings.Cut(tag, ",")
					names = append(names, name)
				}
			}
			if got, want := len(names), msg.Fields().Len(); got != want {
				t.Errorf("%s has %d fields in JSON, want %d", msg.Name(), got, want)
			}
			for _, name := range names {
				if msg.Fields().ByName(protoreflect.Name(name)) == nil {
					t.Errorf("%s has %q in JSON, want a field name of messages.proto", msg.Name(), name)
				}
				if strings.ContainsRune(name, '_') {
					t.Errorf("%s has %q in JSON, want camelCase", msg.Name(), name)
				}
			}
			check(msg.Messages())
		}
	}
	check(messages.File_messages_proto.Messages())
}
