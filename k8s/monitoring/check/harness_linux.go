package check

import (
	"os/exec"
	"syscall"
)

// endWithParent has the process killed when the tests' own ends, however that ends.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
