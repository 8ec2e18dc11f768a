package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"
)

func TestOnlyTheFirstAnswerCounts(t *testing.T) {
	s := NewSingle(slog.New(slog.DiscardHandler))
	defer s.system.Shutdown()
	r, system := &s.replies, s.system
	c, other := wait(s, 3), wait(s, 3)
	for _, message := range []string{"first", "second", "third"} {
		system.Root.Send(&c.self, message) // must not block, though nobody reads
	}
	if got := <-c.answer; got != "first" {
		t.Errorf("got %v, want the first answer", got)
	}
	r.answered(c)
	system.Root.Send(&c.self, "late")
	if len(c.answer) != 0 || len(other.answer) != 0 {
		t.Errorf("%d and %d more answers, want none", len(c.answer), len(other.answer))
	}
	system.Root.Send(&other.self, "there")
	if got, ok := r.abandon(other); got != "there" || !ok {
		t.Errorf("got %v, %t, want the answer that had come when the call was given up", got, ok)
	}
	if got, ok := r.abandon(wait(s, 3)); ok {
		t.Errorf("got %v, want no answer", got)
	}
	for i := range s.tables {
		if n := len(s.tables[i].calls); n != 0 {
			t.Errorf("%d calls are left, want none", n)
		}
	}
}

// wait returns a call that waits in a table.
func wait(s *Single, table uint32) *call {
	c := s.replies.open(table, "request")
	t := &s.tables[table]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[&c.self] = c
	return c
}

// Channels are used again: an answer to a call that has ended, or a second one, must not come out of one that is another
// call's by now.
func TestAnswersToEndedCallsReachNobody(t *testing.T) {
	s := NewSingle(slog.New(slog.DiscardHandler))
	defer s.system.Shutdown()
	r, system := &s.replies, s.system
	const callers, calls = 8, 2000
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range calls {
				c := wait(s, uint32(i%2))
				wg.Go(func() {
					system.Root.Send(&c.self, i*callers+caller)
					system.Root.Send(&c.self, "late")
				})
				if i%3 == 0 {
					if got, ok := r.abandon(c); ok && got != i*callers+caller {
						t.Errorf("got %v, want %d or nothing", got, i*callers+caller)
					}
					continue
				}
				if got := <-c.answer; got != i*callers+caller {
					t.Errorf("got %v, want %d", got, i*callers+caller)
				}
				r.answered(c)
			}
		})
	}
	wg.Wait()
}

func TestAskThatReachesNobodyLeavesNoCall(t *testing.T) {
	s := NewSingle(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(ctx, "kind", "id", "request"); !errors.Is(err, ErrShutdown) {
		t.Errorf("got %v, want ErrShutdown", err)
	}
	for i := range s.tables {
		if n := len(s.tables[i].calls); n != 0 {
			t.Errorf("%d calls wait for ever", n)
		}
	}
}
