package grain

import (
	"errors"
	"testing"
	"time"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// applyAt applies a mutation some time after the last one.
func (b *bench) applyAt(m actor.Mutation, after time.Duration) error {
	meta := metaAt(b.version)
	meta.Time, meta.Version = meta.Time.Add(after), b.version+1
	return b.registry.Apply(&b.cart, m, meta)
}

func TestAForgottenCheckoutEnds(t *testing.T) {
	for _, tc := range []struct {
		millis int64
		want   time.Duration
	}{{0, 30 * time.Minute}, {1500, 1500 * time.Millisecond}, {(24 * time.Hour).Milliseconds(), 24 * time.Hour}} {
		b := newBench()
		b.must(t, item("A", 1, 100, 0), &messages.InitializeCheckout{OrderId: "o-1", TtlMillis: tc.millis})
		until := metaAt(2).Time.Add(tc.want)
		if got := decodeView(t, []byte(b.view())).CheckoutUntil; got == nil || !got.Equal(until) {
			t.Errorf("%d ms: until %v, want %v", tc.millis, got, until)
		}
		if r, ok := errors.AsType[*actor.Refusal](b.applyAt(&messages.CheckoutExpired{}, tc.want-time.Millisecond)); !ok || r.Code != codeFrozen {
			t.Errorf("ended before its time: %v", r)
		}
		add := item("B", 1, 1, 0)
		if m := dueCheckout(&b.cart, add, until.Add(-time.Millisecond)); m != nil {
			t.Errorf("%T is due before the time", m)
		}
		if _, ok := dueCheckout(&b.cart, add, until).(*messages.CheckoutExpired); !ok {
			t.Error("the end of the checkout is not due when its time is over")
		}
		if err := b.applyAt(&messages.CheckoutExpired{}, tc.want); err != nil {
			t.Fatal(err)
		}
		if cart := decodeView(t, []byte(b.view())); cart.Status != "open" || cart.OrderReference != "" || cart.CheckoutUntil != nil {
			t.Errorf("after the end: %s", b.view())
		}
		if m := dueCheckout(&b.cart, add, until); m != nil {
			t.Errorf("%T is due in an open cart", m)
		}
		b.refused(t, &messages.CheckoutExpired{}, codeNotInCheckout, "")
	}
}

// What ends the checkout anyway needs no other end before it; an order must find it still there.
func TestOnlyAnAbortNeedsNoExpiryBefore(t *testing.T) {
	b := inCheckout(t)
	late := b.cart.checkoutUntil.Add(time.Hour)
	for _, m := range everyMutation() {
		want := true
		switch m.(type) {
		case *messages.AbortCheckout, *messages.CheckoutExpired:
			want = false
		}
		if got := dueCheckout(&b.cart, m, late) != nil; got != want {
			t.Errorf("%T: expiry before it %t, want %t", m, got, want)
		}
	}
	b.must(t, &messages.OrderCreated{OrderId: "o-1"})
	if m := dueCheckout(&b.cart, item("B", 1, 1, 0), late); m != nil {
		t.Errorf("%T is due in an ordered cart", m)
	}
}

func TestTimeToLiveIsBounded(t *testing.T) {
	b := newBench()
	b.must(t, item("A", 1, 100, 0))
	b.refused(t, &messages.InitializeCheckout{OrderId: "o", TtlMillis: -1}, codeInvalid, "ttlMillis")
	b.refused(t, &messages.InitializeCheckout{OrderId: "o", TtlMillis: 1 << 62}, codeInvalid, "ttlMillis")
}
