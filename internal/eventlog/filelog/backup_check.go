package filelog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"
)

// What [Verify] finds in a backup, beside the kinds of a stream's file.
const (
	Unfinished   Kind = "unfinished"    // a restore or a backup was cut off
	BadManifest  Kind = "manifest"      // a backup's manifest is not what was written
	BackupLacks  Kind = "backup_lacks"  // a file of the manifest is missing
	BackupDiffer Kind = "backup_differ" // a file is not what the manifest says
	Surplus      Kind = "surplus"       // a file is not in the manifest
	BeyondBackup Kind = "beyond_backup" // a line's position is behind that of the backup
)

// verifyBackup fills the report with what a backup has: its manifest, each file's size and sum, each line. What did not
// check out in the log that the backup is of is a note. The manifest is read once, so that memory is bounded by what one
// directory has.
func (c *checker) verifyBackup(ctx context.Context) (*manifest, error) {
	start := time.Now()
	c.survey, c.report.Backup = &journal.Survey{}, true
	m, err := c.backupFiles(ctx)
	if errors.Is(err, ErrBadBackup) {
		c.fault(Finding{File: manifestName, Kind: BadManifest, Detail: err.Error()})
	} else if err != nil {
		return nil, err
	}
	c.report.Carts, c.report.Position = m.foot.Carts, m.foot.Position
	c.positionsOf(m)
	for _, f := range [][]Finding{c.report.Faults, c.report.Notes} {
		slices.SortStableFunc(f, compareFindings)
	}
	c.report.Seconds = time.Since(start).Seconds()
	return m, nil
}

// backupFiles goes through the manifest.
func (c *checker) backupFiles(ctx context.Context) (m *manifest, err error) {
	m = newManifest()
	f, size, err := openLog(c.tree, manifestName)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(verifyWorkers)
	listing := backupListing{c: c, dirs: make(map[string]bool), above: make(map[string]bool)}
	err = eachLine(io.NewSectionReader(f, 0, size), func(line []byte) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		file, err := m.read(line)
		if file == nil || err != nil {
			return err
		}
		if err := listing.add(file.Path); err != nil {
			return err
		}
		g.Go(func() error { return c.backupFile(ctx, file) })
		return nil
	})
	if err == nil && !m.done {
		err = fmt.Errorf("%w: its manifest has no last line", ErrBadBackup)
	}
	if waited := g.Wait(); waited != nil {
		return m, waited
	}
	if err != nil {
		return m, err
	}
	return m, listing.rest()
}

// backupFile looks at one file.
func (c *checker) backupFile(ctx context.Context, want *manifestFile) (err error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.done++
		c.opts.Progress(c.done, -1)
	}()
	f, size, err := c.openFile(want.Path)
	switch {
	case errors.Is(err, errNoFile):
		c.fault(Finding{File: want.Path, Kind: NoFile, Detail: err.Error()})
		return nil
	case err != nil:
		return err
	case f == nil:
		c.fault(Finding{File: want.Path, Kind: BackupLacks, Detail: "the manifest has it, and it is missing"})
		return nil
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if size != want.Size {
		c.fault(Finding{File: want.Path, Offset: min(size, want.Size), Kind: BackupDiffer, Detail: fmt.Sprintf("it has %d bytes, the manifest says %d", size, want.Size)})
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return err
	}
	if sumOf(sum) != want.SHA256 {
		c.fault(Finding{File: want.Path, Kind: BackupDiffer, Detail: "its SHA-256 is not that of the manifest"})
		return nil
	}
	log, archive := archivedPath(want.Path)
	if archive {
		if archive, err = isArchived(c.tree, log); err != nil {
			return err
		}
	} else {
		log = want.Path
	}
	if !archive && !strings.HasSuffix(want.Path, logSuffix) {
		return nil // a sealed part is gone through with the file behind it, and an archive beside that file is not in force
	}
	k := newStreamCheck(c, log)
	if err := k.check(ctx); err != nil {
		return fmt.Errorf("%s: %w", want.Path, err)
	}
	for _, f := range k.faults[:min(len(k.faults), maxFileFindings)] {
		if want.Damaged > 0 {
			f.Kind, f.Detail = KnownDamage, "it was like that in the shop: "+f.Detail
			c.note(f)
		} else {
			c.fault(f)
		}
	}
	return nil
}

