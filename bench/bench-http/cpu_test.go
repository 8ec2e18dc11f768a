//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestProcessorTimeIsReadBehindTheName(t *testing.T) {
	const stat = "12 (a) b (c) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 100 1000 1 18446744073709551615"
	if got, err := parseProcessStat(stat); got != 3*time.Second || err != nil {
		t.Errorf("%v, error %v; want 3s", got, err)
	}
	for _, bad := range []string{"", "12 (x", "12 (x) S 1 2", strings.Replace(stat, "250", "-1", 1), strings.Replace(stat, " 50 ", " x ", 1)} {
		if got, err := parseProcessStat(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}

func TestMachineIsBusyUnlessItIsIdleOrWaits(t *testing.T) {
	const stat = "cpu  100 20 30 9999 8888 1 2 47 60 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
	if got, err := parseMachineStat(stat); got != 2*time.Second || err != nil {
		t.Errorf("%v, error %v; want 2s", got, err)
	}
	for _, bad := range []string{"", "cpu0 1 1 1 1 1 1 1 1 1 1", "cpu 1 2 3 4 5 6 7", "cpu 1 2 3 4 5 6 7 x 9 9"} {
		if got, err := parseMachineStat(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}
