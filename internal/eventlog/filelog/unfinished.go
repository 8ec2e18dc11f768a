package filelog

import (
	"bytes"
	"errors"
	"fmt"

	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

// restoringName is a file that is in a data directory from the beginning of a restore to its end.
const restoringName = "RESTORING"

// ErrUnfinished means that a directory holds a restore or a backup that has not come to its end. Nothing starts on it.
var ErrUnfinished = errors.New("not finished")

// ErrBackup means that a directory holds a backup where an event log is asked for.
var ErrBackup = errors.New("directory holds a backup; cartd restore makes a data directory of it")

// Incarnation returns the id of this log. It is made with the journal, is on stable storage before the first event, and
// stays the same until the log is restored from a backup or its journal is lost: positions of another incarnation say
// nothing here.
func (l *Log) Incarnation() uuid.UUID { return l.incarnation }

// refuseUnfinished returns an error if the tree is not one to work on: half a restore, or a backup.
func refuseUnfinished(tree vfs.FS) error {
	switch why, err := unfinished(tree); {
	case err != nil:
		return err
	case why != "":
		return fmt.Errorf("%w: %s", ErrUnfinished, why)
	}
	is, err := isBackup(tree)
	if is {
		return ErrBackup
	}
	return err
}

// unfinished says in words what has not come to its end in the tree; "" if nothing has.
func unfinished(tree vfs.FS) (why string, err error) {
	for _, mark := range []struct{ name, why string }{
		{restoringName, "a restore into this directory was cut off: remove the directory and restore again"},
		{manifestPart, "a backup into this directory was cut off: remove the directory and make another"},
	} {
		f, err := tree.Open(mark.name)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		return mark.why, f.Close()
	}
	return "", nil
}

// isBackup reports whether the tree has the manifest of a backup, sound or not.
func isBackup(tree vfs.FS) (is bool, err error) {
	f, size, err := openLog(tree, manifestName)
	if f == nil || err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	start := make([]byte, min(size, int64(len(manifestStart))))
	if n, err := f.ReadAt(start, 0); n < len(start) {
		return false, err
	}
	return bytes.Equal(start, []byte(manifestStart)), nil
}
