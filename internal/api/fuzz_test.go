package api

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"cartd/internal/grain"
)

// FuzzDecodeMutation: whatever a client sends as a mutation is refused as a problem, or is read as what encoding/json
// reads too, and can be stored.
func FuzzDecodeMutation(f *testing.F) {
	for _, seed := range [][2]string{
		{"AddItem", `{"sku":"85123A","quantity":6,"price":255,"tax":2500,"attributes":{"a":"b"},"stock":3}`},
		{"AddItem", `{"sku":"\u2028\ud800","quantity":9223372036854775807}`},
		{"AddItem", `{"attributes":{"a":null}}`},
		{"AddItem", `{"sku":"a","sku":"b"}`},
		{"AddItem", `{"SKU":"a"}`},
		{"ChangeQuantity", `{"id":1,"quantity":1e3}`},
		{"SetDelivery", `{"provider":"p","items":[1,null],"address":{},"pickupPoint":null}`},
		{"ClearCart", ` null`},
		{"RemoveItem", `{"id":1} {}`},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	registry := grain.Registry(grain.Limits{})
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		m, ok := registry.Create(name)
		if !ok {
			return
		}
		if err := body(payload).decode(m); err != nil {
			if p := problemOf(err); p.Status != 400 || !utf8.ValidString(p.Detail) {
				t.Errorf("%s: got %+v, want a problem of status 400", payload, p)
			}
			return
		}
		stored, err := grain.AppendPayload(nil, m)
		if err != nil {
			t.Fatalf("%s cannot be stored: %v", payload, err)
		}
		lenient, _ := registry.Create(name)
		if err := json.Unmarshal(payload, lenient); err != nil {
			t.Fatalf("%s is taken; encoding/json says: %v", payload, err)
		}
		if want, err := grain.AppendPayload(nil, lenient); err != nil || !bytes.Equal(stored, want) {
			t.Errorf("%s is read as %s; by encoding/json as %s, %v", payload, stored, want, err)
		}
	})
}
