package readmodel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/eventlog/memlog"
	"cartd/internal/grain"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// shop is a log whose carts are what a test says they are: the truth that a model is held against.
type shop struct {
	t     testing.TB
	log   *memlog.Log
	path  string
	model *Model

	mu    sync.Mutex // guards the following
	carts map[string]grain.Summary
	told  func(position uint64) // as the model is told of an event; Model.Told if it is nil
	reads int
	block chan struct{} // if not nil, reads wait until it is closed
}

var epoch = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{t: t, log: memlog.New(), path: filepath.Join(t.TempDir(), "readmodel.db"), carts: make(map[string]grain.Summary)}
	t.Cleanup(func() {
		s.close()
		s.log.Close()
	})
	return s
}

func (s *shop) options() Options {
	return Options{Store: s.log, Every: time.Millisecond, Read: func(ctx context.Context, id eventlog.StreamID) (grain.Summary, error) {
		s.mu.Lock()
		block := s.block
		s.mu.Unlock()
		if block != nil {
			select {
			case <-block:
			case <-ctx.Done():
				return grain.Summary{}, ctx.Err()
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reads++
		return s.carts[id.Name()], nil
	}}
}

func (s *shop) open() {
	s.t.Helper()
	s.model = Open(s.path, s.options())
}

func (s *shop) close() {
	s.t.Helper()
	if s.model != nil {
		if err := s.model.Close(); err != nil {
			s.t.Error(err)
		}
		s.model = nil
	}
}

// change makes a cart's next version, what set makes of it, and tells the model if told is set.
func (s *shop) change(id string, told bool, set func(*grain.Summary)) {
	s.t.Helper()
	act := logtest.Activate(s.t, s.log, logtest.Stream(s.t, id))
	defer act.Release()
	s.mu.Lock()
	c := s.carts[id]
	s.mu.Unlock()
	if c.Version == 0 {
		c = grain.Summary{ID: id, Status: grain.StatusOpen, Currency: "GBP", Created: epoch, Updated: epoch}
	}
	set(&c)
	c.Version++
	s.mu.Lock()
	s.carts[id] = c // a little early: who sees the event in the feed may read it at once
	s.mu.Unlock()
	decided := make(chan error, 1)
	act.Append(eventlog.Commit{Want: c.Version - 1, Events: logtest.Events(1)}, func(receipt eventlog.Receipt, err error) {
		if told {
			s.model.Note(&c)
			if s.told != nil {
				s.told(receipt.Position)
			} else {
				s.model.Told(receipt.Position, 1)
			}
		}
		decided <- err
	})
	if err := <-decided; err != nil {
		s.t.Fatal(err)
	}
}

// built waits until the model is built.
func (s *shop) built() {
	s.t.Helper()
	for {
		changed := s.model.rows.Changed(math.MaxUint64)
		if s.model.Ready() {
			return
		}
		select {
		case <-changed:
		case <-s.t.Context().Done():
			s.t.Fatal("it is never built")
		}
	}
}

// all returns what the pages of a query have together.
func (s *shop) all(q Query) (carts []grain.Summary) {
	s.t.Helper()
	for {
		page, err := s.model.List(s.t.Context(), q)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(page.Carts) > q.Limit {
			s.t.Fatalf("a page has %d carts, the limit is %d", len(page.Carts), q.Limit)
		}
		carts = append(carts, page.Carts...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return carts
		}
	}
}

// want compares a query with the truth.
func (s *shop) want(q Query) {
	s.t.Helper()
	got := s.all(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	var want []grain.Summary
	for _, c := range s.carts {
		if q.selects(&c) {
			want = append(want, c)
		}
	}
	slices.SortFunc(want, func(a, b grain.Summary) int { return strings.Compare(a.ID, b.ID) })
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Fatalf("%+v differs (-want +got):\n%s", q, diff)
	}
}

// TestListIsWhatTheLogSays: whatever changes, told or not, through restarts and kills, lists and indexes are those of the
// log as it was when they were asked for.
func TestListIsWhatTheLogSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newShop(t)
		var late []uint64
		var isLate bool
		s.told = func(position uint64) {
			if isLate {
				late = append(late, position)
			} else {
				s.model.Told(position, 1)
			}
		}
		s.open()
		s.built()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 13).Draw(rt, "step") {
			case 13:
				for _, position := range rapid.Permutation(late).Draw(rt, "positions") {
					s.model.Told(position, 1) // of some twice
				}
				late = late[len(late)/2:]
			case 0:
				s.close()
				s.open()
				late = nil
			case 1: // killed: the file as it is now, and another process
				var b bytes.Buffer
				if err := s.model.db.View(func(tx *bbolt.Tx) error {
					_, err := tx.WriteTo(&b)
					return err
				}); err != nil {
					t.Fatal(err)
				}
				s.close()
				if err := os.WriteFile(s.path, b.Bytes(), 0o640); err != nil {
					t.Fatal(err)
				}
				s.open()
				late = nil
			case 2, 3:
				s.built()
				s.want(query(rt))
			default:
				isLate = rapid.Bool().Draw(rt, "late")
				s.change(fmt.Sprintf("c%d", rapid.IntRange(0, 9).Draw(rt, "cart")), rapid.Bool().Draw(rt, "told"), func(c *grain.Summary) {
					c.Status = rapid.SampledFrom([]grain.Status{grain.StatusOpen, grain.StatusOpen, grain.StatusOrdered, grain.StatusDeleted, grain.StatusExpired, grain.StatusCheckout}).Draw(rt, "status")
					c.CheckoutUntil = time.Time{}
					if c.Status == grain.StatusCheckout {
						c.CheckoutUntil = epoch.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "until")) * time.Second)
					}
					c.Unsettled, c.Foreign = rapid.IntRange(0, 3).Draw(rt, "unsettled") == 0, rapid.IntRange(0, 3).Draw(rt, "foreign") == 0
					c.UserID = rapid.SampledFrom([]string{"", "ann", "ann b"}).Draw(rt, "user")
					c.Lines = rapid.IntRange(0, 2).Draw(rt, "lines")
					c.Total = rapid.Int64().Draw(rt, "total")
					c.Updated = c.Updated.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "later")) * time.Second)
				})
			}
		}
		s.built()
		s.want(Query{Limit: 1000})
		s.wantIdle(rt)
		s.close()
	})
}

