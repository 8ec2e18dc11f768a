package courier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/courier"
	"cartd/pkg/actor"
)

// grains answer as they are told, and note what they are asked.
type grains struct {
	mu     sync.Mutex // guards the rest
	asked  []string
	answer func(ctx context.Context, id string, n int, cmd *actor.Command) (any, error) // n counts the questions to id, from 1
	counts map[string]int
}

func (g *grains) Ask(ctx context.Context, kind, id string, msg any) (any, error) {
	cmd := msg.(*actor.Command)
	g.mu.Lock()
	g.asked = append(g.asked, fmt.Sprint(kind, "/", id, " ", cmd.Steps[0].Mutation))
	if g.counts == nil {
		g.counts = map[string]int{}
	}
	g.counts[id]++
	n, answer := g.counts[id], g.answer
	g.mu.Unlock()
	if answer == nil {
		return &actor.Reply{}, nil
	}
	return answer(ctx, id, n, cmd)
}

func (g *grains) all() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

// errand asks the grain to, and tells its own what that has said.
func errand(name, to string) actor.Errand {
	return actor.Errand{Name: name, Kind: "k", To: to, Command: actor.Command{Steps: []actor.Step{{Mutation: "do"}}},
		Report: func(decided *actor.Reply) actor.Command {
			told := "done"
			if decided.Refusal != nil {
				told = decided.Refusal.Code
			}
			return actor.Command{Steps: []actor.Step{{Mutation: told}}}
		}}
}

func TestErrandIsDoneAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &grains{answer: func(ctx context.Context, id string, n int, cmd *actor.Command) (any, error) {
			if at, ok := ctx.Deadline(); !ok || !cmd.Deadline.Equal(at) {
				t.Errorf("deadline of the command %v, of the question %v", cmd.Deadline, at)
			}
			if id == "no" {
				return &actor.Reply{Refusal: actor.Refuse("never", "…")}, nil
			}
			return &actor.Reply{Version: 7}, nil
		}}
		var steps []courier.Step
		var mu sync.Mutex
		c := courier.New(g, courier.Options{Stepped: func(s courier.Step, _ actor.Errand) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, s)
		}})
		defer c.Close()
		w := c.Watch("cart", "a")
		defer w.Close()
		c.Sender("cart")("a", []actor.Errand{errand("1", "b")})
		if results, err := w.Wait(t.Context()); err != nil || len(results) != 1 || results[0].Name != "1" || results[0].Decided.Version != 7 {
			t.Errorf("results %v, error %v", results, err)
		}
		c.Send("cart", "a", []actor.Errand{errand("2", "no"), {Name: "3", Kind: "k", To: "b", Command: actor.Command{Steps: []actor.Step{{Mutation: "do"}}}}})
		if results, err := w.Wait(t.Context()); err != nil || len(results) != 3 {
			t.Errorf("results %v, error %v, want all since the watch began", results, err)
		}
		got := g.all()
		slices.Sort(got)
		if want := []string{"cart/a done", "cart/a never", "k/b do", "k/b do", "k/no do"}; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
		if !slices.Equal(steps[:3], []courier.Step{courier.Taken, courier.Decided, courier.Reported}) {
			t.Errorf("steps %q", steps)
		}
	})
}

func TestErrandUnderWayIsNotBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		g := &grains{answer: func(context.Context, string, int, *actor.Command) (any, error) {
			<-hold
			return &actor.Reply{}, nil
		}}
		c := courier.New(g, courier.Options{})
		defer c.Close()
		w := c.Watch("cart", "a")
		defer w.Close()
		for range 5 {
			c.Send("cart", "a", []actor.Errand{errand("1", "b")})
			synctest.Wait()
		}
		close(hold)
		if results, err := w.Wait(t.Context()); err != nil || len(results) != 1 || len(g.all()) != 2 {
			t.Errorf("results %v, error %v, asked %q; want one errand", results, err, g.all())
		}
		c.Send("cart", "a", []actor.Errand{errand("1", "b")}) // it has ended: who has it open still wants it done
		if results, _ := w.Wait(t.Context()); len(results) != 2 {
			t.Errorf("results %v", results)
		}
	})
}

func TestUndecidedErrandIsRepeatedAndThenLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &grains{answer: func(ctx context.Context, id string, n int, _ *actor.Command) (any, error) {
			switch {
			case id == "late" && n == 1:
				<-ctx.Done()
				return nil, ctx.Err()
			case id == "late" && n == 2:
				return "what?", nil
			case id == "late" && n < 6:
				return &actor.Reply{Refusal: actor.Refuse([]string{actor.CodeUnavailable, actor.CodeOutcomeUnknown, actor.CodeInternal}[n-3], "…")}, nil
			case id == "never":
				return nil, errors.New("nobody is there")
			}
			// A repeat is decided, whatever is shown of the grain by now.
			return &actor.Reply{Replayed: true, Refusal: actor.Refuse(actor.CodeUnavailable, "…")}, nil
		}}
		c := courier.New(g, courier.Options{GiveUp: time.Minute})
		defer c.Close()
		w := c.Watch("cart", "a")
		defer w.Close()
		c.Send("cart", "a", []actor.Errand{errand("1", "late"), errand("2", "never")})
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the wait", err)
		}
		results, err := w.Wait(t.Context())
		if err != nil || len(results) != 2 || results[0].Name != "1" || !results[0].Decided.Replayed || results[1].Decided != nil {
			t.Errorf("results %v, error %v", results, err)
		}
		if took := time.Since(start); took > time.Minute || took < 30*time.Second {
			t.Errorf("given up after %v, want up to a minute", took)
		}
	})
}

func TestErrandsOnTopOfTheBoundAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var mu sync.Mutex
		asking, most, dropped := 0, 0, 0
		g := &grains{answer: func(context.Context, string, int, *actor.Command) (any, error) {
			mu.Lock()
			asking++
			most = max(most, asking)
			mu.Unlock()
			<-hold
			mu.Lock()
			asking--
			mu.Unlock()
			return &actor.Reply{}, nil
		}}
		c := courier.New(g, courier.Options{Workers: 3, MaxOpen: 10, Stepped: func(s courier.Step, _ actor.Errand) {
			if s == courier.Dropped {
				dropped++
			}
		}})
		defer c.Close()
		for i := range 14 {
			c.Send("cart", fmt.Sprint(i), []actor.Errand{errand("1", "b")})
		}
		synctest.Wait()
		if most != 3 || dropped != 4 {
			t.Errorf("%d questions at once and %d dropped, want 3 and 4", most, dropped)
		}
		close(hold)
		synctest.Wait()
		w := c.Watch("cart", "13")
		defer w.Close()
		c.Send("cart", "13", []actor.Errand{errand("1", "b")})
		if results, err := w.Wait(t.Context()); err != nil || len(results) != 1 {
			t.Errorf("results %v, error %v", results, err)
		}
	})
}

func TestCloseEndsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &grains{answer: func(ctx context.Context, id string, _ int, _ *actor.Command) (any, error) {
			if id == "slow" {
				<-ctx.Done()
			}
			return nil, errors.New("nobody is there")
		}}
		c := courier.New(g, courier.Options{Workers: 1})
		w := c.Watch("cart", "a")
		c.Send("cart", "a", []actor.Errand{errand("1", "slow"), errand("2", "b"), errand("3", "slow")})
		synctest.Wait()
		c.Close()
		if _, err := w.Wait(t.Context()); !errors.Is(err, courier.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		w.Close()
		c.Send("cart", "a", []actor.Errand{errand("4", "b")})
		c.Close()
	})
}