// openFile opens a file. One that is not there is nil.
func (c *checker) openFile(path string) (vfs.File, int64, error) {
	mode, err := c.tree.Mode(path)
	if isNotExist(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if !mode.IsRegular() { // opening a pipe would wait for who writes to it
		return nil, 0, errNoFile
	}
	return openLog(c.tree, path)
}

// positionsOf compares the positions of all lines with each other and with the manifest.
func (c *checker) positionsOf(m *manifest) {
	if !m.done {
		return
	}
	for pos := range c.seen.twice { // all sums are right, or there are faults enough
		c.note(Finding{File: ".", Kind: PositionTwice, Detail: fmt.Sprintf("it was like that in the shop: position %d is that of two lines", pos)})
	}
	if c.seen.max > m.foot.Position {
		c.fault(Finding{File: ".", Kind: BeyondBackup, Detail: fmt.Sprintf("a line has position %d, the backup ends at %d", c.seen.max, m.foot.Position)})
	}
	if have := c.seen.count(m.foot.Position); have < m.foot.Position {
		c.note(Finding{File: ".", Kind: Holes, Detail: fmt.Sprintf("%d of %d positions are in no file: carts were removed, or lines lost", m.foot.Position-have, m.foot.Position)})
	}
}

// backupListing compares the names in the directories with those of the manifest, which come in order.
type backupListing struct {
	c     *checker
	dir   string
	names []string        // of the manifest, in dir
	dirs  map[string]bool // that have files
	above map[string]bool // that have such directories
}

func (l *backupListing) add(path string) error {
	if dir := parentDir(path); dir != l.dir {
		if err := l.compare(); err != nil {
			return err
		}
		l.dir, l.names = dir, l.names[:0]
		for up := parentDir(dir); up != "."; up = parentDir(up) {
			l.above[up] = true
		}
		l.dirs[dir] = true
	}
	l.names = append(l.names, path[len(l.dir)+1:])
	return nil
}

// compare looks for surplus files in the directory that has been gone through.
func (l *backupListing) compare() error {
	if l.dir == "" {
		return nil
	}
	names, err := l.c.tree.ReadDir(l.dir)
	if isNotExist(err) {
		return nil // its files are missing
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := slices.BinarySearch(l.names, name); !ok {
			l.surplus(l.dir + "/" + name)
		}
	}
	return nil
}

// rest looks at what is beside the directories that have files.
func (l *backupListing) rest() error {
	if err := l.compare(); err != nil {
		return err
	}
	return l.below(".")
}

// below looks at what is in a directory that has others.
func (l *backupListing) below(dir string) error {
	names, err := readDir(l.c.tree, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := strings.TrimPrefix(dir+"/"+name, "./")
		switch {
		case l.dirs[path], path == manifestName, path == lockName:
		case !l.above[path]:
			l.surplus(path)
		default:
			if err := l.below(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *backupListing) surplus(path string) {
	l.c.fault(Finding{File: path, Kind: Surplus, Detail: "the manifest does not have it"})
}

// special reports on a directory that is no log: a backup, or what was cut off on the way. done is false for others.
func (c *checker) special(ctx context.Context) (done bool, err error) {
	names, err := c.tree.ReadDir(".")
	if err != nil {
		return false, err
	}
	if why := unfinished(names); why != "" {
		c.fault(Finding{File: ".", Kind: Unfinished, Detail: why})
		return true, nil
	}
	is, err := isBackup(c.tree, names)
	if !is || err != nil {
		return false, err
	}
	_, err = c.verifyBackup(ctx)
	return true, err
}
