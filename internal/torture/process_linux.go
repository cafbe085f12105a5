package torture

import (
	"os/exec"
	"syscall"
)

// isolate puts a child into a process group of its own and lets the kernel end
// it with us: a torture that is killed leaves no server behind.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