func query(rt *rapid.T) Query {
	return Query{Limit: rapid.IntRange(1, 4).Draw(rt, "limit"),
		Status:        rapid.SampledFrom([]grain.Status{"", "", grain.StatusOpen, grain.StatusDeleted, grain.StatusExpired}).Draw(rt, "status"),
		UserID:        rapid.SampledFrom([]string{"", "", "ann", "nobody"}).Draw(rt, "user"),
		UpdatedBefore: rapid.SampledFrom([]time.Time{{}, {}, epoch.Add(5 * time.Second)}).Draw(rt, "before")}
}

// wantIdle compares the carts that rest with the truth, in their order.
func (s *shop) wantIdle(rt *rapid.T) {
	s.t.Helper()
	before := epoch.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "before")) * time.Second)
	for _, status := range []grain.Status{grain.StatusOpen, grain.StatusOrdered, grain.StatusCheckout} {
		for _, class := range []Class{Empty, Guest, User, Unsettled, Kept} {
			got := make(map[string]bool)
			last := time.Time{}
			for c, err := range s.model.Idle(s.t.Context(), status, class, before) {
				if err != nil {
					s.t.Fatal(err)
				}
				if since(&c).Before(last) || got[c.ID] {
					s.t.Fatalf("%s of %v comes after %v", c.ID, since(&c), last)
				}
				last, got[c.ID] = since(&c), true
			}
			for id, c := range s.carts {
				if want := c.Status == status && ClassOf(&c) == class && since(&c).Before(before); want != got[id] {
					s.t.Fatalf("idle before %v, %s %d: %s is there: %t, want %t", before, status, class, id, got[id], want)
				}
			}
		}
	}
}

// since is from when on a cart is idle.
func since(c *grain.Summary) time.Time {
	if c.Status == grain.StatusCheckout {
		return c.CheckoutUntil
	}
	return c.Updated
}

