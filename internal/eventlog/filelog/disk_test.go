package filelog

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestDiskIsMeasuredWhenItIsAskedFor(t *testing.T) {
	gather := func(dir string) map[string]float64 {
		reg := prometheus.NewRegistry()
		reg.MustRegister(NewDiskCollector(dir, 4096))
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]float64{}
		for _, f := range families {
			all[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		return all
	}
	m := gather(t.TempDir())
	if free, size := m["cartd_event_log_disk_free_bytes"], m["cartd_event_log_disk_size_bytes"]; free <= 0 || size < free || m["cartd_event_log_low_space_bytes"] != 4096 {
		t.Errorf("metrics of the disk: %v, want some room in a larger file system, and a mark of 4096", m)
	}
	if m := gather(filepath.Join(t.TempDir(), "nowhere")); len(m) != 1 || m["cartd_event_log_low_space_bytes"] != 4096 {
		t.Errorf("metrics of a disk that cannot be asked: %v, want the mark alone", m)
	}
}
