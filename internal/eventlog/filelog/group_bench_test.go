package filelog

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/logtest"

	"golang.org/x/sys/unix"
)

// lane is one of several ways to do the same work, which a benchmark compares within one run.
type lane struct {
	name    string
	events  int    // of a round
	prepare func() // before each round, not measured; nil: nothing
	do      func() // a round's work
}

const leastRounds = 9

// race lets the lanes do their work in turn, round after round, so that all of them meet the same machine. It reports
// events/s of each, the µs of processor time that one takes, and how many times the time of each other the first one takes for an event: medians of the rounds, of
// which there are leastRounds however short the time is.
func race(b *testing.B, lanes ...lane) {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as cartd itself
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	times, cpu := make([][]float64, len(lanes)), make([][]float64, len(lanes))
	for n, more := 0, b.Loop(); more || n < leastRounds; n++ {
		for i := range lanes {
			i = (i + n) % len(lanes) // nobody is always the first
			if lanes[i].prepare != nil {
				lanes[i].prepare()
			}
			runtime.GC() // nobody pays for the one before
			start, used := time.Now(), processorTime(b)
			lanes[i].do()
			times[i] = append(times[i], time.Since(start).Seconds()/float64(lanes[i].events))
			cpu[i] = append(cpu[i], float64(processorTime(b)-used)/1e3/float64(lanes[i].events))
		}
		more = more && b.Loop()
	}
	for i, l := range lanes {
		b.ReportMetric(1/median(times[i]), l.name+"/s")
		b.ReportMetric(median(cpu[i]), l.name+"-cpu-µs")
		if i == 0 {
			continue
		}
		ratios := make([]float64, len(times[0]))
		for n := range ratios {
			ratios[n] = times[0][n] / times[i][n]
		}
		b.ReportMetric(median(ratios), "x"+l.name)
	}
	b.ReportMetric(0, "ns/op") // of a round of all lanes: says nothing
}

// processorTime returns the ns that all threads of this process have used.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return (xs[len(xs)/2] + xs[(len(xs)-1)/2]) / 2
}

// writers run do, so many at once, each for its share of n events.
func writers(count, n int, do func(writer, events int)) {
	var wg sync.WaitGroup
	for i := range count {
		share := n / count
		if i < n%count {
			share++
		}
		wg.Go(func() { do(i, share) })
	}
	wg.Wait()
}

// BenchmarkGroupCommit is commits of one event, by each of so many writers on its own stream, beside bare loops on
// the same disk that write the same bytes. log includes what is written behind, its checkpoints and the collection
// of its garbage. journal is the least that a group commit can do: see bareJournal. files is the same with an append
// to a file of each writer on top. sync is one writer's pwrite and fdatasync for each event.
//
// With carts=kept a writer has the same stream in all rounds, as it has the same file in files. With carts=new it has
// a new one in each round, which has 101 events in the end: every file is synced for these few. With feed=kept the
// journal's segments stay for readers, so that each one is made anew and written twice.
func BenchmarkGroupCommit(b *testing.B) {
	for _, count := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("carts=kept/writers=%d", count), func(b *testing.B) { groupCommit(b, count, false, Options{}) })
	}
	b.Run("carts=new/writers=256", func(b *testing.B) { groupCommit(b, 256, true, Options{}) })
	b.Run("feed=kept/writers=256", func(b *testing.B) { groupCommit(b, 256, false, Options{FeedRetention: time.Hour}) })
}

func groupCommit(b *testing.B, count int, fresh bool, opts Options) {
	events := 100 * count // of a round
	opts.SegmentBytes = 16 << 20
	own := newOwnLog(b, count, opts)
	journal, files := newBareJournal(b, own.record, count, false), newBareJournal(b, own.record, count, true)
	each := newBareFile(b)
	log := lane{"log", events, nil, func() { own.append(events) }}
	if fresh {
		log.prepare = own.activate
	}
	race(b, log,
		lane{"journal", events, nil, func() { journal.append(events) }},
		lane{"files", events, nil, func() { files.append(events) }},
		lane{"sync", events / count, nil, func() { // as many as one writer has
			for range events / count {
				each.write(b, own.record)
			}
		}})
}

// ownLog is a log with a stream for each writer.
type ownLog struct {
	b        *testing.B
	log      *Log
	made     int // streams so far
	acts     []eventlog.Activation
	versions []uint64
	record   []byte // an event as it stands in the journal
}

func newOwnLog(b *testing.B, count int, opts Options) *ownLog {
	b.Helper()
	o := &ownLog{b: b, log: mustOpen(b, b.TempDir(), opts), acts: make([]eventlog.Activation, count), versions: make([]uint64, count)}
	ev := logtest.Event(1)
	ev.Position, ev.Version, ev.Epoch = 1_000_000, 100, 1000
	o.record = append(make([]byte, 6+len("cart")+len("c1000")), lineOf(nil, &ev)...)
	o.activate()
	b.Cleanup(o.release)
	return o
}