func TestDroppedCartsAreNotListedUntilTheyChange(t *testing.T) {
	s := newShop(t)
	s.open()
	for _, id := range []string{"c1", "c2", "c3"} {
		s.change(id, true, func(c *grain.Summary) { c.Status, c.UserID = grain.StatusExpired, "ann" })
	}
	s.built()
	dropped := s.all(Query{Limit: 9, Status: grain.StatusExpired})[:2]
	s.change("c2", true, func(c *grain.Summary) { c.Total++ })
	s.built()
	for range 2 {
		if err := s.model.Drop(dropped); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []Query{{Limit: 9, Status: grain.StatusExpired}, {Limit: 9, Status: grain.StatusExpired, UserID: "ann"}} {
		if got := s.all(q); len(got) != 2 || got[0].ID != "c2" || got[1].ID != "c3" {
			t.Errorf("%+v: got %+v, want c2, which has changed since, and c3", q, got)
		}
	}
	for c, err := range s.model.Idle(t.Context(), grain.StatusExpired, ClassOf(&dropped[0]), epoch.AddDate(1, 0, 0)) {
		if err != nil || c.ID == "c1" {
			t.Errorf("idle: %+v, %v; want no c1", c, err)
		}
	}
}

func TestCartsThatWereToldOfAreNotRead(t *testing.T) {
	s := newShop(t)
	s.open()
	s.built()
	for i := range 100 {
		s.change(fmt.Sprintf("c%d", i%10), true, func(c *grain.Summary) { c.Total = int64(i) })
	}
	s.want(Query{Limit: 1000})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads > 10 { // one may be told of at the moment when its event is seen
		t.Errorf("%d carts were read", s.reads)
	}
}

func TestDeletedSpoiledAndForeignDatabasesAreBuiltAnew(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s *shop){
		"deleted": func(t *testing.T, s *shop) {
			if err := os.Remove(s.path); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, s *shop) {
			if err := os.Truncate(s.path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"no database": func(t *testing.T, s *shop) {
			if err := os.WriteFile(s.path, []byte("a note of somebody"), 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"of another log": func(t *testing.T, s *shop) {
			s.log = memlog.New()
			for id, c := range s.carts {
				c.Version = 0
				s.carts[id] = c
				s.change(id, false, func(c *grain.Summary) { c.Total++ })
			}
		},
		"cut off": func(t *testing.T, s *shop) {
			if err := os.Truncate(s.path, 8<<10); err != nil {
				t.Fatal(err)
			}
		},
		"half built": func(t *testing.T, s *shop) {
			db, err := freshDB(s.path)
			if err != nil {
				t.Fatal(err)
			}
			rows := []*grain.Summary{{ID: "ghost", Status: grain.StatusOpen, Version: 1}}
			if err := errors.Join(write(db, rows, nil), db.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"ahead of the log": func(t *testing.T, s *shop) {
			db, err := openDB(s.path)
			if err != nil {
				t.Fatal(err)
			}
			rows := []*grain.Summary{{ID: "ghost", Status: grain.StatusOpen, Version: 1}}
			st := state{schema, s.log.Incarnation().String(), 3, 1000}
			if err := errors.Join(write(db, rows, &st), db.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"too far behind": func(t *testing.T, s *shop) {
			s.change("c3", false, func(c *grain.Summary) { c.Total = 77 })
			s.change("c4", false, func(c *grain.Summary) { c.Total = 78 })
			s.log.Compact(s.log.Head())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.open()
			s.built()
			for i := range 30 {
				s.change(fmt.Sprintf("c%d", i%10), true, func(c *grain.Summary) { c.Total = int64(i) })
			}
			s.close()
			spoil(t, s)
			s.open()
			s.built()
			s.eventually(Query{Limit: 1000})
		})
	}
}

// eventually is want after a rebuild that may not have begun.
func (s *shop) eventually(q Query) {
	s.t.Helper()
	for {
		err := s.model.Fresh(s.t.Context())
		if err == nil {
			break
		}
		s.built()
	}
	s.want(q)
}

func TestListWhileBuildingSaysSo(t *testing.T) {
	s := newShop(t)
	s.change("c1", false, func(*grain.Summary) {})
	s.block = make(chan struct{})
	s.open()
	if _, err := s.model.List(t.Context(), Query{Limit: 10}); !errors.Is(err, ErrBuilding) {
		t.Errorf("got %v, want ErrBuilding", err)
	}
	for _, err := range s.model.Idle(t.Context(), grain.StatusOpen, Empty, epoch.Add(time.Hour)) {
		if !errors.Is(err, ErrBuilding) {
			t.Errorf("idle: got %v, want ErrBuilding", err)
		}
	}
	close(s.block)
	s.built()
	s.want(Query{Limit: 10})
}

// While the disk is full nothing is written, and the rows there are can be listed.
func TestNothingIsWrittenWhileTheDiskIsLow(t *testing.T) {
	s := newShop(t)
	s.open()
	s.built()
	s.change("c1", true, func(*grain.Summary) {})
	s.want(Query{Limit: 10})
	s.close()
	s.change("c2", false, func(*grain.Summary) {})
	s.log.Refuse(eventlog.ErrLowSpace)
	before, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.open()
	if got := s.all(Query{Limit: 10}); len(got) != 1 || got[0].ID != "c1" {
		t.Errorf("got %+v, want c1 alone", got)
	}
	s.close()
	after, err := os.ReadFile(s.path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written to, %v", err)
	}
	s.log.Refuse(nil)
	s.open()
	s.want(Query{Limit: 10})
}

// unreadable is a log whose feed fails while broken is set.
type unreadable struct {
	*memlog.Log
	broken, read atomic.Bool
}

func (u *unreadable) ReadAll(ctx context.Context, after uint64) iter.Seq2[eventlog.Event, error] {
	u.read.Store(true)
	if !u.broken.Load() {
		return u.Log.ReadAll(ctx, after)
	}
	return func(yield func(eventlog.Event, error) bool) { yield(eventlog.Event{}, errors.New("disk has gone")) }
}

func TestListThatCannotBeBroughtUpToDateSaysHowFarBehindItIs(t *testing.T) {
	s := newShop(t)
	opts, log := s.options(), &unreadable{Log: s.log}
	opts.Store, opts.Metrics = log, NewMetrics(prometheus.NewRegistry())
	s.model = Open(s.path, opts)
	s.built()
	s.change("c1", true, func(*grain.Summary) {})
	s.want(Query{Limit: 10})
	if lag := testutil.ToFloat64(opts.Metrics.Lag); lag != 0 {
		t.Errorf("lag of a list that has everything is %v, want 0", lag)
	}
	log.broken.Store(true)
	s.change("c1", false, func(*grain.Summary) {})
	for deadline := time.After(time.Minute); testutil.ToFloat64(opts.Metrics.Lag) == 0; {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatal("the list lacks an event, and its lag is 0")
		}
	}
}

// A cart that matches all the time is on one page, though others come, go and change.
func TestPagesAreStable(t *testing.T) {
	s := newShop(t)
	s.open()
	s.built()
	for i := range 50 {
		s.change(fmt.Sprintf("steady%02d", i), true, func(*grain.Summary) {})
		s.change(fmt.Sprintf("cart%02d", i), true, func(*grain.Summary) {})
	}
	seen := make(map[string]int)
	q := Query{Limit: 7, Status: grain.StatusOpen}
	for n := 0; ; n++ {
		page, err := s.model.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Carts {
			seen[c.ID]++
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
		for i := range 10 {
			s.change(fmt.Sprintf("steady%02d", (n*10+i)%50), true, func(c *grain.Summary) { c.Updated = c.Updated.Add(time.Hour) })
			s.change(fmt.Sprintf("cart%02d", (n*10+i)%50), true, func(c *grain.Summary) { c.Status = grain.StatusOrdered })
			s.change(fmt.Sprintf("new%d-%d", n, i), true, func(*grain.Summary) {})
		}
		if n > 100 {
			break // new ones come behind the others for ever
		}
	}
	for i := range 50 {
		if n := seen[fmt.Sprintf("steady%02d", i)]; n != 1 {
			t.Errorf("steady%02d was listed %d times", i, n)
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s was listed %d times", id, n)
		}
	}
}

func TestCursorsOfStrangersAreRefused(t *testing.T) {
	s := newShop(t)
	s.open()
	s.built()
	for _, c := range []string{"c1", "!", "MTo", "MTovLi4v", cursor("c1") + "=", cursor(""), cursor("a b"), cursor("c1")[1:]} {
		if _, err := s.model.List(t.Context(), Query{Limit: 1, Cursor: c}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: got %v, want ErrCursor", c, err)
		}
	}
}

// A database that cannot be made keeps nothing else from working.
func TestDatabaseThatCannotBeMadeIsNoList(t *testing.T) {
	s := newShop(t)
	s.path = filepath.Join(s.path, "in a directory that is not there")
	s.open()
	s.change("c1", true, func(*grain.Summary) {})
	if _, err := s.model.List(t.Context(), Query{Limit: 1}); !errors.Is(err, ErrBuilding) {
		t.Errorf("got %v, want ErrBuilding", err)
	}
}

func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, rowHead+6))
	f.Add(encodeRow(nil, &grain.Summary{ID: "c", Status: grain.StatusOpen, UserID: "ann", Currency: "GBP", Total: -1, Lines: 3, Version: 9, Created: epoch, Updated: epoch}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeRow("c", b)
		if err != nil {
			if !errors.Is(err, errRow) {
				t.Errorf("got %v, want errRow", err)
			}
			return
		}
		if again := encodeRow(nil, &s); string(again) != string(b) {
			t.Errorf("%x is decoded to %+v, which is encoded as %x", b, s, again)
		}
	})
}
