package filelog

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

// A backup travels as a tar archive: the carts' files, directory by directory, and behind each few hundred of them an
// entry manifest/<n> with their lines of the manifest, so that neither side has to hold more than that. The last entry
// has the manifest's last line: without it a stream was cut off.
const (
	manifestEntry  = "manifest/"
	manifestChunk  = 256 << 10 // bytes of the manifest in an entry, about
	smallFile      = 1 << 20   // a file up to this size is held in memory
	backupBufBytes = 256 << 10
)

// BackupInfo sums a backup up.
type BackupInfo struct {
	Incarnation uuid.UUID `json:"incarnation,omitzero"` // of the log it is of
	Time        time.Time `json:"time"`
	Position    uint64    `json:"position"` // of the last event in it
	Carts       int       `json:"carts"`
	Events      int       `json:"events"` // sound ones in the carts' logs
	Files       int       `json:"files"`
	Bytes       int64     `json:"bytes"`
	// Damaged are the files in which something did not check out in the log itself: they are copied as they are. At most
	// 10,000 are listed.
	Damaged []string `json:"damaged"`
}

// Backup writes a backup of the log to w, for [ReceiveBackup], while the log is being used.
//
// It is of one position P, that of the last event that was decided when Backup began: each event up to P of every cart is
// in it, so everything that was acknowledged before, and none behind P. Commits are whole, because a frame of the journal
// is decided at once. This holds without stopping anybody: first what is behind is written to the carts' files, which
// every writer does anyway; from then on each file has its events up to P, and it is read, without a lock, up to the first
// line behind P. Files of carts that were made later have no line up to P and are left out.
//
// Memory is bounded by the largest directory's names. It ends with ctx, and with the log's Close.
func (l *Log) Backup(ctx context.Context, w io.Writer) (*BackupInfo, error) {
	if l.isClosed() {
		return nil, eventlog.ErrClosed
	}
	l.sealing.Lock() // a part that is sealed now has lines behind P, or is not among the names that were read
	defer l.sealing.Unlock()
	b := &backup{tree: l.fs, maxLine: l.opts.MaxLineBytes, position: l.Head(), live: true}
	b.upTo = b.position
	if err := l.flushBehind(); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.stop:
			cancel(eventlog.ErrClosed)
		case <-ctx.Done():
		}
	}()
	b.manifest = newManifest()
	b.manifest.head.Incarnation = l.incarnation
	info, err := b.run(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return info, nil
}

// BackupDir is [Log.Backup] of a log that no process has open, which it makes sure of with the log's lock. It changes
// nothing. What the journal has and the carts' files lack is in the backup; a torn end is not. The error wraps
// vfs.ErrLocked when a process has the log open, eventlog.ErrCorrupt when the journal is damaged, so that events might be
// missing, and ErrNoLog when there is nothing.
func BackupDir(ctx context.Context, dir string, w io.Writer, opts CheckOptions) (*BackupInfo, error) {
	tree, err := vfs.OpenExisting(dir)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", dir, err)
	}
	defer tree.Close() // only read
	info, err := backupTree(ctx, tree, w, opts)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", dir, err)
	}
	return info, nil
}

func backupTree(ctx context.Context, tree *vfs.Dir, w io.Writer, opts CheckOptions) (_ *BackupInfo, err error) {
	c := newChecker(tree, opts)
	if err := errors.Join(c.something(), refuseUnfinished(tree)); err != nil {
		return nil, err
	}
	lock, err := tree.Lock(lockName)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := c.soundJournal(); err != nil {
		return nil, err
	}
	b := &backup{tree: tree, maxLine: c.opts.MaxLineBytes, upTo: math.MaxUint64, position: c.survey.End().Position, records: c.records,
		behind: make(map[string][]string), manifest: newManifest()}
	b.manifest.head.Incarnation = uuid.UUID(c.survey.State.ID)
	for path := range c.records {
		if archived, err := isArchived(tree, path); err != nil {
			return nil, err
		} else if archived { // what the journal has is in there, and alone it would not be the cart
			delete(c.records, path)
			continue
		}
		dir := parentDir(path)
		b.behind[dir] = append(b.behind[dir], path[len(dir)+1:])
	}
	return b.run(ctx, w)
}

// backup writes a backup.
type backup struct {
	tree     vfs.FS
	maxLine  int
	live     bool                // the log is being written
	upTo     uint64              // no event behind this position
	position uint64              // of the last event
	records  map[string][]record // that the journal has, by path, of a log that is not open
	behind   map[string][]string // the names of their files, by directory
	manifest *manifest
	damaged  []string

	tar   *tar.Writer
	lines bytes.Buffer // of the manifest, to be written
	part  int          // of the manifest
	buf   []byte
}

func (b *backup) run(ctx context.Context, w io.Writer) (*BackupInfo, error) {
	out := bufio.NewWriterSize(w, backupBufBytes)
	b.tar = tar.NewWriter(out)
	m := b.manifest
	m.head.Version, m.head.Time = manifestVersion, eventlog.StoredTime(time.Now())
	if err := m.write(&b.lines, m.head); err != nil {
		return nil, err
	}
	if err := b.walk(func(dir string) error { return b.dir(ctx, dir) }); err != nil {
		return nil, err
	}
	if err := m.writeFoot(&b.lines, b.position); err != nil {
		return nil, err
	}
	if err := b.writeLines(); err != nil {
		return nil, err
	}
	if err := errors.Join(b.tar.Close(), out.Flush()); err != nil {
		return nil, err
	}
	return m.info(b.damaged), nil
}

