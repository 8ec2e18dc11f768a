package filelog

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

const (
	lockName      = "LOCK"
	quarantineDir = "quarantine"
	listName      = "readmodel.db" // beside the log, and made from it: package readmodel's
	oplogDir      = "oplog"        // the log of operations, beside this one: package oplog's
	logSuffix     = ".events.log"
)

// SubscriptionsName is a file beside the log that is none of its own: package subscription's. It belongs to one incarnation
// of the log, so that no backup has it.
const SubscriptionsName = "subscriptions.db"

// Log is an event store in files. Make it with [Open]. Safe for concurrent use.
type Log struct {
	opts    Options
	metrics *eventlog.Metrics
	fs      vfs.FS
	dir     string // for messages
	lock    io.Closer
	opened  time.Time
	space   space
	tail    eventlog.Tail // position up to which all events are decided and, if not in the files yet, behind
	pins    eventlog.Pins
	failed  chan struct{} // closed by fail
	stop    chan struct{} // closed by Close, for the goroutine that watches the disk
	wg      sync.WaitGroup

	committing, saving, writing sync.WaitGroup // the committer; the saver; those that write behind them

	incarnation uuid.UUID // of the journal

	mu      sync.Mutex // guards the following
	streams map[eventlog.StreamID]*stream
	epoch   uint64              // the largest one given out or seen
	dirs    map[string]struct{} // directories that are on stable storage; with a slash at the end: and the names in them

	qmu    sync.Mutex // guards the following; may be taken while a stream's mutex is held
	work   sync.Cond  // on qmu: ready or closed has changed
	ready  []*stream  // to be written, each once: no longer than there are streams with queued appends
	wanted int        // how many of them the committer waits for
	closed bool
	cause  error
	ended  atomic.Bool // closed, or there is a cause; set with qmu held

	journal     *journal.Writer
	synced      time.Duration // what the last sync of the journal took; of the committer
	behind      behind
	files       openFiles
	checkpoints checkpoints
	sealing     sync.RWMutex // shared by those that seal or archive, who do not wait for it; held by a backup
	parts       sync.Mutex   // held while a server seals a part, or archives a stream
	archiving   sync.Mutex   // held by Archive, which Close waits for
	snapshots   snapshots
}

// Open opens the log in dir, which is made if need be, and locks it for this process. It returns an error that
// wraps [vfs.ErrLocked] and names the other process when there is one. It completes the streams' files
// from the journal; of the others it reads names alone. Close releases what it holds.
func Open(dir string, opts Options) (*Log, error) {
	opts, err := opts.resolve()
	if err != nil {
		return nil, fmt.Errorf("open event log %s: %w", dir, err)
	}
	tree := opts.FS
	if tree == nil {
		if tree, err = vfs.OpenDir(dir); err != nil {
			return nil, fmt.Errorf("open event log: %w", err)
		}
	}
	l, err := open(dir, tree, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open event log %s: %w", dir, err), tree.Close())
	}
	return l, nil
}

