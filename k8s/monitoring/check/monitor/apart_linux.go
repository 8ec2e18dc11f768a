package main

import (
	"os/exec"
	"syscall"
)

// apart keeps Ctrl-C in the terminal from a process: it is ended by this one, after the load. It dies with this one, however
// that ends.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