// info sums a whole manifest up.
func (m *manifest) info(damaged []string) *BackupInfo {
	f := &m.foot
	return &BackupInfo{Incarnation: m.head.Incarnation, Time: m.head.Time, Position: f.Position,
		Carts: f.Carts, Events: f.Events, Files: f.Files, Bytes: f.Bytes, Damaged: append([]string{}, damaged...)}
}

// walk visits the directories that can hold streams' files, in the order of their files' paths.
func (b *backup) walk(visit func(dir string) error) error {
	dirs := make(map[string]struct{})
	for dir := range b.behind {
		dirs[dir] = struct{}{}
	}
	top, err := b.tree.ReadDir(".")
	if err != nil {
		return err
	}
	for _, name := range top {
		if kind, many := strings.CutSuffix(name, "s"); !many || name == quarantineDir || !eventlog.ValidName(kind) {
			continue
		}
		subs, err := readDir(b.tree, name)
		if err != nil {
			return err
		}
		for _, sub := range subs {
			if _, ok := parseHex([]byte(sub)); ok && len(sub) == 2 {
				dirs[name+"/"+sub] = struct{}{}
			}
		}
	}
	if err := walkArchives(b.tree, func(dir, _ string) error {
		dirs[dir] = struct{}{}
		return nil
	}); err != nil {
		return err
	}
	for _, dir := range slices.SortedFunc(maps.Keys(dirs), func(a, b string) int { return cmp.Compare(a+"/", b+"/") }) {
		if err := visit(dir); err != nil {
			return err
		}
	}
	return nil
}

// dir writes the files of a directory.
func (b *backup) dir(ctx context.Context, dir string) error {
	names, err := readDir(b.tree, dir)
	if err != nil && !isNotExist(err) { // only the journal may know of it
		return err
	}
	names = append(names, b.behind[dir]...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		path := dir + "/" + name
		if _, _, ok := splitPath(path); !ok {
			continue
		}
		if err := b.file(ctx, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if b.lines.Len() >= manifestChunk {
			if err := b.writeLines(); err != nil {
				return err
			}
		}
	}
	return nil
}

// file writes a file, as far as it belongs in the backup.
func (b *backup) file(ctx context.Context, path string) (err error) {
	f, size, err := openLog(b.tree, path)
	if err != nil {
		return err
	}
	var src io.ReaderAt = byteFile(nil)
	if f != nil {
		defer func() { err = errors.Join(err, f.Close()) }()
		if src, err = b.load(f, size); err != nil {
			return err
		}
	}
	entry := manifestFile{Path: path, Size: size}
	if strings.HasSuffix(path, logSuffix) {
		part, err := b.cut(ctx, path, src, size)
		if err == nil && part.damaged > 0 && b.live {
			// What a writer is in the middle of may look like damage: what is damaged is so on a second look.
			if size, err = f.Size(); err == nil {
				part, err = b.cut(ctx, path, f, size)
			}
			src = f
		}
		if err != nil {
			return err
		}
		src = &joined{src, part.end, part.behind}
		entry.Size = part.end + int64(len(part.behind))
		entry.Events, entry.Damaged = part.events, part.damaged
		b.position = max(b.position, part.last)
	}
	if _, is := archivedPath(path); is {
		if err := b.lookAt(src, &entry); err != nil {
			return err
		}
	}
	if entry.Size == 0 {
		return nil
	}
	if entry.Damaged > 0 && len(b.damaged) < maxFindings {
		b.damaged = append(b.damaged, path)
	}
	sum := sha256.New()
	if err := b.tar.WriteHeader(&tar.Header{Name: path, Size: entry.Size, Mode: 0o640, ModTime: b.manifest.head.Time.Truncate(time.Second)}); err != nil {
		return err
	}
	if _, err := io.Copy(io.MultiWriter(b.tar, sum), io.NewSectionReader(src, 0, entry.Size)); err != nil {
		return err
	}
	entry.SHA256 = sumOf(sum)
	return b.manifest.writeFile(&b.lines, entry)
}

// lookAt describes an archive, which is copied as it is.
func (b *backup) lookAt(src io.ReaderAt, entry *manifestFile) error {
	l, r, err := openSealed(src, entry.Size)
	if errors.Is(err, errSealed) {
		entry.Damaged = 1
		return nil
	}
	if err != nil {
		return err
	}
	defer r.dec.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if r.bad != nil {
		entry.Damaged = 1
	}
	entry.Events = int(l.Lines)
	b.position = max(b.position, l.End)
	return nil
}

// load reads a small file: it is gone through twice.
func (b *backup) load(f vfs.File, size int64) (io.ReaderAt, error) {
	if size > smallFile {
		return f, nil
	}
	b.buf = slices.Grow(b.buf[:0], int(size))[:size]
	if n, err := f.ReadAt(b.buf, 0); n < len(b.buf) {
		return nil, err
	}
	return byteFile(b.buf), nil
}

// writeLines writes the manifest's next entry.
func (b *backup) writeLines() error {
	b.part++
	name := fmt.Sprintf("%s%08d", manifestEntry, b.part)
	if err := b.tar.WriteHeader(&tar.Header{Name: name, Size: int64(b.lines.Len()), Mode: 0o640, ModTime: b.manifest.head.Time.Truncate(time.Second)}); err != nil {
		return err
	}
	_, err := b.tar.Write(b.lines.Bytes())
	b.lines.Reset()
	return err
}
