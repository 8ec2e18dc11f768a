//go:build unix

package main

import "golang.org/x/sys/unix"

// openFiles is how many carts' files may stay open for writing: a quarter of what the process may open, so that the
// rest is there for connections, and 64 to 4,096. The os package has raised the limit as far as it may.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0 // the log's own default
	}
	return int(min(max(limit.Cur/4, 64), 4096))
}

// maxConnections is how many connections may be open: flag, or half of what the process may open if that is less.
func maxConnections(flag int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return flag
	}
	return int(min(uint64(flag), max(limit.Cur/2, 64)))
}
