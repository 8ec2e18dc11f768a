package filelog

import (
	"cartd/internal/eventlog/filelog/vfs"

	"github.com/prometheus/client_golang/prometheus"
)

// disk tells of the disk that a log is on.
type disk struct {
	dir             string
	mark            uint64
	free, size, low *prometheus.Desc
}

// NewDiskCollector returns the metrics of the file system that dir is on. It is asked when they are collected, and not
// otherwise: no append waits for it. mark is Options.LowSpaceBytes. What the file system does not tell is left out.
func NewDiskCollector(dir string, mark uint64) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &disk{
		dir: dir, mark: mark,
		free: desc("cartd_event_log_disk_free_bytes", "Bytes that this process may still write to the file system of the event log."),
		size: desc("cartd_event_log_disk_size_bytes", "Size of the file system of the event log."),
		low:  desc("cartd_event_log_low_space_bytes", "Free bytes below which appends are refused (--low-disk)."),
	}
}

// Describe implements [prometheus.Collector].
func (d *disk) Describe(ch chan<- *prometheus.Desc) {
	ch <- d.free
	ch <- d.size
	ch <- d.low
}

// Collect implements [prometheus.Collector].
func (d *disk) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(v))
	}
	gauge(d.low, d.mark)
	if free, size, err := vfs.Disk(d.dir); err == nil {
		gauge(d.free, free)
		gauge(d.size, size)
	}
}