// activate gives each writer a new stream with one event.
func (o *ownLog) activate() {
	o.release()
	for i := range o.acts {
		o.made++
		o.acts[i] = logtest.Activate(o.b, o.log, logtest.Stream(o.b, fmt.Sprintf("c%d", o.made)))
		o.versions[i] = logtest.MustAppend(o.b, o.acts[i], 0, logtest.Event(1)).Version
	}
	o.flush()
}

func (o *ownLog) release() {
	for _, act := range o.acts {
		if act != nil {
			act.Release()
		}
	}
}

func (o *ownLog) flush() {
	for _, act := range o.acts {
		if err := o.log.flush(act.(*activation).s); err != nil {
			o.b.Error(err)
		}
	}
	settleCheckpoint(o.log)
}

// settleCheckpoint waits for a checkpoint that is being made: it belongs to the round.
func settleCheckpoint(l *Log) {
	for c := &l.checkpoints; ; runtime.Gosched() {
		c.running.Lock()
		idle := len(c.kick) == 0
		c.running.Unlock()
		if idle {
			return
		}
	}
}

// append is a round: it returns when the streams' files have everything.
func (o *ownLog) append(events int) {
	proto := logtest.Event(1)
	writers(len(o.acts), events, func(w, n int) {
		done := make(chan error, 1)
		decided := func(_ eventlog.Receipt, err error) { done <- err }
		evs := []eventlog.Event{proto}
		for range n {
			evs[0].ID = freshID()
			o.acts[w].Append(eventlog.Commit{Want: o.versions[w], Events: evs}, decided)
			if err := <-done; err != nil {
				o.b.Error(err)
				return
			}
			o.versions[w]++
		}
	})
	o.flush()
}

// bareFile is a file full of zeros, open for writing, as the journal's segments are. It is written round and round.
type bareFile struct {
	file vfs.File
	off  int64
}

const bareBytes = 16 << 20

func newBareFile(b *testing.B) *bareFile {
	b.Helper()
	fs := openDir(b, b.TempDir())
	f, err := fs.CreateNew("bare")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close(); fs.Close() })
	if _, err := f.WriteAt(make([]byte, bareBytes), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &bareFile{file: f}
}

func (f *bareFile) write(b *testing.B, buf []byte) {
	if f.off+int64(len(buf)) > bareBytes {
		f.off = 0
	}
	if _, err := f.file.WriteAt(buf, f.off); err != nil {
		b.Error(err)
	}
	if err := f.file.Datasync(); err != nil {
		b.Error(err)
	}
	f.off += int64(len(buf))
}

// bareJournal is writers that hand a record over to one goroutine and wait; it copies all that there is into one
// write, syncs once and wakes them. No numbers, checksums, order, errors or room to check; nothing is looked up.
type bareJournal struct {
	b      *testing.B
	file   *bareFile
	files  []vfs.File // of the writers, appended to without a sync; nil: there are none
	ends   []int64
	record []byte
	count  int
}

func newBareJournal(b *testing.B, record []byte, count int, files bool) *bareJournal {
	b.Helper()
	j := &bareJournal{b: b, file: newBareFile(b), record: record, count: count}
	if !files {
		return j
	}
	fs := openDir(b, b.TempDir())
	for i := range count {
		f, err := fs.CreateNew(fmt.Sprintf("c%d", i))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		j.files = append(j.files, f)
	}
	j.ends = make([]int64, count)
	b.Cleanup(func() { fs.Close() })
	return j
}

// bareRecord is what a writer hands over.
type bareRecord struct {
	writer int
	bytes  []byte
	done   chan error
}

func (j *bareJournal) append(events int) {
	var (
		mu    sync.Mutex // guards queue
		queue []bareRecord
		kick  = make(chan struct{}, 1)
		owner sync.WaitGroup
	)
	owner.Go(func() {
		var (
			taken []bareRecord
			buf   []byte
		)
		for range kick {
			mu.Lock()
			taken, queue = queue, taken[:0]
			mu.Unlock()
			if len(taken) == 0 {
				continue
			}
			buf = buf[:0]
			for i := range taken {
				buf = append(buf, taken[i].bytes...)
			}
			j.file.write(j.b, buf)
			for i := range taken {
				taken[i].done <- nil
			}
			if j.files == nil {
				continue
			}
			for i := range taken {
				w := taken[i].writer
				if _, err := j.files[w].WriteAt(taken[i].bytes, j.ends[w]); err != nil {
					j.b.Error(err)
				}
				j.ends[w] += int64(len(taken[i].bytes))
			}
		}
	})
	writers(j.count, events, func(w, n int) {
		done := make(chan error, 1)
		for range n {
			mu.Lock()
			queue = append(queue, bareRecord{w, j.record, done})
			mu.Unlock()
			select {
			case kick <- struct{}{}:
			default:
			}
			if err := <-done; err != nil {
				j.b.Error(err)
				return
			}
		}
	})
	close(kick)
	owner.Wait()
}

func cartID(tb testing.TB, i int) eventlog.StreamID { return logtest.Stream(tb, fmt.Sprintf("c%d", i)) }

// idsMade numbers what freshID has returned.
var idsMade atomic.Uint64

// freshID returns an id above all before it, as those of changes without an Idempotency-Key are, which begin with the
// time, and above most random ones.
func freshID() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], 0xff<<56|idsMade.Add(1))
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	return id
}
