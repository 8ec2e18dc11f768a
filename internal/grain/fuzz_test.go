package grain

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// FuzzApply reads its input as mutations, a JSON object {"type": payload} a line, and applies them one by one: none
// panics, one that is refused changes nothing, and the cart stays consistent.
func FuzzApply(f *testing.F) {
	registry := Registry(Limits{})
	line := func(m actor.Mutation) []byte {
		name, _ := registry.Name(m)
		payload, err := AppendPayload(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		b, err := json.Marshal(map[string]json.RawMessage{name: payload})
		if err != nil {
			f.Fatal(err)
		}
		return append(b, '\n')
	}
	setup := append(line(item("A", 2, 100, 2500)), line(&messages.SetDelivery{Provider: "p", Items: []uint32{1}, Price: 490})...)
	for _, m := range everyMutation() {
		f.Add(append(bytes.Clone(setup), line(m)...))
		f.Add(append(append(bytes.Clone(setup), line(&messages.InitializeCheckout{OrderId: "o-9"})...), line(m)...))
	}
	child := item("B", 1, 1, 0)
	child.ParentId = new(uint32(1))
	f.Add(append(append(setup, line(child)...), line(&messages.RemoveItem{Id: 1})...))

	f.Fuzz(func(t *testing.T, input []byte) {
		b := newBench()
		for text := range bytes.Lines(input) {
			var step map[string]json.RawMessage
			if json.Unmarshal(text, &step) != nil || len(step) != 1 {
				continue
			}
			for name, payload := range step {
				m, err := registry.Decode(name, payload)
				if err != nil {
					continue
				}
				before := b.cart.Clone()
				err = b.apply(m)
				if _, refused := errors.AsType[*actor.Refusal](err); err != nil && !refused && !errors.Is(err, actor.NoChange) {
					t.Fatalf("%s: got %v, want a refusal or NoChange", text, err)
				}
				if err != nil {
					if diff := diffCarts(before, &b.cart); diff != "" {
						t.Fatalf("%s: got %v, and yet the cart changed (-before +after):\n%s", text, err, diff)
					}
				}
				if err := checkCart(&b.cart); err != nil {
					t.Fatalf("after %s: %v", text, err)
				}
			}
		}
		decodeView(t, []byte(b.view()))
	})
}
