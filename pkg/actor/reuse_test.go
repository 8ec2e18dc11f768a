package actor_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"cartd/pkg/actor"
)

func TestReleasedViewsNeverShowInAnotherReply(t *testing.T) {
	h := newHost(t, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprint("sum", i)
			for n := range 200 {
				r := h.ask(t, id, required(&add{i}))
				if got, want := string(r.View), fmt.Sprint((n+1)*i); got != want {
					t.Errorf("%s is %s after %d adds of %d, want %s", id, got, n+1, i, want)
					return
				}
				r.Release()
				if r.View != nil {
					t.Errorf("a released view is %q, want none", r.View)
				}
			}
		})
	}
	wg.Wait()
}

func TestViewThatSeveralGotIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		h.ask(t, "a", required(&add{1}))
		h.log.hold()
		h.send("a", required(&add{2}))
		first, second := h.send("a", &actor.Query{}), h.send("a", &actor.Query{})
		h.log.decide(nil)
		got := make([]*actor.Reply, 0, 2)
		for _, f := range []interface{ Result() (any, error) }{first, second} {
			result, err := f.Result()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, result.(*actor.Reply))
		}
		got[0].Release()
		for range 10 {
			h.ask(t, "b", required(&add{7}))
		}
		for _, r := range got {
			if string(r.View) != "3" {
				t.Errorf("view is %q, want 3", r.View)
			}
		}
	})
}
