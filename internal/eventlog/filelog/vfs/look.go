package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// OpenExisting is [OpenDir] for a directory that is there; it makes nothing.
func OpenExisting(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	return &Dir{path: path, root: root, network: networkFS}, nil
}

// Mode returns what name is, links not followed.
func (d *Dir) Mode(name string) (fs.FileMode, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// Held reports whether a process has the lock name, or that of the directory. It asks by taking them, shared with others
// who ask, for an instant: who opens the tree at that very moment is refused.
func (d *Dir) Held(name string) (bool, error) {
	whole := d.whole()
	free, err := whole.TryRLock()
	if held := err == nil && !free; held {
		return true, whole.Close()
	}
	if err := whole.Close(); err != nil {
		return false, err
	}
	if _, err := d.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(filepath.Join(d.path, filepath.FromSlash(name)), flock.SetFlag(os.O_RDONLY))
	free, err = lock.TryRLock()
	return !free, errors.Join(err, lock.Close())
}
