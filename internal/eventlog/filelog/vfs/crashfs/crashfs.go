// Package crashfs is a file system in memory that knows what would be left of it after a crash: a write is safe after
// a sync of its file, a name after a sync of its directory, and nothing earlier.
package crashfs

import (
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"cartd/internal/eventlog/filelog/vfs"
)

// FS is a tree. Make it with [New]. Safe for concurrent use.
//
// A later sync does not make up for one that has failed: see [FS.FailSync].
type FS struct {
	mu   sync.Mutex // guards all nodes
	root *node
	hook func()
}

// New returns an empty tree. hook, if it is not nil, is called before each call that changes something, without a
// lock held.
func New(hook func()) *FS { return &FS{root: newDir(), hook: hook} }

// node is a file or a directory.
type node struct {
	names map[string]*node // as they are; nil for a file
	kept  map[string]*node // as they are after a crash at the best of times: on stable storage
	moves []move           // since the last sync, in order

	data   []byte
	synced []byte
	writes []write // since the last sync, in order

	changed time.Time // a crash does not take it back
}

// move is a change of a directory: node gets the name to and loses the name from; "" for none.
type move struct {
	from, to string
	node     *node
	half     *half // of a change of two directories, which are lost together if neither is synced; nil otherwise
}

type half struct{ _ byte } // its address counts

// write is a change of a file: data at off, or its length.
type write struct {
	off  int64
	data []byte // nil: truncate to off
}

func newDir() *node { return &node{names: make(map[string]*node), kept: make(map[string]*node)} }

func apply(names map[string]*node, m move) {
	if m.from != "" {
		delete(names, m.from)
	}
	if m.to != "" {
		names[m.to] = m.node
	}
}

func (w write) apply(data []byte) []byte {
	end := w.off + int64(len(w.data))
	if w.data == nil && int64(len(data)) > w.off {
		return data[:w.off]
	}
	if grow := end - int64(len(data)); grow > 0 {
		data = append(data, make([]byte, grow)...)
	}
	copy(data[w.off:], w.data)
	return data
}

// Crash returns the tree as a crash at this moment leaves it, with hook for its own calls. lose says which of the
// changes that were not synced are gone; the changes of names are asked for as well. torn returns how many bytes of
// a write that is kept are there.
func (f *FS) Crash(hook func(), lose func() bool, torn func(n int) int) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := make(map[*node]*node)
	halves := make(map[*half]bool) // whether they are lost
	lost := func(m move) bool {
		if m.half == nil {
			return lose()
		}
		l, known := halves[m.half]
		if !known {
			l = lose()
			halves[m.half] = l
		}
		return l
	}
	var crash func(n *node) *node
	crash = func(n *node) *node {
		if c := done[n]; c != nil {
			return c
		}
		c := &node{}
		done[n] = c
		if n.names == nil {
			c.data, c.changed = slices.Clone(n.synced), n.changed
			for _, w := range n.writes {
				if lose() {
					continue
				}
				if w.data != nil {
					w.data = w.data[:torn(len(w.data))]
				}
				c.data = w.apply(c.data)
			}
			c.synced = slices.Clone(c.data)
			return c
		}
		names := make(map[string]*node)
		maps.Copy(names, n.kept)
		for _, m := range n.moves {
			if !lost(m) {
				apply(names, m)
			}
		}
		c.names, c.kept = make(map[string]*node), make(map[string]*node)
		for _, name := range sorted(names) {
			child := crash(names[name])
			c.names[name], c.kept[name] = child, child
		}
		return c
	}
	return &FS{root: crash(f.root), hook: hook}
}

// Keep loses nothing, and Forget everything that was not synced; Any loses and tears at random.
func (f *FS) Keep(hook func()) *FS {
	return f.Crash(hook, func() bool { return false }, func(n int) int { return n })
}

// Forget is a crash that loses everything that was not synced.
func (f *FS) Forget(hook func()) *FS {
	return f.Crash(hook, func() bool { return true }, func(n int) int { return n })
}

// Any is a crash that loses and tears at random.
func (f *FS) Any(hook func(), r *rand.Rand) *FS {
	return f.Crash(hook, func() bool { return r.IntN(2) == 0 }, func(n int) int {
		if r.IntN(2) == 0 {
			return n
		}
		return r.IntN(n + 1)
	})
}

// FailSync does to a file what a failed fsync does: what was written since the last one is marked clean. It is read as
// before, no later sync brings it to stable storage, and a crash loses it (LWN 752063).
func (f *FS) FailSync(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, _, n, err := f.find("sync", name); err == nil && n != nil {
		n.writes = nil
	}
}

