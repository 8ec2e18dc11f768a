package grain

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// event is a mutation as the log would hold it.
type event struct {
	name    string
	payload []byte
	meta    actor.Meta
}

func TestRandomMutationsKeepTheCartConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		var log []event
		lines, deliveries, vouchers := map[uint32]lineSeen{}, map[uint32]uint64{}, map[uint32]uint64{}
		for range rapid.IntRange(1, 60).Draw(t, "mutations") {
			m := mutationGen.Draw(t, "mutation")
			before := b.cart.Clone()
			indexed := b.cart.index != nil
			payload, err := AppendPayload(nil, m)
			if err != nil {
				t.Fatalf("payload of %v: %v", m, err)
			}
			if err := b.apply(m); err != nil {
				if _, ok := errors.AsType[*actor.Refusal](err); !ok && !errors.Is(err, actor.NoChange) {
					t.Fatalf("%T: got %v, want a refusal or NoChange", m, err)
				}
				if diff := diffCarts(before, &b.cart); diff != "" || indexed != (b.cart.index != nil) {
					t.Fatalf("%T %v: got %v, and yet the cart changed (-before +after):\n%s", m, m, err, diff)
				}
				continue
			}
			if b.cart.Status() == "" {
				t.Fatalf("%T was accepted, and yet there is no cart", m)
			}
			if err := checkCart(&b.cart); err != nil {
				t.Fatalf("after %T %v: %v", m, m, err)
			}
			checkIDs(t, b, lines, deliveries, vouchers)
			name, _ := b.registry.Name(m)
			log = append(log, event{name, payload, metaAt(b.version)})
		}

		replayed := newBench()
		for _, ev := range log {
			m, err := replayed.registry.Decode(ev.name, ev.payload)
			if err != nil {
				t.Fatalf("decode %s %s: %v", ev.name, ev.payload, err)
			}
			if err := replayed.registry.Apply(&replayed.cart, m, ev.meta); err != nil {
				t.Fatalf("replay %s %s: %v", ev.name, ev.payload, err)
			}
			replayed.version++
		}
		if diff := diffCarts(&b.cart, &replayed.cart); diff != "" {
			t.Fatalf("replay (-live +replayed):\n%s", diff)
		}
		if got, want := replayed.view(), b.view(); got != want {
			t.Fatalf("view after replay:\n got %s\nwant %s", got, want)
		}
		decodeView(t, []byte(b.view()))
	})
}

type lineSeen struct {
	sku     string
	version uint64 // when it was last there
}

// checkIDs fails if an id has come back after it was gone, or now names something else.
func checkIDs(t *rapid.T, b *bench, lines map[uint32]lineSeen, deliveries, vouchers map[uint32]uint64) {
	for _, l := range b.cart.lines {
		if seen, ok := lines[l.id]; ok && (seen.version != b.version-1 || seen.sku != l.product.sku) {
			t.Fatalf("line id %d was %s until version %d and is %s at %d", l.id, seen.sku, seen.version, l.product.sku, b.version)
		}
		lines[l.id] = lineSeen{l.product.sku, b.version}
	}
	for _, d := range b.cart.deliveries {
		if seen, ok := deliveries[d.id]; ok && seen != b.version-1 {
			t.Fatalf("delivery id %d was gone after version %d and is back at %d", d.id, seen, b.version)
		}
		deliveries[d.id] = b.version
	}
	for _, v := range b.cart.vouchers {
		if seen, ok := vouchers[v.id]; ok && seen != b.version-1 {
			t.Fatalf("voucher id %d was gone after version %d and is back at %d", v.id, seen, b.version)
		}
		vouchers[v.id] = b.version
	}
}

func TestCloneAndOriginalNeverShareAChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		for _, m := range rapid.SliceOfN(shoppingGen, 10, 60).Draw(t, "before") {
			_ = b.apply(m)
		}
		clone := &bench{registry: b.registry, cart: *b.cart.Clone(), version: b.version}
		original := b.view()
		for _, m := range rapid.SliceOfN(mutationGen, 1, 20).Draw(t, "on the clone") {
			_ = clone.apply(m)
		}
		if got := b.view(); got != original {
			t.Fatalf("the original changed with its clone:\n got %s\nwant %s", got, original)
		}
		if err := checkCart(&b.cart); err != nil {
			t.Fatalf("original: %v", err)
		}
		cloned := clone.view()
		for _, m := range rapid.SliceOfN(mutationGen, 1, 20).Draw(t, "on the original") {
			_ = b.apply(m)
		}
		if got := clone.view(); got != cloned {
			t.Fatalf("the clone changed with its original:\n got %s\nwant %s", got, cloned)
		}
		if err := checkCart(&clone.cart); err != nil {
			t.Fatalf("clone: %v", err)
		}
	})
}

// A batch works on a clone, whose index is made anew: where an item goes must not depend on it.
func TestCloneTakesAnItemToTheSameLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		for _, m := range rapid.SliceOfN(shoppingGen, 30, 90).Draw(t, "before") {
			_ = b.apply(m)
		}
		clone := &bench{registry: b.registry, cart: *b.cart.Clone(), version: b.version}
		for _, m := range rapid.SliceOfN(shoppingGen, 1, 20).Draw(t, "on both") {
			_, _ = b.apply(m), clone.apply(m)
		}
		if diff := diffCarts(&b.cart, &clone.cart); diff != "" {
			t.Fatalf("(-original +clone):\n%s", diff)
		}
	})
}

func TestEachMutationOfACloneLeavesTheOriginal(t *testing.T) {
	for _, m := range everyMutation() {
		b := exampleCart(t)
		child := item("B", 1, 100, 600)
		child.ParentId = new(uint32(1))
		b.must(t, child, &messages.UpsertSubscriptionDetails{})
		before := b.view()
		clone := &bench{registry: b.registry, cart: *b.cart.Clone(), version: b.version}
		_ = clone.apply(m)
		if got := b.view(); got != before {
			t.Errorf("%T on a clone: the original became\n%s\nit was\n%s", m, got, before)
		}
		if err := checkCart(&b.cart); err != nil {
			t.Errorf("%T on a clone: the original has %v", m, err)
		}
	}
}
