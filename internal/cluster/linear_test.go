package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/memlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// asked is what a client asks of a cart: to add a product that nobody else adds, or, without one, what is in it.
type asked struct{ sku string }

// told is what it hears.
type told struct {
	skus    string // in the cart, each with a blank behind it
	unknown bool   // the outcome
	refused bool
	repeat  bool // the change had been made before
}

// cartModel is a list of products.
var cartModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		cart, in, out := state.(string), input.(asked), output.(told)
		there := in.sku != "" && strings.Contains(" "+cart, " "+in.sku+" ")
		after := cart
		if in.sku != "" && !there {
			after += in.sku + " "
		}
		switch {
		case out.refused:
			return []any{cart}
		case out.unknown:
			return []any{cart, after}
		case out.skus != after || out.repeat != there:
			return nil
		}
		return []any{after}
	},
}).ToModel()

// history is what clients asked and heard.
type history struct {
	start time.Time
	news  chan struct{} // capacity 1: there was a call since it was last read
	mu    sync.Mutex    // guards calls
	calls []porcupine.Operation
}

func (h *history) add(client int, from time.Duration, in asked, out told) {
	to := time.Since(h.start)
	if out.unknown {
		to = math.MaxInt64 // it may still come
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, porcupine.Operation{ClientId: client, Input: in, Call: int64(from), Output: out, Return: int64(to)})
	select {
	case h.news <- struct{}{}:
	default: // there is news already
	}
}

func (h *history) result() porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(cartModel, h.calls, time.Minute)
}

// shopper adds products to a cart and looks at it. What it does not hear of, it repeats with the same key.
func shopper(t *testing.T, c *carts, h *history, client int, r *rand.Rand) {
	ask := func(in asked, msg any) told {
		from := time.Since(h.start)
		answer, err := c.Ask(within(t, time.Minute), cartKind, "c", msg)
		if err != nil {
			t.Error(err)
			return told{refused: true}
		}
		out := toldBy(t, answer.(*actor.Reply))
		h.add(client, from, in, out)
		return out
	}
	for n := range 12 {
		if r.IntN(3) == 0 {
			ask(asked{}, &actor.Query{})
			continue
		}
		in := asked{fmt.Sprintf("%d-%d", client, n)}
		for range 3 {
			cmd := &actor.Command{Key: in.sku, Request: 1, Steps: []actor.Step{{Mutation: &messages.AddItem{Sku: in.sku, Quantity: 1, Price: 1}}}}
			if out := ask(in, cmd); !out.unknown && !out.refused {
				break
			}
		}
	}
}

func toldBy(t *testing.T, r *actor.Reply) told {
	switch {
	case r.Refusal == nil:
	case r.Refusal.Code == actor.CodeOutcomeUnknown:
		return told{unknown: true}
	case r.Refusal.Code == actor.CodeNotFound:
		return told{}
	default:
		return told{refused: true}
	}
	var view struct{ Items []struct{ Sku string } }
	if err := json.Unmarshal(r.View, &view); err != nil {
		t.Errorf("view %s: %v", r.View, err)
	}
	out := told{repeat: r.Replayed}
	for _, item := range view.Items {
		out.skus += item.Sku + " "
	}
	return out
}

// TestCartsAreLinearizableWhileActivationsAreThrownAway: another process claims the cart's log again and again, so that
// its activation has to be thrown away with what it has queued; in memory, answers of the store are lost as well.
func TestCartsAreLinearizableWhileActivationsAreThrownAway(t *testing.T) {
	const rounds, shoppers = 6, 4
	for _, lossy := range []bool{false, true} {
		t.Run(fmt.Sprintf("lossy=%t", lossy), func(t *testing.T) {
			unknown, activated := 0, int64(0)
			for round := range uint64(rounds) {
				memory := memlog.New()
				store := eventlog.Store(memory)
				if !lossy {
					store = openFiles(t, filelog.SyncAlways)
				}
				c, h := newCarts(t, store, time.Hour), &history{start: time.Now(), news: make(chan struct{}, 1)}
				ctx, stop := context.WithCancel(t.Context())
				var clients, thief sync.WaitGroup
				for i := range shoppers {
					clients.Go(func() { shopper(t, c, h, i, rand.New(rand.NewPCG(round, uint64(i)))) })
				}
				thief.Go(func() { steal(ctx, t, store, memory, h.news, rand.New(rand.NewPCG(round, 99))) })
				clients.Wait()
				stop()
				thief.Wait()
				for _, call := range h.calls {
					if call.Output.(told).unknown {
						unknown++
					}
				}
				if got := h.result(); got != porcupine.Ok {
					t.Errorf("round %d: %s history of %d calls: %+v", round, got, len(h.calls), h.calls)
				}
				activated += c.activated.Load()
				c.shutdown(t)
			}
			if activated < 2*rounds || lossy != (unknown > 0) {
				t.Errorf("%d activations, %d unknown outcomes: nothing was tried", activated, unknown)
			}
		})
	}
}

// steal claims the cart's log and lets it go, now and then.
func steal(ctx context.Context, t *testing.T, store eventlog.Store, memory *memlog.Log, news <-chan struct{}, r *rand.Rand) {
	id, err := eventlog.ParseStreamID(eventlog.KindCart, "c")
	if err != nil {
		t.Error(err)
		return
	}
	for {
		for range 1 + r.IntN(6) {
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
		}
		memory.LoseNext(r.IntN(2) == 0)
		if act, err := store.Activate(ctx, id); err == nil {
			act.Release()
		}
	}
}

// The control: what is wrong is rejected.
func TestWrongHistoriesOfACartAreRejected(t *testing.T) {
	for name, test := range map[string]struct {
		want  porcupine.CheckResult
		calls []porcupine.Operation
	}{
		"sound":               {porcupine.Ok, calls(asked{"a"}, told{skus: "a "}, asked{}, told{skus: "a "}, asked{"a"}, told{skus: "a ", repeat: true})},
		"lost":                {porcupine.Illegal, calls(asked{"a"}, told{skus: "a "}, asked{}, told{})},
		"applied twice":       {porcupine.Illegal, calls(asked{"a"}, told{skus: "a "}, asked{"a"}, told{skus: "a a "})},
		"repeat not known":    {porcupine.Illegal, calls(asked{"a"}, told{skus: "a "}, asked{"a"}, told{skus: "a "})},
		"shown, then gone":    {porcupine.Illegal, calls(asked{"a"}, told{unknown: true}, asked{}, told{skus: "a "}, asked{}, told{})},
		"unknown, and stored": {porcupine.Ok, calls(asked{"a"}, told{unknown: true}, asked{}, told{skus: "a "})},
		"unknown, and not":    {porcupine.Ok, calls(asked{"a"}, told{unknown: true}, asked{}, told{}, asked{"b"}, told{skus: "b "})},
		"refused, and stored": {porcupine.Illegal, calls(asked{"a"}, told{refused: true}, asked{}, told{skus: "a "})},
	} {
		if got := (&history{calls: test.calls}).result(); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// calls are made one after the other.
func calls(inAndOut ...any) (all []porcupine.Operation) {
	for i := 0; i < len(inAndOut); i += 2 {
		op := porcupine.Operation{ClientId: i, Input: inAndOut[i], Call: int64(i), Output: inAndOut[i+1], Return: int64(i)}
		if out := inAndOut[i+1].(told); out.unknown {
			op.Return = math.MaxInt64
		}
		all = append(all, op)
	}
	return all
}
