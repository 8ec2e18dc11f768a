// Package vfs is the file system as filelog sees it: few calls, so that a test can fail each of them, or forget what
// was not synced.
//
// Names are slash-separated and relative to the data directory; none leads out of it. [OpenDir] gives the real one,
// which stands on [os.Root]; package errfs wraps any other.
package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrLocked means that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// ErrNetworkFS means that the tree is on a network file system.
var ErrNetworkFS = errors.New("on a network file system")

// FS is a directory tree. Safe for concurrent use. Errors wrap those of io/fs.
type FS interface {
	// Lock takes the lock file name for this process until the returned Closer is closed, and writes the process
	// id into it. It does not wait: when the lock is held it returns an error that wraps ErrLocked and names the
	// holder's process id. On a network file system, where a lock may not hold and a sync may not reach a disk, it
	// returns an error that wraps ErrNetworkFS.
	Lock(name string) (io.Closer, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Create opens a file for reading and writing and makes it if it is not there. It is durable after its own
	// Sync and SyncDir of its directory.
	Create(name string) (File, error)
	// CreateNew is Create for a file that must not be there: fs.ErrExist otherwise.
	CreateNew(name string) (File, error)
	// Mkdir makes a directory; fs.ErrExist when it is there. It is durable after SyncDir of its parent.
	Mkdir(name string) error
	// Rename gives a file another name, in place of a file that has it. It is durable after SyncDir, of both
	// directories if it was moved to another one.
	Rename(from, to string) error
	// Remove removes a file.
	Remove(name string) error
	// ReadDir returns the names in a directory, in no order, without looking at what they name.
	ReadDir(name string) ([]string, error)
	// SyncDir brings a directory's entries to stable storage.
	SyncDir(name string) error
	// Free returns how many bytes this process may still write, or errors.ErrUnsupported.
	Free() (uint64, error)
	// Close releases the tree. Open files stay usable.
	Close() error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the file's length in bytes.
	Size() (int64, error)
	// Changed returns when the content was last written.
	Changed() (time.Time, error)
	// Truncate sets the length.
	Truncate(size int64) error
	// Sync brings content and all metadata to stable storage.
	Sync() error
	// Datasync is Sync without metadata that reading does not need, such as the time of change.
	Datasync() error
}
