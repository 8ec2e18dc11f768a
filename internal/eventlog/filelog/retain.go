package filelog

import (
	"fmt"

	"cartd/internal/eventlog/filelog/journal"
)

// headroomSegments is how many of the journal's segments have to fit on the disk above the low-water mark: with less
// room, what stays for readers goes.
const headroomSegments = 4

// retire lets go of the checkpointed segments that are too old, and that nobody has pinned.
func (l *Log) retire() error {
	after, pinned := l.pins.Least()
	now := l.opts.Now()
	return l.letGo(func(s journal.Segment) bool {
		if pinned && s.Last > after {
			return true
		}
		if l.opts.FeedRetention == 0 {
			return false
		}
		f, err := l.fs.Open(s.Name)
		if err != nil {
			return true // it is asked again
		}
		written, err := f.Changed()
		f.Close() // only read
		return err != nil || now.Sub(written) < l.opts.FeedRetention
	})
}

// reclaim frees so many bytes: of the segments that wait to be used again, and then of checkpointed ones, pinned or not,
// the oldest first: shoppers come before readers. It reports whether there were any.
func (l *Log) reclaim(want int64) bool {
	bytes, err := l.journal.Trim()
	segments, trimmed := 0, bytes > 0
	if err == nil {
		err = l.letGo(func(s journal.Segment) bool {
			if bytes >= want {
				return true
			}
			bytes += s.Bytes
			segments++
			return false
		})
	}
	if err == nil && segments > 0 {
		_, err = l.journal.Trim() // of what was let go of
	}
	if err != nil {
		l.fail(err)
		return false
	}
	if segments > 0 {
		l.opts.Logger.Warn("event log is low on disk space: the oldest of the feed was let go of", "segments", segments, "bytes", bytes,
			"earliest_position", l.journal.Earliest())
	}
	return segments > 0 || trimmed
}

// letGo lets go of checkpointed segments, the oldest first, until keep says that one has to stay.
func (l *Log) letGo(keep func(journal.Segment) bool) error {
	l.checkpoints.mu.Lock()
	frame := l.checkpoints.frame
	l.checkpoints.mu.Unlock()
	if err := l.journal.Retire(frame, keep); err != nil {
		return fmt.Errorf("let go of the journal's segments: %w", err)
	}
	l.metrics.JournalBytes.Set(float64(l.journal.Bytes()))
	return nil
}
