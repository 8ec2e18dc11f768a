package apiserver

import "syscall"

// endsWithParent lets a program be killed when the test's process ends, however that ends.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
