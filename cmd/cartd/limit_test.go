//go:build unix

package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// limitFiles makes every write of this process beyond bytes of a file fail (EFBIG), as a disk that breaks would. Go
// programs ignore the signal that comes with it.
func limitFiles(bytes string) error {
	if bytes == "" {
		return nil
	}
	n, err := strconv.ParseUint(bytes, 10, 63)
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = n
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
}
