// Package errfs makes calls of a file system fail on purpose, and tells what was called.
package errfs

import (
	"io"
	"sync"

	"cartd/internal/eventlog/filelog/vfs"
)

// Call is one call of an [FS] or of one of its files.
type Call struct {
	N    int    // number of the call, from 1
	Op   string // the method, such as "Mkdir" or "Datasync"
	Name string // of the file or directory
}

// FS asks a hook before each call. Make it with [Wrap].
type FS struct {
	vfs.FS
	mu    sync.Mutex // guards the following
	n     int
	calls []Call
	hook  func(Call) error
}

// Wrap returns fs with hook before each of its calls. A call for which hook returns an error is not made and reports
// that error, with two exceptions that are like real disks: WriteAt writes the first half of its bytes, and Close
// closes. Free, Size and the closing of the tree always work. The hook runs with a lock held: it must not call fs.
func Wrap(fs vfs.FS, hook func(Call) error) *FS { return &FS{FS: fs, hook: hook} }

// Calls returns all calls so far, those that failed included.
func (f *FS) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.calls...)
}

func (f *FS) call(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	c := Call{N: f.n, Op: op, Name: name}
	f.calls = append(f.calls, c)
	return f.hook(c)
}

// Lock implements [vfs.FS].
func (f *FS) Lock(name string) (io.Closer, error) {
	if err := f.call("Lock", name); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

// Open implements [vfs.FS].
func (f *FS) Open(name string) (vfs.File, error) { return f.open("Open", name, f.FS.Open) }

// OpenWrite implements [vfs.FS].
func (f *FS) OpenWrite(name string) (vfs.File, error) {
	return f.open("OpenWrite", name, f.FS.OpenWrite)
}

// Create implements [vfs.FS].
func (f *FS) Create(name string) (vfs.File, error) { return f.open("Create", name, f.FS.Create) }

// CreateNew implements [vfs.FS].
func (f *FS) CreateNew(name string) (vfs.File, error) {
	return f.open("CreateNew", name, f.FS.CreateNew)
}

func (f *FS) open(op, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if err := f.call(op, name); err != nil {
		return nil, err
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: inner, fs: f, name: name}, nil
}

// Mkdir implements [vfs.FS].
func (f *FS) Mkdir(name string) error { return f.do("Mkdir", name, f.FS.Mkdir) }

// Rename implements [vfs.FS]. The call has the new name.
func (f *FS) Rename(from, to string) error {
	return f.do("Rename", to, func(string) error { return f.FS.Rename(from, to) })
}

// Remove implements [vfs.FS].
func (f *FS) Remove(name string) error { return f.do("Remove", name, f.FS.Remove) }

// SyncDir implements [vfs.FS].
func (f *FS) SyncDir(name string) error { return f.do("SyncDir", name, f.FS.SyncDir) }

func (f *FS) do(op, name string, do func(string) error) error {
	if err := f.call(op, name); err != nil {
		return err
	}
	return do(name)
}

// ReadDir implements [vfs.FS].
func (f *FS) ReadDir(name string) ([]string, error) {
	if err := f.call("ReadDir", name); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(name)
}

type file struct {
	vfs.File
	fs   *FS
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.call("ReadAt", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.call("WriteAt", f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off) // the injected error is the one to report
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *file) Truncate(size int64) error {
	if err := f.fs.call("Truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Sync() error {
	if err := f.fs.call("Sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *file) Datasync() error {
	if err := f.fs.call("Datasync", f.name); err != nil {
		return err
	}
	return f.File.Datasync()
}

func (f *file) Close() error {
	injected := f.fs.call("Close", f.name)
	if err := f.File.Close(); err != nil {
		return err
	}
	return injected
}
