package oplog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// fakeStore keeps operations, and fails as long as it is told to.
type fakeStore struct {
	mu      sync.Mutex // guards the following
	ops     []Operation
	batches []int
	fails   int  // how often it still fails
	half    bool // whether half of a batch is stored when it fails
	hang    bool
	stuck   chan struct{} // if not nil, Append returns when it is closed, whatever its context says
	closed  bool
}

var errDown = errors.New("the store is down")

func (f *fakeStore) Append(ctx context.Context, ops []Operation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck != nil {
		f.mu.Unlock()
		<-f.stuck
		f.mu.Lock()
	}
	if f.hang {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return ctx.Err()
	}
	store := ops
	if f.fails > 0 {
		store = nil
		if f.half {
			store = ops[:len(ops)/2]
		}
	}
	for _, o := range store {
		if !slices.ContainsFunc(f.ops, func(p Operation) bool { return p.ID == o.ID }) {
			f.ops = append(f.ops, o)
		}
	}
	if f.fails > 0 {
		f.fails--
		return errDown
	}
	f.batches = append(f.batches, len(ops))
	return nil
}

func (f *fakeStore) Query(_ context.Context, q Query) (Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var page Page
	for i := range f.ops {
		if q.Selects(&f.ops[i]) {
			page.Operations = append(page.Operations, f.ops[i])
		}
	}
	if q.Tail {
		page.Operations = page.Operations[max(0, len(page.Operations)-q.Limit):]
		return page, nil
	}
	page.Next = max(q.After, q.Before-min(q.Before, 1))
	if len(page.Operations) > q.Limit {
		page.Operations = page.Operations[:q.Limit]
		page.Next = page.Operations[q.Limit-1].Seq
	}
	return page, nil
}

func (f *fakeStore) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

func (f *fakeStore) stored() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return seqs(f.ops)
}

// largest returns how many were given to it at once.
func (f *fakeStore) largest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Max(f.batches)
}

func seqs(ops []Operation) []uint64 {
	out := make([]uint64, len(ops))
	for i, o := range ops {
		out[i] = o.Seq
	}
	return out
}

// from returns the numbers first to last.
func from(first, last uint64) []uint64 {
	out := []uint64{}
	for n := first; n <= last; n++ {
		out = append(out, n)
	}
	return out
}

func open(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func (l *Log) mustRecord(t testing.TB, n int) {
	t.Helper()
	for range n {
		if err := l.Record(Operation{Time: noon, Source: "backend", Kind: "addItems", Cart: "c", OK: true, Took: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestOperationsAreStoredInBatchesOrEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		l := open(t, Options{Store: store})
		defer mustClose(t, l)
		l.mustRecord(t, 1)
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if got := store.stored(); len(got) != 0 {
			t.Errorf("%v stored before a second was over", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := store.stored(); !slices.Equal(got, from(1, 1)) {
			t.Errorf("stored %v after a second, want 1", got)
		}
		l.mustRecord(t, batchSize)
		synctest.Wait()
		if got := store.stored(); !slices.Equal(got, from(1, 1+batchSize)) {
			t.Errorf("stored %v of %d, all but the first at once, before any time has passed", got, 1+batchSize)
		}
		l.mustRecord(t, 3*batchSize+8)
		synctest.Wait()
		if got := store.stored(); len(got) != 1+4*batchSize || store.largest() > batchSize {
			t.Errorf("stored %d, batches of up to %d; want all but 8, which are no batch", len(got), store.largest())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := store.stored(); !slices.Equal(got, from(1, 9+4*batchSize)) {
			t.Errorf("stored %v after a second, want all", got)
		}
	})
}

func TestStoreThatFailsAndRecoversLosesNothingBelowTheCap(t *testing.T) {
	for _, half := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &fakeStore{fails: 5, half: half}
			var heard []string
			l := open(t, Options{Store: store, Failed: func(err error, waiting, dropped int) {
				heard = append(heard, fmt.Sprint(err, waiting, dropped))
			}})
			l.mustRecord(t, batchSize)
			synctest.Wait()
			l.mustRecord(t, maxWait-batchSize)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := store.stored(); !slices.Equal(got, from(1, maxWait)) {
				t.Errorf("half %v: stored %d operations in some order, want 1 to %d", half, len(got), maxWait)
			}
			if len(heard) != 5 || !strings.HasPrefix(heard[0], fmt.Sprint(errDown, batchSize, 0)) {
				t.Errorf("the hook heard %q", heard)
			}
			mustClose(t, l)
			if n := testutil.ToFloat64(l.opts.Metrics.dropped); n != 0 {
				t.Errorf("%v counted as dropped", n)
			}
		})
	}
}

func TestAboveTheCapTheNewestAreKeptAndTheDroppedCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = maxWait + 1000
		store := &fakeStore{fails: 3}
		heard := -1
		l := open(t, Options{Store: store, Failed: func(_ error, _, dropped int) { heard = dropped }})
		for range all / 100 {
			l.mustRecord(t, 100) // some while a batch is being written and fails
			synctest.Wait()
		}
		l.mustRecord(t, all%100)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := store.stored()
		dropped := testutil.ToFloat64(l.opts.Metrics.dropped)
		if want := from(all-uint64(len(got))+1, all); !slices.Equal(got, want) || len(got) < maxWait {
			t.Errorf("stored %d operations from %d to %d, want the newest, %d at least", len(got), got[0], got[len(got)-1], maxWait)
		}
		if int(dropped) != all-len(got) {
			t.Errorf("%v counted as dropped, %d are", dropped, all-len(got))
		}
		if heard != all-len(got) {
			t.Errorf("the hook heard last of %d dropped, %d are", heard, all-len(got))
		}
	})
}

