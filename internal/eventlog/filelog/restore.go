package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

// Restored is what [Restore] has done.
type Restored struct {
	BackupInfo
	// NewIncarnation is that of the restored log.
	NewIncarnation uuid.UUID `json:"newIncarnation"`
}

// Restore makes a log in dir, which is empty or missing, of the backup in from. All of the backup is checked first, as
// [Verify] does: the report is returned in any case, and if it has a fault, the error wraps ErrBadBackup and dir is not
// touched. What is then copied is compared with the manifest once more.
//
// The restored log has an incarnation of its own, and its next event has the position behind that of the backup. All is
// on stable storage when Restore returns. Until then dir holds a file RESTORING: neither Open nor anybody else takes it
// for a log. After an error, or a death half way, dir is to be removed.
func Restore(ctx context.Context, from, dir string, opts CheckOptions) (*Restored, *Report, error) {
	if inside(dir, from) {
		return nil, nil, fmt.Errorf("restore to %s: it is part of the backup %s", dir, from)
	}
	source, err := vfs.OpenExisting(from)
	if err != nil {
		return nil, nil, fmt.Errorf("restore from %s: %w", from, err)
	}
	defer source.Close() // only read
	c := newChecker(source, opts)
	m, err := c.soundBackup(ctx)
	if err != nil {
		return nil, c.report, fmt.Errorf("restore from %s: %w", from, err)
	}
	tree, err := emptyTree(dir)
	if err != nil {
		return nil, c.report, fmt.Errorf("restore to %w", err)
	}
	defer tree.Close() // all that was written is synced
	r := &restorer{source: source, tree: tree, opts: c.opts, want: m.foot}
	state, err := r.run(ctx)
	if err != nil {
		if errors.Is(err, vfs.ErrLocked) || errors.Is(err, ErrNotEmpty) {
			return nil, c.report, fmt.Errorf("restore to %s: %w", dir, err)
		}
		return nil, c.report, fmt.Errorf("restore to %s: %w; what is there is no event log: remove it", dir, err)
	}
	return &Restored{BackupInfo: *m.info(r.damaged), NewIncarnation: uuid.UUID(state.ID)}, c.report, nil
}

// soundBackup checks the backup. The error wraps ErrBadBackup if it has a fault.
func (c *checker) soundBackup(ctx context.Context) (*manifest, error) {
	names, err := c.tree.ReadDir(".")
	if err != nil {
		return nil, err
	}
	if why := unfinished(names); why != "" {
		return nil, fmt.Errorf("%w: %w: %s", ErrBadBackup, ErrUnfinished, why)
	}
	if is, err := isBackup(c.tree, names); err != nil {
		return nil, err
	} else if !is {
		return nil, fmt.Errorf("%w: it has no %s that begins as one of a backup does", ErrBadBackup, manifestName)
	}
	m, err := c.verifyBackup(ctx)
	if err == nil && len(c.report.Faults) > 0 {
		err = fmt.Errorf("%w: %d faults", ErrBadBackup, len(c.report.Faults))
	}
	return m, err
}

// inside reports whether path is dir or below it, as far as names tell.
func inside(path, dir string) bool {
	path, err := filepath.Abs(path)
	dir, err2 := filepath.Abs(dir)
	rel, err3 := filepath.Rel(dir, path)
	return errors.Join(err, err2, err3) == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// restorer fills a data directory.
type restorer struct {
	source, tree *vfs.Dir
	opts         CheckOptions
	want         manifestFoot
	damaged      []string
	files        int
}

func (r *restorer) run(ctx context.Context) (state journal.State, err error) {
	lock, err := r.tree.Lock(lockName)
	if err != nil {
		return state, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if names, err := r.tree.ReadDir("."); err != nil || len(names) > 1 { // a server may have come and gone since it was empty
		return state, errors.Join(err, ErrNotEmpty)
	}
	text := fmt.Sprintf("cartd restore began %s and has not come to its end: remove this directory and restore again.\n", time.Now().UTC().Format(time.RFC3339))
	if err := mark(r.tree, restoringName, text); err != nil {
		return state, err
	}
	place := newPlacer(ctx, r.tree)
	r.opts.Progress(0, r.want.Files)
	if err := errors.Join(place.mkdir(kindDir(eventlog.KindCart)), place.mkdir(journalDir)); err != nil {
		return state, err
	}
	if err := r.copyAll(place); err != nil {
		return state, errors.Join(err, place.wait())
	}
	if err := place.finish(); err != nil {
		return state, err
	}
	// The checkpoint is all that the journal needs to go on behind the backup's position.
	state = journal.NewState(r.want.Position)
	if err := journal.WriteCheckpoint(r.tree, journalDir, state, true); err != nil {
		return state, err
	}
	return state, errors.Join(r.tree.Remove(restoringName), r.tree.SyncDir("."))
}

// copyAll copies what the manifest names, which has to be what was checked.
func (r *restorer) copyAll(place *placer) (err error) {
	f, size, err := openLog(r.source, manifestName)
	if f == nil || err != nil {
		return errors.Join(err, ErrBadBackup)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m := newManifest()
	err = eachLine(io.NewSectionReader(f, 0, size), func(line []byte) error {
		file, err := m.read(line)
		if file == nil || err != nil {
			return err
		}
		return r.copy(place, file)
	})
	if err == nil && m.foot != r.want {
		err = fmt.Errorf("%w: it has changed since it was checked", ErrBadBackup)
	}
	return err
}

func (r *restorer) copy(place *placer, file *manifestFile) (err error) {
	f, size, err := openLog(r.source, file.Path)
	if err != nil {
		return err
	}
	if f == nil || size != file.Size {
		return fmt.Errorf("%w: %s has changed since it was checked", ErrBadBackup, file.Path)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum, err := place.put(file.Path, size, io.NewSectionReader(f, 0, size))
	if err != nil {
		return err
	}
	if sum != file.SHA256 {
		return fmt.Errorf("%w: %s has changed since it was checked", ErrBadBackup, file.Path)
	}
	if file.Damaged > 0 && len(r.damaged) < maxFindings {
		r.damaged = append(r.damaged, file.Path)
	}
	r.files++
	r.opts.Progress(r.files, r.want.Files)
	return nil
}
