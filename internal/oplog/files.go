package oplog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The sizes of the files.
const (
	fileBytes  = 8 << 20 // a file that has reached it is compressed, and the next one begun
	filesKept  = 16      // compressed ones; the oldest beyond that are removed
	windowSize = 1 << 20 // that compression looks back at; more takes memory and saves next to nothing
	lineBytes  = 16 << 10
	scanLines  = 100_000 // that one query looks at
	liveSuffix = ".jsonl"
	oldSuffix  = ".jsonl.zst"
	tmpSuffix  = ".tmp"
)

// Files stores operations as lines of JSON: <first Seq>.jsonl, which grows, and older ones, <first Seq>.jsonl.zst.
//
// What Append has stored outlives the process, but not the machine: operations are not worth a sync. Lines that are none,
// because a write was cut off or somebody has edited the file, are passed over. Files that are too many are removed.
type Files struct {
	root   *os.Root
	file   *os.File // the one that grows; nil until the first Append
	size   int64    // of its whole lines
	turnAt int64    // fileBytes
	buf    []byte   // for Append
	torn   bool     // what stands behind them could not be cut off
	stored uint64   // the Seq up to which Append has stored all that it was given
	enc    *zstd.Encoder
}

// OpenFiles opens the operations in dir, which it makes if it is not there.
func OpenFiles(dir string) (_ *Files, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &Files{root: root, turnAt: fileBytes}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the operations in %s: %w", dir, err), f.Close())
		}
	}()
	if f.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(windowSize)); err != nil {
		return nil, err
	}
	names, done, err := f.names()
	if err != nil {
		return nil, err
	}
	for _, name := range done { // what was cut off between two files
		if err := f.root.Remove(name); err != nil {
			return nil, err
		}
	}
	for i, name := range names {
		if strings.HasSuffix(name, liveSuffix) && i < len(names)-1 {
			if err := f.compress(name); err != nil {
				return nil, err
			}
		}
	}
	if len(names) == 0 || !strings.HasSuffix(names[len(names)-1], liveSuffix) {
		return f, nil
	}
	if f.file, err = root.OpenFile(names[len(names)-1], os.O_RDWR|os.O_APPEND, 0); err != nil {
		return nil, err
	}
	info, err := f.file.Stat()
	if err != nil {
		return nil, err
	}
	f.size, f.torn = info.Size(), true // perhaps; an empty line hurts nobody
	return f, nil
}

// names returns the names of the files, the oldest first, and of those that have a compressed twin, which it names instead.
func (f *Files) names() (names, done []string, err error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	all, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(all)
	for i, name := range all {
		if _, ok := firstSeq(name); !ok {
			continue
		}
		if i+1 < len(all) && all[i+1] == twin(name) { // ….jsonl comes right before ….jsonl.zst
			done = append(done, name)
		} else {
			names = append(names, name)
		}
	}
	return names, done, nil
}

// twin returns the name of a file when it is compressed.
func twin(live string) string { return strings.TrimSuffix(live, liveSuffix) + oldSuffix }

// firstSeq returns the Seq in a file's name.
func firstSeq(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(strings.TrimSuffix(name, strings.TrimPrefix(oldSuffix, liveSuffix)), liveSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && seq > 0
}

// Append writes ops at the end of the newest file, in one write. See [Store].
func (f *Files) Append(_ context.Context, ops []Operation) error {
	b := f.buf[:0]
	if f.torn {
		b = append(b, '\n')
	}
	for len(ops) > 0 && ops[0].Seq <= f.stored {
		ops = ops[1:]
	}
	if len(ops) == 0 {
		return nil
	}
	for i := range ops {
		b = append(ops[i].appendLine(b), '\n')
	}
	f.buf = b
	if f.size >= f.turnAt {
		if err := f.turn(); err != nil {
			return err
		}
	}
	if f.file == nil {
		file, err := f.root.OpenFile(fmt.Sprintf("%020d%s", ops[0].Seq, liveSuffix), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
		if err != nil {
			return err
		}
		info, err := file.Stat()
		if err != nil {
			return errors.Join(err, file.Close())
		}
		f.file, f.size = file, info.Size()
	}
	if n, err := f.file.Write(b); err != nil {
		f.torn = n > 0 && f.file.Truncate(f.size) != nil || f.torn
		return err
	}
	f.size, f.torn, f.stored = f.size+int64(len(b)), false, ops[len(ops)-1].Seq
	return nil
}

// turn ends the file that has grown enough.
func (f *Files) turn() error {
	name := f.file.Name()
	name = name[strings.LastIndexByte(name, os.PathSeparator)+1:]
	if err := f.compress(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody has removed it
		return err
	}
	err := f.file.Close()
	f.file, f.size, f.torn = nil, 0, false
	if err != nil {
		return err
	}
	names, _, err := f.names()
	if err != nil {
		return err
	}
	for len(names) > filesKept {
		if err := f.root.Remove(names[0]); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

// compress replaces a file by its compressed twin. Cut off anywhere it leaves one of the two, or both, and can be repeated.
func (f *Files) compress(name string) error {
	old := twin(name)
	from, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = f.root.Stat(old)
		return err // it was done
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := f.root.OpenFile(old+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	f.enc.Reset(to)
	_, err = io.Copy(f.enc, from)
	if err := errors.Join(err, f.enc.Close(), to.Close()); err != nil {
		return err
	}
	if err := f.root.Rename(old+tmpSuffix, old); err != nil {
		return err
	}
	return f.root.Remove(name)
}

// Close syncs and closes the file that grows.
func (f *Files) Close() error {
	var err error
	if f.file != nil {
		err = errors.Join(f.file.Sync(), f.file.Close())
	}
	return errors.Join(err, f.root.Close())
}
