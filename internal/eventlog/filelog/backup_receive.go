package filelog

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"cartd/internal/eventlog/filelog/vfs"
)

// maxPending bounds the files whose lines of the manifest have not come yet.
const maxPending = 100_000

// ReceiveBackup writes the backup that r gives, see [Log.Backup], to dest, which is empty or missing. When it returns nil
// all of it is on stable storage, and what the manifest says of each file is what has come. Until then the manifest is
// called manifest.json.part, which everybody refuses. progress is told of each file; nil: nobody is.
//
// A stream that was cut off, however near its end, or that differs anywhere from its manifest gives an error that wraps
// ErrBadBackup, and a directory that is left as it is. It wraps ErrNotEmpty, and nothing is changed, if dest has something
// in it.
func ReceiveBackup(ctx context.Context, r io.Reader, dest string, progress func(files int)) (*BackupInfo, error) {
	tree, err := emptyTree(dest)
	if err != nil {
		return nil, fmt.Errorf("backup to %w", err)
	}
	defer tree.Close() // all that was written is synced
	in := &receiver{tree: tree, manifest: newManifest(), place: newPlacer(ctx, tree), progress: progress}
	if err := in.run(r); err != nil {
		return nil, fmt.Errorf("backup to %s: %w; what is there is no backup: remove it", dest, err)
	}
	return in.manifest.info(in.damaged), nil
}

// receiver takes a backup's archive apart.
type receiver struct {
	tree     *vfs.Dir
	place    *placer
	manifest *manifest
	progress func(int)
	pending  []manifestFile // whose lines have not come yet
	damaged  []string
	files    int

	out  vfs.File // the manifest
	size int64
}

func (in *receiver) run(r io.Reader) (err error) {
	if err := mark(in.tree, manifestPart, ""); err != nil {
		return err
	}
	if in.out, err = in.tree.OpenWrite(manifestPart); err != nil {
		return err
	}
	err = in.entries(r)
	if err == nil {
		err = in.place.finish()
	} else {
		err = errors.Join(err, in.place.wait())
	}
	if err == nil {
		err = in.out.Sync()
	}
	if err = errors.Join(err, in.out.Close()); err != nil {
		return err
	}
	if err := in.tree.Rename(manifestPart, manifestName); err != nil {
		return err
	}
	return in.tree.SyncDir(".")
}

// entries reads the archive and what may be behind it.
func (in *receiver) entries(r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return in.broken(err)
		}
		if err := in.entry(h, archive); err != nil {
			return err
		}
	}
	if !in.manifest.done {
		return fmt.Errorf("%w: it ends before its manifest does", ErrBadBackup)
	}
	// How the stream itself ends may tell that it was cut off.
	switch n, err := io.Copy(io.Discard, io.LimitReader(r, 1)); {
	case err != nil:
		return in.broken(err)
	case n > 0:
		return fmt.Errorf("%w: something follows it", ErrBadBackup)
	}
	return nil
}

// broken is err of reading the archive.
func (in *receiver) broken(err error) error {
	if cause := context.Cause(in.place.ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrBadBackup, err)
}

func (in *receiver) entry(h *tar.Header, r io.Reader) error {
	switch {
	case h.Typeflag != tar.TypeReg || h.Size < 0:
		return fmt.Errorf("%w: entry %.200q is no file", ErrBadBackup, h.Name)
	case strings.HasPrefix(h.Name, manifestEntry):
		return in.lines(r)
	case in.manifest.done:
		return fmt.Errorf("%w: files behind its manifest", ErrBadBackup)
	case len(in.pending) == maxPending:
		return fmt.Errorf("%w: more than %d files without their manifest", ErrBadBackup, maxPending)
	}
	if _, _, ok := splitPath(h.Name); !ok {
		return fmt.Errorf("%w: entry %.200q is no file of a cart", ErrBadBackup, h.Name)
	}
	src := &failing{r: r}
	sum, err := in.place.put(h.Name, h.Size, src)
	if err != nil {
		if src.err != nil {
			return in.broken(src.err)
		}
		return err
	}
	in.pending = append(in.pending, manifestFile{Path: h.Name, Size: h.Size, SHA256: sum})
	in.files++
	if in.progress != nil {
		in.progress(in.files)
	}
	return nil
}

// lines takes an entry of the manifest, which has whole lines.
func (in *receiver) lines(r io.Reader) error {
	return eachLine(r, func(line []byte) error {
		f, err := in.manifest.read(line)
		if err != nil {
			return err
		}
		if f != nil {
			if len(in.pending) == 0 || in.pending[0].Path != f.Path {
				return fmt.Errorf("%w: %s is in its manifest and has not come", ErrBadBackup, f.Path)
			}
			if got := in.pending[0]; got.Size != f.Size || got.SHA256 != f.SHA256 {
				return fmt.Errorf("%w: %s is not what its manifest says", ErrBadBackup, f.Path)
			}
			in.pending = in.pending[1:]
			if f.Damaged > 0 && len(in.damaged) < maxFindings {
				in.damaged = append(in.damaged, f.Path)
			}
		}
		if in.manifest.done && len(in.pending) > 0 {
			return fmt.Errorf("%w: %s is not in its manifest", ErrBadBackup, in.pending[0].Path)
		}
		n, err := in.out.WriteAt(append(line, '\n'), in.size)
		in.size += int64(n)
		return err
	})
}

// eachLine calls visit for the lines of a manifest, each of which has its newline. The line may be appended to.
func eachLine(r io.Reader, visit func(line []byte) error) error {
	lines := bufio.NewReaderSize(r, maxManifestLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%w: its manifest has a line without an end", ErrBadBackup)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrBadBackup, err)
		}
		if err := visit(line[: len(line)-1 : len(line)]); err != nil {
			return err
		}
	}
}

// failing keeps the error that a reader gave.
type failing struct {
	r   io.Reader
	err error
}

// Read implements [io.Reader].
func (f *failing) Read(p []byte) (n int, err error) {
	n, err = f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}