func open(dir string, tree vfs.FS, opts Options) (*Log, error) {
	if err := refuseUnfinished(tree); err != nil {
		return nil, err
	}
	lock, err := tree.Lock(lockName)
	if err != nil {
		return nil, err
	}
	if err := refuseUnfinished(tree); err != nil { // a restore may have begun, and ended, before this
		return nil, errors.Join(err, lock.Close())
	}
	l := &Log{
		dir:  dir,
		opts: opts, metrics: opts.Metrics, fs: tree, lock: lock, opened: time.Now(),
		space:  space{fs: tree, mark: opts.LowSpaceBytes, kick: make(chan struct{}, 1), gauge: opts.Metrics.LowSpace, logger: opts.Logger},
		failed: make(chan struct{}), stop: make(chan struct{}),
		streams: make(map[eventlog.StreamID]*stream), dirs: make(map[string]struct{}),
	}
	l.work.L = &l.qmu
	l.behind.init()
	l.snapshots.work.L = &l.snapshots.mu
	l.files = openFiles{most: opts.OpenFiles, at: make(map[*stream]*list.Element)}
	l.checkpoints.kick = make(chan struct{}, 1)
	l.checkpoints.dirs = make(map[string]struct{})
	if err := l.prepare(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.committing.Go(l.committer)
	l.saving.Go(l.saver)
	for range behindWriters {
		l.writing.Go(l.writeBehind)
	}
	l.wg.Go(l.checkpointer)
	if l.space.mark > 0 {
		l.space.reclaim, l.space.headroom = l.reclaim, headroomSegments*int64(l.opts.SegmentBytes)
		l.wg.Go(func() { l.space.watch(l.stop) })
	}
	return l, nil
}

// prepare does what Open does before any goroutine runs.
func (l *Log) prepare() error {
	if err := l.ensureDir(kindDir(eventlog.KindCart)); err != nil {
		return err
	}
	n := 0
	err := l.walkLogs(func(string) { n++ })
	if err != nil {
		return err
	}
	l.metrics.FilesExisting.Set(float64(n))
	switch err := l.space.look(); {
	case errors.Is(err, errors.ErrUnsupported):
		l.opts.Logger.Warn("event log cannot watch disk space on this system")
		l.space.mark = 0
	case err != nil:
		return fmt.Errorf("look at disk space: %w", err)
	}
	return l.openJournal()
}

// walkLogs visits the paths of all logs. It reads directory names only: with a million carts a stat of each would
// take minutes.
func (l *Log) walkLogs(visit func(path string)) error {
	top, err := l.fs.ReadDir(".")
	if err != nil {
		return err
	}
	for _, dir := range top {
		if dir == quarantineDir || !strings.HasSuffix(dir, "s") || strings.Contains(dir, ".") {
			continue
		}
		subs, err := readDir(l.fs, dir)
		if err != nil {
			return err
		}
		for _, sub := range subs {
			if _, ok := parseHex([]byte(sub)); !ok || len(sub) != 2 {
				continue
			}
			names, err := readDir(l.fs, dir+"/"+sub)
			if err != nil {
				return err
			}
			for _, name := range names {
				if strings.HasSuffix(name, logSuffix) {
					visit(dir + "/" + sub + "/" + name)
				}
			}
		}
	}
	return nil
}

// readDir takes what is no directory for an empty one: people put notes beside data.
func readDir(tree vfs.FS, dir string) ([]string, error) {
	names, err := tree.ReadDir(dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return names, err
}

// ensureDir makes dir and the directories above it, and brings them to stable storage, once per process: a
// directory that is there may have been made by a process that ended before it could sync.
func (l *Log) ensureDir(dir string) error {
	l.mu.Lock()
	_, done := l.dirs[dir]
	l.mu.Unlock()
	if done {
		return nil
	}
	parent := parentDir(dir)
	if parent != "." {
		if err := l.ensureDir(parent); err != nil {
			return err
		}
	}
	if err := l.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := l.syncDir(parent); err != nil {
		return err
	}
	l.mu.Lock()
	l.dirs[dir] = struct{}{} // at most 257 for each kind, and as many with a slash
	l.mu.Unlock()
	return nil
}

// syncNames brings the names in dir to stable storage, once per process, with those of the directories above it.
func (l *Log) syncNames(dir string) error {
	names := dir + "/" // beside dir itself, which ensureDir has in the map
	l.mu.Lock()
	_, done := l.dirs[names]
	l.mu.Unlock()
	if done {
		return nil
	}
	if err := errors.Join(l.ensureDir(dir), l.syncDir(dir)); err != nil {
		return err
	}
	l.mu.Lock()
	l.dirs[names] = struct{}{}
	l.mu.Unlock()
	return nil
}

func parentDir(dir string) string {
	if i := strings.LastIndexByte(dir, '/'); i >= 0 {
		return dir[:i]
	}
	return "."
}

func (l *Log) syncDir(dir string) error {
	if l.opts.Durability == SyncNever {
		return nil
	}
	return l.fs.SyncDir(dir)
}

// Writable implements [eventlog.Store].
func (l *Log) Writable() error {
	if err := l.unusable(); err != nil {
		return err
	}
	if l.space.isLow() {
		return eventlog.ErrLowSpace
	}
	return nil
}

// unusable returns ErrClosed, ErrFailed or nil. As long as it is nil it takes no lock that all streams share.
func (l *Log) unusable() error {
	if !l.ended.Load() {
		return nil
	}
	l.qmu.Lock()
	defer l.qmu.Unlock()
	return l.unusableLocked()
}

func (l *Log) unusableLocked() error {
	switch {
	case l.closed:
		return eventlog.ErrClosed
	case l.cause != nil:
		return fmt.Errorf("%w: %w", eventlog.ErrFailed, l.cause)
	}
	return nil
}

func (l *Log) isClosed() bool {
	l.qmu.Lock()
	defer l.qmu.Unlock()
	return l.closed
}

// Failed implements [eventlog.Store].
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Cause implements [eventlog.Store].
func (l *Log) Cause() error {
	l.qmu.Lock()
	defer l.qmu.Unlock()
	return l.cause
}

// fail ends the life of the log. Only the first cause counts.
func (l *Log) fail(cause error) {
	l.metrics.SyncFailures.Inc()
	l.qmu.Lock()
	first := l.cause == nil
	if first {
		l.cause = cause
		l.metrics.Failed.Set(1)
		l.ended.Store(true)
		close(l.failed)
	}
	l.qmu.Unlock()
	if first {
		l.journal.GiveUp()
		l.addBehind(0) // wakes the committer
		l.opts.Logger.Error("event log has failed and accepts nothing more", "error", cause)
	}
}

// Close implements [eventlog.Store]. It waits for the queued appends. Reads that run go on to their end.
func (l *Log) Close() error {
	l.qmu.Lock()
	if l.closed {
		l.qmu.Unlock()
		return eventlog.ErrClosed
	}
	l.closed = true
	l.ended.Store(true)
	l.work.Broadcast()
	l.qmu.Unlock()
	l.archiving.Lock() // whoever comes later finds that the log is closed
	defer l.archiving.Unlock()
	l.journal.GiveUp()
	l.committing.Wait()
	l.tail.Close()
	l.snapshots.close()
	l.saving.Wait()
	close(l.stop)
	l.wg.Wait()
	l.behind.close()
	l.writing.Wait()
	var err error
	if l.Cause() == nil {
		if err = l.checkpoint(); err != nil {
			l.fail(err)
		}
	}
	l.forget()
	if err = errors.Join(err, l.closeFiles(), l.journal.Close(), l.fs.Close(), l.lock.Close()); err != nil {
		return fmt.Errorf("close event log: %w", err)
	}
	return nil
}

// forget lets go of what a failed log has not checkpointed: the next one finds it in the journal.
func (l *Log) forget() {
	l.checkpoints.mu.Lock()
	dirty := l.checkpoints.dirty
	l.checkpoints.dirty = nil
	l.checkpoints.mu.Unlock()
	for _, s := range dirty {
		l.release(s)
	}
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
