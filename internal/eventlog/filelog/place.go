package filelog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"cartd/internal/eventlog/filelog/vfs"

	"golang.org/x/sync/errgroup"
)

// placeWorkers write and sync files at once: a disk syncs many at little more than the price of one.
const placeWorkers = 32

// maxDirs bounds the directories of a backup: 256 for each kind of stream.
const maxDirs = 64 << 10

// placer writes files into a new tree, each with all that leads to it on stable storage when finish has returned. put
// and finish belong to one goroutine.
type placer struct {
	tree *vfs.Dir
	g    *errgroup.Group
	ctx  context.Context // of g: ends with its first error
	dirs map[string]struct{}
}

func newPlacer(ctx context.Context, tree *vfs.Dir) *placer {
	p := &placer{tree: tree, dirs: make(map[string]struct{})}
	p.g, p.ctx = errgroup.WithContext(ctx)
	p.g.SetLimit(placeWorkers)
	return p
}

// put writes a file of size bytes from r, which it reads to its end before it returns, and returns their sum. A small
// file may be written later.
func (p *placer) put(path string, size int64, r io.Reader) (sum sum256, err error) {
	if err := context.Cause(p.ctx); err != nil {
		return sum, err
	}
	if err := p.mkdir(parentDir(path)); err != nil {
		return sum, err
	}
	if size > smallFile {
		h := sha256.New()
		err := p.write(path, size, io.TeeReader(r, h))
		return sumOf(h), err
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return sum, err
	}
	p.g.Go(func() error { return p.write(path, size, bytes.NewReader(content)) })
	return sha256.Sum256(content), nil
}

func (p *placer) write(path string, size int64, r io.Reader) error {
	f, err := p.tree.CreateNew(path)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.NewOffsetWriter(f, 0), r)
	if err == nil && n != size {
		err = fmt.Errorf("%s: %w after %d of %d bytes", path, io.ErrUnexpectedEOF, n, size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (p *placer) mkdir(dir string) error {
	if _, there := p.dirs[dir]; there || dir == "." {
		return nil
	}
	if len(p.dirs) == maxDirs {
		return fmt.Errorf("%w: more than %d directories", ErrBadBackup, maxDirs)
	}
	if err := p.mkdir(parentDir(dir)); err != nil {
		return err
	}
	if err := p.tree.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	p.dirs[dir] = struct{}{}
	return nil
}

// wait returns when nothing is being written any more.
func (p *placer) wait() error { return p.g.Wait() }

// finish waits, and syncs the directories.
func (p *placer) finish() error {
	if err := p.wait(); err != nil {
		return err
	}
	return each(placeWorkers, append(slices.Collect(maps.Keys(p.dirs)), "."), p.tree.SyncDir)
}

// emptyTree opens dir, which it makes if need be, for something that is to fill it.
func emptyTree(dir string) (*vfs.Dir, error) {
	tree, err := vfs.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	names, err := tree.ReadDir(".")
	if err == nil && len(names) > 0 {
		why := unfinished(names)
		if why == "" {
			why = "it has to be empty, or not to be there"
		}
		err = fmt.Errorf("%s: %w: %s", dir, ErrNotEmpty, why)
	}
	if err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	return tree, nil
}

// ErrNotEmpty means that a directory that is to be filled has something in it.
var ErrNotEmpty = errors.New("directory is not empty")

// mark makes a small file, on stable storage with its name when it returns.
func mark(tree *vfs.Dir, name, text string) error {
	f, err := tree.CreateNew(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), tree.SyncDir("."))
}
