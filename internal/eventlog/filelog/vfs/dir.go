package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// What is in a cart is its shopper's business: nothing is readable for everybody.
const (
	dirMode  fs.FileMode = 0o750
	fileMode fs.FileMode = 0o640
)

// Dir is a directory of the operating system. Make it with [OpenDir].
type Dir struct {
	path    string
	root    *os.Root
	network func(*os.File) (string, error) // networkFS, unless a test says otherwise
}

// OpenDir returns the tree under path. Directories that are missing are made, and are on stable storage when it
// returns.
func OpenDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := mkdirAll(path); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", path, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	return &Dir{path: path, root: root, network: networkFS}, nil
}

// mkdirAll is os.MkdirAll that syncs the parent of each directory it makes.
func mkdirAll(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no directory", path)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return err
	}
	if err := mkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// locks are those of the lock file and of the directory.
type locks [2]*flock.Flock

func (l locks) Close() error { return errors.Join(l[0].Close(), l[1].Close()) }

// Lock implements [FS] with flock(2), which the kernel gives up when the process ends, however it ends. The directory is
// locked as well as the file: somebody who takes that for a leftover, and removes it, lets nobody else in.
func (d *Dir) Lock(name string) (io.Closer, error) {
	path := filepath.Join(d.path, filepath.FromSlash(name))
	if err := d.local(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := locks{flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(fileMode)), d.whole()}
	if ok, err := l[1].TryLock(); err == nil && !ok { // with an error, directories are not locked here
		return nil, errors.Join(fmt.Errorf("%s is %w%s", d.path, ErrLocked, d.holder(name)), l.Close())
	}
	ok, err := l[0].TryLock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), l.Close())
	}
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s is %w%s", path, ErrLocked, d.holder(name)), l.Close())
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := d.root.WriteFile(name, pid, fileMode); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), l.Close())
	}
	return l, nil
}

// whole is the lock of the directory itself.
func (d *Dir) whole() *flock.Flock { return flock.New(d.path, flock.SetFlag(os.O_RDONLY)) }

// local returns an error if the tree is on a file system that is known to be one of a network.
func (d *Dir) local() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	name, err := d.network(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if name != "" {
		return fmt.Errorf("%s is %w (%s): use a local disk", d.path, ErrNetworkFS, name)
	}
	return nil
}

// holder names the process that wrote its id into the lock file; "" when it cannot be told.
func (d *Dir) holder(name string) string {
	f, err := d.root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close() // only read
	var buf [32]byte
	n, _ := f.ReadAt(buf[:], 0) // a short file ends with io.EOF
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// Open implements [FS].
func (d *Dir) Open(name string) (File, error) { return d.open(name, os.O_RDONLY) }

// OpenWrite implements [FS].
func (d *Dir) OpenWrite(name string) (File, error) { return d.open(name, os.O_RDWR) }

// Create implements [FS].
func (d *Dir) Create(name string) (File, error) { return d.open(name, os.O_RDWR|os.O_CREATE) }

// CreateNew implements [FS].
func (d *Dir) CreateNew(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d *Dir) open(name string, flag int) (File, error) {
	f, err := d.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// Mkdir implements [FS].
func (d *Dir) Mkdir(name string) error { return d.root.Mkdir(name, dirMode) }

// Rename implements [FS].
func (d *Dir) Rename(from, to string) error { return d.root.Rename(from, to) }

// Remove implements [FS].
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// ReadDir implements [FS].
func (d *Dir) ReadDir(name string) ([]string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// SyncDir implements [FS].
func (d *Dir) SyncDir(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Free implements [FS].
func (d *Dir) Free() (uint64, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return 0, err
	}
	n, err := free(f)
	return n, errors.Join(err, f.Close())
}

// Close implements [FS].
func (d *Dir) Close() error { return d.root.Close() }

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f file) Changed() (time.Time, error) {
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func (f file) Datasync() error { return datasync(f.File) }
