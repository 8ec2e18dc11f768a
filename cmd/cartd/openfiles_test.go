//go:build unix

package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFilesLeaveRoomForConnections(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(); n < 64 || n > 4096 || n > 64 && uint64(n) > limit.Cur/4 {
		t.Errorf("%d files of the %d that the process may open, want 64 to 4,096 and a quarter at most", n, limit.Cur)
	}
}
