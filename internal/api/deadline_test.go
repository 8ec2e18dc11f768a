package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestHasItsTimeAndLittleMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadlines(10 * time.Second)
		distinct := map[*deadline]bool{}
		for range 1000 {
			due := d.next(time.Now())
			distinct[due] = true
			if left := time.Until(due.at); left < 10*time.Second || left > 10*time.Second+10*time.Second/100 {
				t.Fatalf("%v are left to a request that has just come, want 10 s and at most a hundredth more", left)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(distinct); n > 150 {
			t.Errorf("%d deadlines in 10 s, want no more than one for each tick", n)
		}
	})
}

func TestExchangeIsAContextThatEndsAtItsDeadlineOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		client, hangUp := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		x := &exchange{client: client, due: newDeadlines(time.Second).next(time.Now())}
		child, cancel := context.WithTimeout(x, time.Hour)
		defer cancel()
		hangUp(errors.New("the client has gone"))
		synctest.Wait()
		if x.Err() != nil || child.Err() != nil || x.Value(key{}) != "value" || child.Value(exchangeKey{}) != x {
			t.Errorf("errors %v and %v, values %v and %v; want none, the connection's and the exchange", x.Err(), child.Err(), x.Value(key{}), child.Value(exchangeKey{}))
		}
		at, ok := x.Deadline()
		time.Sleep(time.Until(at))
		synctest.Wait()
		for name, ctx := range map[string]context.Context{"exchange": x, "child": child} {
			select {
			case <-ctx.Done():
			default:
				t.Errorf("%s: not done at its deadline", name)
			}
			if !ok || ctx.Err() != context.DeadlineExceeded || context.Cause(ctx) != context.DeadlineExceeded {
				t.Errorf("%s: error %v, cause %v; want the deadline's", name, ctx.Err(), context.Cause(ctx))
			}
		}
	})
}
