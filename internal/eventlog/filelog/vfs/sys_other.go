//go:build !linux

package vfs

import (
	"errors"
	"os"
)

func datasync(f *os.File) error { return f.Sync() }

func free(*os.File) (uint64, error) { return 0, errors.ErrUnsupported }

// Disk cannot tell here.
func Disk(string) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }

// networkFS cannot tell here.
func networkFS(*os.File) (string, error) { return "", nil }
