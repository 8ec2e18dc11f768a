package live_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/eventlog/memlog"
	"cartd/internal/live"
)

// log is a store with some streams that are written to.
type log struct {
	*memlog.Log
	t    *testing.T
	acts map[string]eventlog.Activation
	at   map[string]uint64
}

func newLog(t *testing.T) *log {
	return &log{memlog.New(), t, map[string]eventlog.Activation{}, map[string]uint64{}}
}

// add appends n events to a stream, in commits of their own.
func (l *log) add(name string, n int) {
	l.t.Helper()
	if l.acts[name] == nil {
		l.acts[name] = logtest.Activate(l.t, l.Log, logtest.Stream(l.t, name))
	}
	for range n {
		l.at[name] = logtest.MustAppend(l.t, l.acts[name], l.at[name], logtest.Event(int(l.at[name]))).Version
	}
}

func watch(t *testing.T, h *live.Hub, name string) *live.Watch {
	t.Helper()
	w, err := h.Watch(logtest.Stream(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// want wants the events from first to last, and nothing else, to have been put down.
func want(t *testing.T, w *live.Watch, first, last uint64) {
	t.Helper()
	events, behind := w.Take()
	if behind || uint64(len(events)) != last-first+1 {
		t.Fatalf("got %d events, behind %v; want %d to %d", len(events), behind, first, last)
	}
	for i, ev := range events {
		if ev.Version != first+uint64(i) || len(ev.Payload) == 0 {
			t.Errorf("event %d is version %d of %s with %q", i, ev.Version, ev.Stream, ev.Payload)
		}
	}
}

func TestWatchIsToldOfItsStreamAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		l.add("a", 3)
		h := live.New(l, live.Options{})
		defer h.Close()
		a, twin, b := watch(t, h, "a"), watch(t, h, "a"), watch(t, h, "b")
		l.add("a", 1)
		l.add("b", 2)
		l.add("c", 5)
		time.Sleep(time.Second)
		<-a.News()
		want(t, a, 4, 4)
		want(t, twin, 4, 4)
		want(t, b, 1, 2)
		select {
		case <-a.News():
			t.Error("a is told of other streams")
		default:
		}
		a.Close()
		b.Close()
		l.add("a", 1)
		time.Sleep(time.Second)
		want(t, twin, 5, 5)
		twin.Close() // the goroutine ends
		synctest.Wait()
		l.add("a", 3)
		again := watch(t, h, "a") // and another one begins at the head
		l.add("a", 1)
		time.Sleep(time.Second)
		want(t, again, 9, 9)
	})
}

func TestWhoTakesNothingIsBehindAndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		h := live.New(l, live.Options{})
		defer h.Close()
		slow, quick := watch(t, h, "a"), watch(t, h, "a")
		for i := range 10 {
			l.add("a", 10)
			time.Sleep(time.Second)
			want(t, quick, uint64(10*i+1), uint64(10*i+10))
		}
		if events, behind := slow.Take(); !behind || len(events) > 0 {
			t.Errorf("got %d events, behind %v; want none and true", len(events), behind)
		}
		l.add("a", 1)
		time.Sleep(time.Second)
		want(t, slow, 101, 101)
	})
}

// What waits for all together is bounded too.
func TestWhatWaitsIsBoundedForAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		h := live.New(l, live.Options{})
		defer h.Close()
		var all []*live.Watch
		for range 6000 {
			all = append(all, watch(t, h, "a"))
		}
		l.add("a", 60)
		time.Sleep(time.Second)
		behind, events := 0, 0
		for _, w := range all {
			evs, b := w.Take()
			if events += len(evs); b {
				behind++
			}
		}
		if behind == 0 || behind == len(all) || events == 0 {
			t.Errorf("%d of %d are behind, the others have %d events; want some", behind, len(all), events)
		}
		l.add("a", 1)
		time.Sleep(time.Second)
		for _, w := range all {
			want(t, w, 61, 61)
			w.Close()
		}
	})
}

// TestWatchThenReadMissesNothing watches while events come, reads the log, and goes on with what was put down.
func TestWatchThenReadMissesNothing(t *testing.T) {
	l := newLog(t)
	h := live.New(l, live.Options{Every: time.Nanosecond})
	defer h.Close()
	const n = 500
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			done <- func() error {
				for last := uint64(0); last < n; {
					w, err := h.Watch(logtest.Stream(t, "a"))
					if err != nil {
						return err
					}
					for behind, left := true, 5; left > 0 && last < n; left-- {
						if behind {
							for ev, err := range l.Read(t.Context(), logtest.Stream(t, "a")) {
								if err != nil {
									return err
								}
								if ev.Version > last+1 {
									return fmt.Errorf("read %d behind %d", ev.Version, last)
								}
								last = max(last, ev.Version)
							}
						}
						if last == n {
							break
						}
						<-w.News()
						var events []*eventlog.Event
						events, behind = w.Take()
						for _, ev := range events {
							if ev.Version > last+1 {
								return fmt.Errorf("told of %d behind %d", ev.Version, last)
							}
							last = max(last, ev.Version)
						}
					}
					w.Close()
				}
				return nil
			}()
		}()
	}
	l.add("a", n)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestHubEndsWithTheStoreAndWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		h := live.New(l, live.Options{})
		watch(t, h, "a")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		<-h.Context().Done()
		if _, err := h.Watch(logtest.Stream(t, "a")); !errors.Is(err, live.ErrClosed) {
			t.Errorf("watching a closed hub: %v, want ErrClosed", err)
		}
		h.Close()
		h.Close()
	})
}
