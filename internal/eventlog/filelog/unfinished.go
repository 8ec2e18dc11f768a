package filelog

import (
	"errors"
	"fmt"
	"slices"

	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

// restoringName is a file that is in a data directory from the beginning of a restore to its end.
const restoringName = "RESTORING"

// ErrUnfinished means that a directory holds a restore or a backup that has not come to its end. Nothing starts on it.
var ErrUnfinished = errors.New("not finished")

// ErrBackup means that a directory holds a backup where an event log is asked for.
var ErrBackup = errors.New("directory holds a backup; cartd restore makes a data directory of it")

// Incarnation implements [eventlog.Feed]. The id is made with the journal, is on stable storage before the first event, and
// stays the same until the log is restored from a backup or its journal is lost: positions of another incarnation say
// nothing here.
func (l *Log) Incarnation() uuid.UUID { return l.incarnation }

// refuseUnfinished returns an error if the tree is not one to work on: half a restore, or a backup.
func refuseUnfinished(tree vfs.FS) error {
	names, err := tree.ReadDir(".")
	if err != nil {
		return err
	}
	if why := unfinished(names); why != "" {
		return fmt.Errorf("%w: %s", ErrUnfinished, why)
	}
	if is, err := isBackup(tree, names); err != nil || !is {
		return err
	}
	return ErrBackup
}

// unfinished says in words what has not come to its end in a directory with these names; "" if nothing has.
func unfinished(names []string) (why string) {
	switch {
	case slices.Contains(names, restoringName):
		return "a restore into this directory was cut off: remove the directory and restore again"
	case slices.Contains(names, manifestPart):
		return "a backup into this directory was cut off: remove the directory and make another"
	}
	return ""
}

// isBackup reports whether the tree, with these names, has the manifest of a backup, sound or not.
func isBackup(tree vfs.FS, names []string) (is bool, err error) {
	if !slices.Contains(names, manifestName) {
		return false, nil
	}
	f, size, err := openLog(tree, manifestName)
	if f == nil || err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	start := make([]byte, min(size, int64(len(manifestStart))))
	if n, err := f.ReadAt(start, 0); n < len(start) {
		return false, err
	}
	return string(start) == manifestStart, nil
}
