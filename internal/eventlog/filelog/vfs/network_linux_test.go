package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNetworkFileSystemsAreRefused(t *testing.T) {
	for name, magic := range map[string]int64{
		"NFS": unix.NFS_SUPER_MAGIC, "SMB": unix.SMB_SUPER_MAGIC, "CIFS": unix.CIFS_SUPER_MAGIC, "SMB2": unix.SMB2_SUPER_MAGIC,
		"9P": unix.V9FS_MAGIC, "Ceph": unix.CEPH_SUPER_MAGIC, "AFS": unix.AFS_SUPER_MAGIC, "Coda": unix.CODA_SUPER_MAGIC,
		"NCP": unix.NCP_SUPER_MAGIC,
	} {
		dir := t.TempDir()
		d, err := OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.network = func(*os.File) (string, error) { return networks[uint32(magic)], nil }
		lock, err := d.Lock("LOCK")
		if !errors.Is(err, ErrNetworkFS) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "("+name+")") {
			t.Errorf("%s: got %v, want ErrNetworkFS with the directory and what it is on", name, err)
		}
		if lock != nil {
			t.Errorf("%s: the lock is held, want none", name)
		}
		if _, err := os.Stat(filepath.Join(dir, "LOCK")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a lock file was made (%v), want nothing", name, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLocalFileSystemsAreNot(t *testing.T) {
	for _, magic := range []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC} {
		if name := networks[uint32(magic)]; name != "" {
			t.Errorf("file system %#x is taken for %s", magic, name)
		}
	}
}

func TestFileSystemThatCannotBeAskedIsNotTrusted(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.network = func(*os.File) (string, error) { return "", unix.EIO }
	if _, err := d.Lock("LOCK"); !errors.Is(err, unix.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
}