func sorted(names map[string]*node) []string {
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list) // so that the same seed gives the same crash
	return list
}

func (f *FS) called() {
	if f.hook != nil {
		f.hook()
	}
}

// find returns the node of name and the directory it is in. mu is held.
func (f *FS) find(op, name string) (dir *node, base string, n *node, err error) {
	n = f.root
	for part := range strings.SplitSeq(name, "/") {
		if part == "." {
			continue
		}
		if n == nil || n.names == nil {
			return nil, "", nil, &os.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		dir, base, n = n, part, n.names[part]
	}
	return dir, base, n, nil
}

func (d *node) change(m move) {
	apply(d.names, m)
	d.moves = append(d.moves, m)
}

func (f *FS) open(op, name string, create, exclusive bool) (vfs.File, error) {
	if create {
		f.called()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, n, err := f.find(op, name)
	switch {
	case err != nil:
		return nil, err
	case n == nil && !create:
		return nil, &os.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	case n != nil && exclusive:
		return nil, &os.PathError{Op: op, Path: name, Err: fs.ErrExist}
	case n == nil:
		n = &node{}
		dir.change(move{to: base, node: n})
	}
	return &file{f, n}, nil
}

// Open implements [vfs.FS].
func (f *FS) Open(name string) (vfs.File, error) { return f.open("open", name, false, false) }

// OpenWrite implements [vfs.FS].
func (f *FS) OpenWrite(name string) (vfs.File, error) { return f.open("open", name, false, false) }

// Create implements [vfs.FS].
func (f *FS) Create(name string) (vfs.File, error) { return f.open("create", name, true, false) }

// CreateNew implements [vfs.FS].
func (f *FS) CreateNew(name string) (vfs.File, error) { return f.open("create", name, true, true) }

// Mkdir implements [vfs.FS].
func (f *FS) Mkdir(name string) error {
	f.called()
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, n, err := f.find("mkdir", name)
	if err != nil {
		return err
	}
	if n != nil {
		return &os.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	dir.change(move{to: base, node: newDir()})
	return nil
}

// Rename implements [vfs.FS].
func (f *FS) Rename(from, to string) error {
	f.called()
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, n, err := f.find("rename", from)
	if err != nil {
		return err
	}
	toDir, toBase, _, err := f.find("rename", to)
	switch {
	case err != nil:
		return err
	case n == nil:
		return &os.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if dir == toDir {
		dir.change(move{from: base, to: toBase, node: n})
		return nil
	}
	both := &half{}
	dir.change(move{from: base, half: both})
	toDir.change(move{to: toBase, node: n, half: both})
	return nil
}

// Remove implements [vfs.FS].
func (f *FS) Remove(name string) error {
	f.called()
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, n, err := f.find("remove", name)
	if err != nil {
		return err
	}
	if n == nil {
		return &os.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	dir.change(move{from: base})
	return nil
}

// ReadDir implements [vfs.FS].
func (f *FS) ReadDir(name string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, n, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if n == nil || n.names == nil {
		return nil, &os.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return sorted(n.names), nil
}

// SyncDir implements [vfs.FS].
func (f *FS) SyncDir(name string) error {
	f.called()
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, n, err := f.find("sync", name)
	if err != nil {
		return err
	}
	if n == nil || n.names == nil {
		return &os.PathError{Op: "sync", Path: name, Err: fs.ErrNotExist}
	}
	for _, m := range n.moves {
		apply(n.kept, m)
	}
	n.moves = nil
	return nil
}

type unlocked struct{}

func (unlocked) Close() error { return nil }

// Lock implements [vfs.FS]. It always succeeds.
func (f *FS) Lock(string) (io.Closer, error) { return unlocked{}, nil }

// Free implements [vfs.FS]. There is always room.
func (f *FS) Free() (uint64, error) { return math.MaxInt64, nil }

// Close implements [vfs.FS].
func (f *FS) Close() error { return nil }

type file struct {
	fs *FS
	n  *node
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) change(w write) {
	f.fs.called()
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.n.data = w.apply(f.n.data)
	f.n.writes = append(f.n.writes, w)
	f.n.changed = time.Now()
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.change(write{off, append([]byte{}, p...)})
	return len(p), nil
}

func (f *file) Truncate(size int64) error {
	f.change(write{size, nil})
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *file) Changed() (time.Time, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.n.changed, nil
}

func (f *file) Sync() error {
	f.fs.called()
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for _, w := range f.n.writes {
		f.n.synced = w.apply(f.n.synced)
	}
	f.n.writes = nil
	return nil
}

func (f *file) Datasync() error { return f.Sync() }

func (f *file) Close() error { return nil }
