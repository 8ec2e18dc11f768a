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

// networks are the magic numbers of network file systems, from statfs(2) and the kernel's linux/magic.h. FUSE is not
// among them: its number does not tell a local file system (virtiofs, encryption) from one of a network.
var networks = map[uint32]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9P", 0x00c36400: "Ceph",
	0x5346414f: "AFS", 0x6b414653: "AFS", 0x73757245: "Coda", 0x564c: "NCP", 0x0bd00bd0: "Lustre", 0xaad7aaea: "PanFS",
}

// networkFS names the network file system that f is on; "" for a local one.
func networkFS(f *os.File) (string, error) {
	s, err := statfs(f)
	return networks[uint32(s.Type)], err
}

// free counts what is there for an ordinary user: f_bavail, without the blocks kept back for root.
func free(f *os.File) (uint64, error) {
	s, err := statfs(f)
	return s.Bavail * uint64(s.Bsize), err
}

// Disk returns what [FS.Free] does, and how large the file system is that dir is on, both in bytes; or
// errors.ErrUnsupported.
func Disk(dir string) (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil { // it is not asked again after EINTR: who wants to know comes again
		return 0, 0, os.NewSyscallError("statfs", err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

func statfs(f *os.File) (s unix.Statfs_t, err error) {
	for {
		err := unix.Fstatfs(int(f.Fd()), &s)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return s, os.NewSyscallError("fstatfs", err)
	}
}
