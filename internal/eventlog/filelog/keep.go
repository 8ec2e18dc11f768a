package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// keepingDir makes the directory under quarantine/ that takes what is replaced.
func (r *repairer) keepingDir() error {
	if r.out.Kept != "" {
		return nil
	}
	if err := r.mkdir(quarantineDir); err != nil {
		return err
	}
	at := time.Now().UTC().Format("20060102T150405Z")
	for n := range 1000 {
		dir := fmt.Sprintf("%s/repair.%s-%d", quarantineDir, at, n)
		err := r.tree.Mkdir(dir)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		r.out.Kept = dir
		return errors.Join(err, r.tree.SyncDir(quarantineDir))
	}
	return fmt.Errorf("no free name under %s", quarantineDir)
}

// mkdir makes a directory and those above it, durably.
func (r *repairer) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if err := r.mkdir(parentDir(dir)); err != nil {
		return err
	}
	if err := r.tree.Mkdir(dir); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return r.tree.SyncDir(parentDir(dir))
}

// keptName returns a free name for what path names, in a directory that is there.
func (r *repairer) keptName(path string) (string, error) {
	name := r.out.Kept + "/" + path
	if err := r.mkdir(parentDir(name)); err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		if _, err := r.tree.Mode(name); isNotExist(err) {
			return name, nil
		} else if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s/%s.%d", r.out.Kept, path, n)
	}
}

// move renames durably.
func (r *repairer) move(from, to string) error {
	if err := r.tree.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(r.tree.SyncDir(parentDir(to)), r.tree.SyncDir(parentDir(from)))
}

// setAside moves a file under quarantine/.
func (r *repairer) setAside(path string) error {
	to, err := r.keptName(path)
	if err != nil {
		return err
	}
	return r.move(path, to)
}

// keepCopy copies a file under quarantine/.
func (r *repairer) keepCopy(path string) (to string, err error) {
	if to, err = r.keptName(path); err != nil {
		return "", err
	}
	f, size, err := openLog(r.tree, path)
	if f == nil || err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out, err := r.tree.CreateNew(to)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(f, 0, size))
	if err == nil {
		err = out.Sync()
	}
	return to, errors.Join(err, out.Close(), r.tree.SyncDir(parentDir(to)))
}
