package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync asks again when a signal interrupts it (EINTR); any other error is final, see LWN 752063.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// free counts what is there for an ordinary user: f_bavail, without the blocks kept back for root.
func free(f *os.File) (uint64, error) {
	var s unix.Statfs_t
	for {
		err := unix.Fstatfs(int(f.Fd()), &s)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return s.Bavail * uint64(s.Bsize), os.NewSyscallError("fstatfs", err)
	}
}