func TestBatchThatHasNoRoomToWaitAgainIsDroppedOnlyIfItFails(t *testing.T) {
	for fails, lost := range []int{10, batchSize + 10} {
		synctest.Test(t, func(t *testing.T) {
			store := &fakeStore{stuck: make(chan struct{}), fails: fails}
			l := open(t, Options{Store: store})
			l.mustRecord(t, batchSize)
			synctest.Wait() // it has them
			l.mustRecord(t, maxWait+10)
			close(store.stuck)
			mustClose(t, l)
			want := from(batchSize+10+1, batchSize+10+maxWait)
			if fails == 0 {
				want = slices.Concat(from(1, batchSize), want)
			}
			if got := store.stored(); !slices.Equal(got, want) {
				t.Errorf("%d failures: stored %d operations from %d on, want %d from %d on", fails, len(got), got[0], len(want), want[0])
			}
			if dropped := testutil.ToFloat64(l.opts.Metrics.dropped); dropped != float64(lost) {
				t.Errorf("%d failures: %v counted as dropped, want %d", fails, dropped, lost)
			}
		})
	}
}

func TestCloseStoresWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{fails: 2}
		l := open(t, Options{Store: store})
		l.mustRecord(t, 100)
		mustClose(t, l)
		if got := store.stored(); !slices.Equal(got, from(1, 100)) || !store.closed {
			t.Errorf("stored %v, closed %v; want 1 to 100", got, store.closed)
		}
		if err := l.Record(Operation{Time: noon, Source: "backend", Kind: "k", OK: true}); !errors.Is(err, ErrClosed) {
			t.Errorf("Record after Close: %v", err)
		}
		mustClose(t, l)
	})
}

func TestCloseOfAStoreThatHangsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{hang: true}
		l := open(t, Options{Store: store})
		l.mustRecord(t, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "3 operations could not be stored") {
			t.Errorf("got %v", err)
		}
		if n := testutil.ToFloat64(l.opts.Metrics.dropped); n != 3 || !store.closed {
			t.Errorf("%v counted as dropped, closed %v", n, store.closed)
		}
	})
}

func TestCloseDoesNotWaitForADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{stuck: make(chan struct{})}
		defer close(store.stuck)
		l := open(t, Options{Store: store})
		l.mustRecord(t, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the context", err)
		}
		if l.Close(ctx) == nil {
			t.Error("the second Close says that all is well")
		}
	})
}

func TestRecordDoesNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Options{Store: &fakeStore{hang: true}})
		began := time.Now()
		l.mustRecord(t, 3*maxWait)
		if time.Since(began) != 0 { // the bubble's clock: it would move if all were blocked
			t.Error("Record has waited")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l.Close(ctx) //nolint:errcheck // of what is lost
	})
}

func TestInvalidOperationsAreRefused(t *testing.T) {
	l := open(t, Options{})
	for _, change := range []func(*Operation){
		func(o *Operation) { o.Time = time.Time{} },
		func(o *Operation) { o.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		func(o *Operation) { o.Source = "" },
		func(o *Operation) { o.Source = "Backend" },
		func(o *Operation) { o.Source = strings.Repeat("x", 33) },
		func(o *Operation) { o.Kind = "" },
		func(o *Operation) { o.Kind = "a b" },
		func(o *Operation) { o.Cart = "../x" },
		func(o *Operation) { o.Took = -1 },
		func(o *Operation) { o.Error = "but" },
	} {
		o := Operation{Time: noon, Source: "backend", Kind: "addItems", Cart: "c", OK: true}
		if change(&o); l.Record(o) == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if s := l.Stats(); s.Total != 0 {
		t.Errorf("counted: %+v", s)
	}
}

func TestStatisticsCountAllAndShowTheLastTenScenarios(t *testing.T) {
	l := open(t, Options{})
	for i := range 15 {
		o := Operation{Time: noon.Add(time.Duration(i) * time.Second), Source: SourceScenario, Kind: "probe", Cart: "c", OK: i%2 == 0}
		if i >= 12 {
			o.Source, o.OK = "backend", true
		}
		o.Routine = o.OK
		if err := l.Record(o); err != nil {
			t.Fatal(err)
		}
	}
	got := l.Stats()
	if len(got.RecentScenarios) != 10 || got.RecentScenarios[0] != (Scenario{noon.Add(11 * time.Second), false, "probe", "c"}) || got.RecentScenarios[9].Time != noon.Add(2*time.Second) {
		t.Errorf("scenarios: %+v", got.RecentScenarios)
	}
	got.RecentScenarios = nil
	if d := cmp.Diff(Stats{Total: 15, Successes: 9, Failures: 6, BySource: map[string]uint64{"scenario": 12, "backend": 3}}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	page, err := l.Query(t.Context(), Query{Limit: 100})
	if err != nil || len(page.Operations) != 6 {
		t.Errorf("kept %d operations, %v; want the 6 that failed", len(page.Operations), err)
	}
}

func TestManySourcesAreCountedTogether(t *testing.T) {
	l := open(t, Options{})
	for i := range 1000 {
		if err := l.Record(Operation{Time: noon, Source: fmt.Sprint("s", i), Kind: "k", OK: true}); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.Stats(); len(s.BySource) != maxSources+1 || s.BySource[otherSources] != 1000-maxSources {
		t.Errorf("%d sources, %d others", len(s.BySource), s.BySource[otherSources])
	}
}

func BenchmarkRecord(b *testing.B) {
	files, err := OpenFiles(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	l := open(b, Options{Store: files})
	b.ReportAllocs()
	for b.Loop() {
		l.mustRecord(b, 1)
	}
	b.StopTimer()
	b.ReportMetric(testutil.ToFloat64(l.opts.Metrics.dropped)/float64(b.N), "dropped/op")
	mustClose(b, l)
}

// Ten of the batch that the store is given have no place in the ring any more.
func TestWhoFollowsSeesWhatIsBeingStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{stuck: make(chan struct{})}
		l := open(t, Options{Store: store})
		l.mustRecord(t, batchSize)
		synctest.Wait() // it has them
		l.mustRecord(t, maxWait-batchSize+10)
		var got []Operation
		after := uint64(0)
		for {
			page, err := l.Query(t.Context(), Query{After: after, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Operations...)
			if page.Next == after {
				break
			}
			after = page.Next
		}
		close(store.stuck)
		mustClose(t, l)
		if want := store.stored(); !slices.Equal(seqs(got), want) {
			t.Errorf("a follower got %d from %d on, stored %d from %d on", len(got), got[0].Seq, len(want), want[0])
		}
	})
}
