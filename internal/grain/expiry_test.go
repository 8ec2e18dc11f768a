package grain

import (
	"errors"
	"iter"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// Whatever a cart has been through: it tells when it expires exactly if it can, it is gone from that second on and not
// before, a change then stores nothing, and CartExpired is taken then alone. With other flags the same log is the same cart.
func TestCartsExpireByTheirTierAndClock(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		span := rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 90 * 24 * time.Hour, math.MaxInt64})
		life := Lifetimes{Empty: span.Draw(rt, "empty"), Guest: span.Draw(rt, "guest"), User: span.Draw(rt, "user")}
		b := &bench{registry: Registry(Limits{Lifetimes: life})}
		for range rapid.IntRange(0, 20).Draw(rt, "changes") {
			if m := mutationGen.Draw(rt, "mutation"); !isExpiry(m) {
				_ = b.apply(m)
			}
		}
		info := b.info()
		info.Foreign = rapid.IntRange(0, 9).Draw(rt, "foreign") == 0
		at, expires := life.expiry(&b.cart, &info)
		want := life.User
		switch {
		case b.cart.Empty():
			want = life.Empty
		case b.cart.UserID() == "":
			want = life.Guest
		}
		if should := want > 0 && b.cart.Status() == StatusOpen && b.cart.merging == nil && len(b.cart.settlements) == 0 && !info.Foreign; expires != should {
			rt.Fatalf("expires: %t, want %t: %s", expires, should, b.view())
		}
		shown := decodeView(t, appendView(nil, &b.cart, info, life)).ExpiresAt
		if !expires {
			if shown != "" || life.hidden(&b.cart, info, info.Updated.AddDate(100, 0, 0)) != nil && b.cart.Status() != StatusDeleted {
				rt.Fatalf("a cart that never expires says %q, or is gone in a hundred years: %s", shown, b.view())
			}
			return
		}
		if got, err := time.Parse(time.RFC3339, shown); err != nil || !got.Equal(at) || want < math.MaxInt64 && (at.After(info.Updated.Add(want)) || info.Updated.Add(want).Sub(at) >= time.Second) {
			rt.Fatalf("changed at %v, may rest %v: shown %q, %v", info.Updated, want, shown, err)
		}
		for _, now := range []time.Time{at.Add(-time.Millisecond), at, at.Add(time.Hour)} {
			over := !now.Before(at)
			if r := life.hidden(&b.cart, info, now); (r != nil) != over || over && r.Code != codeExpired {
				rt.Fatalf("%v after %v: shown with %v", now, at, r)
			}
			click := item("Z", 1, 1, 0)
			if _, is := life.due(&b.cart, info, click, now).(*messages.CartExpired); is != over {
				rt.Fatalf("%v after %v: due before a click: %t", now, at, is)
			}
			if over {
				then := b.cart.Clone()
				meta := actor.Meta{Time: now, Version: b.version + 1, Last: info.Updated}
				if err := b.registry.Apply(then, &messages.CartExpired{}, meta); err != nil {
					rt.Fatal(err)
				}
				meta.Version++
				if r, ok := errors.AsType[*actor.Refusal](b.registry.Apply(then, click, meta)); !ok || r.Code != codeExpired {
					rt.Fatalf("a click on an expired cart: %v", r)
				}
				continue
			}
			err := b.registry.Apply(b.cart.Clone(), &messages.CartExpired{}, actor.Meta{Time: now, Version: b.version + 1, Last: info.Updated})
			if r, ok := errors.AsType[*actor.Refusal](err); !ok || r.Code != codeNotExpired {
				rt.Fatalf("expired %v before its time: %v", at.Sub(now), err)
			}
		}
	})
}

func isExpiry(m actor.Mutation) bool {
	_, is := m.(*messages.CartExpired)
	return is
}

// What was stored is applied whatever the flags say by now, and whenever that is.
func TestStoredExpiryIsReplayedUnderAnyFlags(t *testing.T) {
	for _, life := range []Lifetimes{{}, {Empty: time.Hour, Guest: time.Hour, User: time.Hour}, {Empty: math.MaxInt64, Guest: math.MaxInt64, User: math.MaxInt64}} {
		cfg := Config(nil, Limits{Lifetimes: life}, Options{})
		var c Cart
		for i, m := range []actor.Mutation{item("A", 1, 1, 0), &messages.CartExpired{}} {
			if err := cfg.Replay.Apply(&c, m, metaAt(uint64(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		if c.Status() != StatusExpired {
			t.Errorf("under %v the cart is %q, want it expired", life, c.Status())
		}
	}
}

// An import, and a log of the service before, have times that may be years ago.
func TestEventsOfTheServiceBeforeAreForeign(t *testing.T) {
	cfg := Config(nil, Limits{}, Options{})
	for _, tc := range []struct {
		what string
		ev   actor.Event
		want bool
	}{
		{"without an id", actor.Event{}, true},
		{"imported", actor.Event{ID: uuid.MustParse("8ab30000-0000-8000-8000-000000000000")}, true},
		{"with a key", actor.Event{ID: uuid.MustParse("8ab30000-0000-8000-8000-000000000000"), Key: "k"}, false},
		{"of an activation", actor.Event{ID: uuid.MustParse("0192ab30-0000-7000-8000-000000000000")}, false},
	} {
		tc.ev.Version, tc.ev.Time, tc.ev.Type, tc.ev.Payload = 1, metaAt(1).Time, "CartCreated", []byte("{}")
		_, info, err := actor.Rebuild(cfg, "C1", func(func([]byte) error) iter.Seq2[actor.Event, error] {
			return func(yield func(actor.Event, error) bool) { yield(tc.ev, nil) }
		})
		if err != nil || info.Foreign != tc.want {
			t.Errorf("%s: foreign %t, %v; want %t", tc.what, info.Foreign, err, tc.want)
		}
	}
}
