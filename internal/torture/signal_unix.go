//go:build unix

package torture

import (
	"os/exec"
	"syscall"
)

// The signals that freeze a process and let it go on.
const (
	signalFreeze = syscall.SIGSTOP
	signalThaw   = syscall.SIGCONT
)

// signalGroup sends a signal to the child and all that it started.
func signalGroup(cmd *exec.Cmd, s syscall.Signal) error {
	return syscall.Kill(-cmd.Process.Pid, s)
}
