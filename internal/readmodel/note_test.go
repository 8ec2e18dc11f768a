package readmodel

import (
	"fmt"
	"math/rand"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/grain"

	"pgregory.net/rapid"
)

// still ends the model's goroutine, so that rounds are the test's, and returns the log whose feed it can break.
func (s *shop) still() *unreadable {
	s.t.Helper()
	opts, log := s.options(), &unreadable{Log: s.log}
	opts.Store = log
	s.model = Open(s.path, opts)
	s.built()
	s.model.quit()
	s.model.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = 0
	return log
}

// round brings the rows to the log's end, in one round, and compares them with the truth.
func (s *shop) round() {
	s.t.Helper()
	if err := s.model.round(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if at, head := s.model.Position(), s.log.Head(); at != head {
		s.t.Fatalf("the rows know position %d, the log ends at %d", at, head)
	}
	s.want(Query{Limit: 1000})
}

func TestFeedIsNotReadWhenAllWasToldOf(t *testing.T) {
	s := newShop(t)
	log := s.still()
	log.broken.Store(true)
	plus := func(c *grain.Summary) { c.Total++ }
	for i := range batchCarts + 10 { // more than are written at once
		s.change(fmt.Sprint("c", i), true, plus)
	}
	s.round()

	var late []uint64
	s.told = func(position uint64) { late = append(late, position) }
	for i := range 100 {
		s.change(fmt.Sprint("c", i%7), true, plus)
	}
	voucher, err := eventlog.ParseStreamID(eventlog.KindVoucher, "v")
	if err != nil {
		t.Fatal(err)
	}
	act := logtest.Activate(t, s.log, voucher)
	defer act.Release()
	late = append(late, logtest.MustAppend(t, act, 0, logtest.Events(1)...).Position) // there is nothing else to tell of it
	for _, i := range rand.Perm(len(late)) {
		s.model.Told(late[i], 1)
		s.model.Told(late[i], 1)
	}
	s.round()
	if s.reads > 0 {
		t.Errorf("%d carts were read", s.reads)
	}
}

func TestFeedIsReadWhenNotAllWasToldOf(t *testing.T) {
	plus := func(c *grain.Summary) { c.Total++ }
	for name, change := range map[string]func(s *shop){
		"nothing":       func(s *shop) { s.change("c2", false, plus) },
		"all but one":   func(s *shop) { s.change("c1", true, plus); s.change("c2", false, plus); s.change("c3", true, plus) },
		"all but where": func(s *shop) { s.told = func(uint64) {}; s.change("c1", true, plus) },
		"too much": func(s *shop) {
			for i := range maxNotes {
				s.model.Note(&grain.Summary{ID: fmt.Sprint("other", i), Version: 1})
			}
			s.change("c1", true, plus)
		},
		"what a round has lost that failed": func(s *shop) {
			s.change("c1", true, plus)
			if err := s.model.db.Close(); err != nil {
				s.t.Fatal(err)
			}
			if s.model.round(s.t.Context()) == nil {
				s.t.Error("a round without a database has not failed")
			}
			db, err := openDB(s.path)
			if err != nil {
				s.t.Fatal(err)
			}
			s.model.db = db
			s.change("c3", true, plus)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			for i := range 4 {
				s.change(fmt.Sprint("c", i), false, plus)
			}
			log := s.still()
			s.change("c0", true, plus)
			s.round()
			log.read.Store(false)
			change(s)
			for s.model.Position() < s.log.Head() {
				if err := s.model.round(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s.round()
			if !log.read.Load() {
				t.Error("the feed was not read")
			}
			s.told = nil
			log.broken.Store(true)
			s.change("c2", true, plus) // from here on it is not needed again
			s.round()
		})
	}
}

// TestWhatWasToldIsKnownAsFarAsNothingIsMissing tells of events in any order.
func TestWhatWasToldIsKnownAsFarAsNothingIsMissing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []span
		for after := uint64(0); len(all) < 40; {
			last := after + rapid.Uint64Range(1, 3).Draw(rt, "events")
			all = append(all, span{after, last})
			after = last
		}
		var n notes
		told := make(map[span]bool)
		want := uint64(0)
		for _, sp := range rapid.SliceOf(rapid.SampledFrom(all)).Draw(rt, "told") {
			n.told(sp.after, sp.last)
			told[sp] = true
			want = 0
			for i := 0; i < len(all) && told[all[i]]; i++ {
				want = all[i].last
			}
			if n.head != want {
				rt.Fatalf("known up to %d, want %d; behind it %v", n.head, want, n.behind)
			}
		}
		if len(n.behind) > len(all)/2 {
			rt.Errorf("spans that touch are not one: %v", n.behind)
		}
		n.told(0, all[len(all)-1].last) // as the feed has it
		if n.head != all[len(all)-1].last || len(n.behind) > 0 {
			rt.Errorf("known up to %d, behind it %v", n.head, n.behind)
		}
	})
}

func TestWhatIsToldTooFarOutOfOrderIsForgotten(t *testing.T) {
	var n notes
	for i := range uint64(10 * maxSpans) {
		n.told(2*i+1, 2*i+2)
	}
	if n.head != 0 || len(n.behind) > maxSpans {
		t.Errorf("known up to %d, with %d spans behind it", n.head, len(n.behind))
	}
	n.told(0, 1)
	n.told(2, 3)
	if n.head != 4 {
		t.Errorf("known up to %d, want 4", n.head)
	}
}
