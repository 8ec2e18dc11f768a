package eventlog

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what stores do and what replays find. The cart_event_log_ names are those of the service that
// cartd replaces, so that its dashboards go on working.
type Metrics struct {
	Appends        prometheus.Counter   // events on stable storage
	BytesWritten   prometheus.Counter   // bytes of those events
	LastAppend     prometheus.Gauge     // Unix seconds
	FilesExisting  prometheus.Gauge     // streams that have a log
	AppendDuration prometheus.Histogram // seconds from queueing a commit to its decision
	SyncDuration   prometheus.Histogram // seconds of one sync of the journal
	SyncFailures   prometheus.Counter   // writes and syncs that failed: the store is unusable after the first
	Failed         prometheus.Gauge     // 1 once the store is unusable
	LowSpace       prometheus.Gauge     // 1 while appends are refused for want of room
	DamagedLines   prometheus.Counter   // records that did not check out and could not be restored
	Recovered      prometheus.Gauge     // frames that the process before had not checkpointed: it did not close the store
	TornTails      prometheus.Counter   // incomplete ends of logs that were cut off

	Frames             prometheus.Counter   // frames written to the journal
	FrameEvents        prometheus.Histogram // events in one frame
	CheckpointDuration prometheus.Histogram // seconds of one checkpoint
	JournalBytes       prometheus.Gauge     // bytes of the journal's segments
	BehindBytes        prometheus.Gauge     // bytes in the journal that their streams' files lack
	OpenFiles          prometheus.Gauge     // streams' files open for writing, at the last checkpoint

	Snapshots        prometheus.Counter // snapshots written
	SnapshotsDropped prometheus.Counter // snapshots not written because too many waited
	SnapshotFailures prometheus.Counter // snapshots and sealed parts that could not be written
	SnapshotsUnused  prometheus.Counter // snapshots that did not check out, or were of no use, at a replay
	Seals            prometheus.Counter // prefixes of logs that were compressed
	Archives         prometheus.Counter // logs that were archived

	Replays        prometheus.Counter   // streams replayed
	ReplayFailures prometheus.Counter   // replays that ended with an error
	ReplayDuration prometheus.Histogram // seconds of one replay
	UnknownTypes   prometheus.Counter   // events skipped at replay because nothing handles their type
	MutationErrors prometheus.Counter   // events skipped at replay because their mutation failed
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Appends:            counter("cart_event_log_appends_total", "Events appended and on stable storage."),
		BytesWritten:       counter("cart_event_log_bytes_written_total", "Bytes of the events appended."),
		LastAppend:         gauge("cart_event_log_last_append_unix", "Time of the last append, in Unix seconds; 0 before the first."),
		FilesExisting:      gauge("cart_event_log_files_existing", "Streams that have a log on disk."),
		AppendDuration:     histogram("cartd_event_log_append_duration_seconds", "Time from queueing a commit to its decision.", appendBuckets),
		SyncDuration:       histogram("cartd_event_log_sync_duration_seconds", "Time of one sync of the journal to stable storage.", appendBuckets),
		SyncFailures:       counter("cartd_event_log_write_failures_total", "Writes and syncs that failed; after the first the log accepts nothing more."),
		Failed:             gauge("cartd_event_log_failed", "1 once the log has failed and accepts nothing more: the process ends, and a new start recovers."),
		LowSpace:           gauge("cartd_event_log_low_space", "1 while appends are refused because the disk is below its low-water mark."),
		DamagedLines:       counter("cartd_event_log_damaged_lines_total", "Records that did not check out and were skipped."),
		Recovered:          gauge("cartd_event_log_recovered_frames", "Frames of the journal that the last start found without a checkpoint: the process before did not close the log."),
		TornTails:          counter("cartd_event_log_torn_tails_total", "Incomplete ends of logs that were cut off; they were never acknowledged."),
		Frames:             counter("cartd_event_log_journal_frames_total", "Frames written to the journal, each with one sync."),
		FrameEvents:        histogram("cartd_event_log_frame_events", "Events in one frame of the journal.", prometheus.ExponentialBuckets(1, 2, 13)),
		CheckpointDuration: histogram("cartd_event_log_checkpoint_duration_seconds", "Time of one checkpoint.", replayBuckets),
		JournalBytes:       gauge("cartd_event_log_journal_bytes", "Bytes of the journal's segments."),
		BehindBytes:        gauge("cartd_event_log_write_behind_bytes", "Bytes that are in the journal and not yet in their streams' files."),
		OpenFiles:          gauge("cartd_event_log_open_files", "Streams' files open for writing, at the last checkpoint."),
		Snapshots:          counter("cartd_event_log_snapshots_total", "Snapshots written."),
		SnapshotsDropped:   counter("cartd_event_log_snapshots_dropped_total", "Snapshots not written because too many waited."),
		SnapshotFailures:   counter("cartd_event_log_snapshot_failures_total", "Snapshots and sealed parts of logs that could not be written; the log itself is whole."),
		SnapshotsUnused:    counter("cartd_event_log_snapshots_unused_total", "Snapshots that did not check out or were of another version, at a replay."),
		Seals:              counter("cartd_event_log_seals_total", "Prefixes of logs that were compressed."),
		Archives:           counter("cartd_event_log_archives_total", "Logs that were archived."),
		Replays:            counter("cart_event_log_replay_total", "Streams replayed to activate a grain."),
		ReplayFailures:     counter("cart_event_log_replay_failures_total", "Replays that ended with an error."),
		ReplayDuration:     histogram("cart_event_log_replay_duration_seconds", "Time of one replay.", replayBuckets),
		UnknownTypes:       counter("cart_event_log_unknown_types_total", "Events skipped at replay because nothing handles their type."),
		MutationErrors:     counter("cart_event_log_mutation_errors_total", "Events skipped at replay because their mutation could not be decoded or was refused."),
	}
	reg.MustRegister(m.Appends, m.BytesWritten, m.LastAppend, m.FilesExisting, m.AppendDuration, m.SyncDuration,
		m.SyncFailures, m.Failed, m.LowSpace, m.DamagedLines, m.Recovered, m.TornTails, m.Replays, m.ReplayFailures, m.ReplayDuration, m.Frames, m.FrameEvents, m.CheckpointDuration, m.JournalBytes, m.BehindBytes, m.OpenFiles,
		m.Snapshots, m.SnapshotsDropped, m.SnapshotFailures, m.SnapshotsUnused, m.Seals, m.Archives,
		m.UnknownTypes, m.MutationErrors)
	return m
}

var (
	appendBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	replayBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// histogram has classic buckets for panels that ask for _bucket, and native ones beside them.
func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	})
}
