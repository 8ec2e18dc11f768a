//go:build !linux

package apiserver

import "syscall"

// endsWithParent is of no effect here: a test's process that is killed leaves its programs behind.
func endsWithParent() *syscall.SysProcAttr { return nil }
