//go:build linux

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestProfilesOfServersWithAnOperationsPortAreWritten(t *testing.T) {
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.String()) //nolint:errcheck // the client has gone
	}))
	t.Cleanup(ops.Close)
	_, with := countingTarget(t, 1, func(int) int { return http.StatusOK })
	_, without := countingTarget(t, 1, func(int) int { return http.StatusOK })
	with.name, with.process.ops = "with operations", ops.URL
	o := options{profile: t.TempDir(), connections: 1, carts: 1, round: 100 * time.Millisecond}
	if err := o.profileAll(t.Context(), []*target{with, without}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"cpu": "/debug/pprof/profile?seconds=1", "allocs": "/debug/pprof/allocs"} {
		if got, err := os.ReadFile(filepath.Join(o.profile, "with-operations."+name+".pprof")); string(got) != want || err != nil {
			t.Errorf("%s profile is %q, error %v; want the answer to %s", name, got, err, want)
		}
	}
	if files, err := os.ReadDir(o.profile); len(files) != 2 || err != nil {
		t.Errorf("%d files, error %v; want two", len(files), err)
	}
	if with.answered[0] == 0 || without.answered[0] != 0 {
		t.Errorf("%d and %d adds, want some and none", with.answered[0], without.answered[0])
	}
}

func TestProfileThatIsRefusedIsAnError(t *testing.T) {
	ops := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(ops.Close)
	_, only := countingTarget(t, 1, func(int) int { return http.StatusOK })
	only.process.ops = ops.URL
	o := options{profile: t.TempDir(), connections: 1, carts: 1, round: 100 * time.Millisecond}
	if err := o.profileAll(t.Context(), []*target{only}); err == nil {
		t.Error("no error")
	}
}
