package filelog

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"

	"github.com/prometheus/client_golang/prometheus"
)

// Durability says when an append is answered.
type Durability int

const (
	// SyncAlways answers when the events are on stable storage.
	SyncAlways Durability = iota
	// SyncNever answers when the operating system has the events: a power failure loses answered appends. For
	// tests.
	SyncNever
)

// Options configure a Log. The zero value is ready to use.
type Options struct {
	Durability Durability
	// LowSpaceBytes is how much of the disk is left free: appends that would take of it are refused with
	// eventlog.ErrLowSpace. 0 switches the check off.
	LowSpaceBytes uint64
	// SegmentBytes is the size of the journal's segments. 0 means 16 MiB; otherwise at least 4 KiB and at most 1 GiB.
	SegmentBytes int
	// CheckpointSegments is how many segments are full when a checkpoint is made: a file that grows all the time is
	// synced once for all of them. 0 means 4; otherwise at least 1 and at most 7.
	CheckpointSegments int
	// FeedRetention is how long events stay in the journal for [Log.ReadAll], at least, while there is room on the disk.
	// It costs as much of the disk as the streams' files of that time. 0: until they are in the streams' files.
	FeedRetention time.Duration
	// OpenFiles is how many streams' files stay open for writing. 0 means 512.
	OpenFiles int
	// SealBytes is how long a stream's file grows before most of it is compressed, at the earliest. 0 means 1 MiB.
	SealBytes int
	// MaxLineBytes bounds a line, its newline included: a larger event is refused, a larger line in a file is
	// damage. 0 means 8 MiB; otherwise at least 4 KiB and at most 1 GiB.
	MaxLineBytes int
	// Metrics is told what happens. nil: nobody is.
	Metrics *eventlog.Metrics
	// Logger gets what an operator should know. nil: it is discarded.
	Logger *slog.Logger
	// FS is the tree that the log lives in, closed with the log. nil: the directory that Open is given.
	FS vfs.FS
	// Now dates quarantined files and the metric of the last append, and tells the age of segments. nil: time.Now.
	Now func() time.Time
}

// resolve fills in the defaults.
func (o Options) resolve() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.CheckpointSegments == 0 {
		o.CheckpointSegments = 4
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = 512
	}
	if o.SealBytes == 0 {
		o.SealBytes = 1 << 20
	}
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = 8 << 20
	}
	if o.Metrics == nil {
		o.Metrics = eventlog.NewMetrics(prometheus.NewRegistry())
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Durability != SyncAlways && o.Durability != SyncNever:
		return o, fmt.Errorf("durability %d is unknown", o.Durability)
	case o.SegmentBytes < 4<<10 || o.SegmentBytes > 1<<30:
		return o, errors.New("journal segment: want 4 KiB to 1 GiB")
	case o.CheckpointSegments < 1 || o.CheckpointSegments >= maxSegments:
		return o, fmt.Errorf("segments before a checkpoint: want 1 to %d", maxSegments-1)
	case o.FeedRetention < 0:
		return o, errors.New("feed retention: want 0 or more")
	case o.OpenFiles < 1:
		return o, errors.New("open files: want at least 1")
	case o.MaxLineBytes < 4<<10 || o.MaxLineBytes > 1<<30:
		return o, errors.New("largest line: want 4 KiB to 1 GiB")
	}
	return o, nil
}
