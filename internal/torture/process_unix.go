//go:build unix && !linux

package torture

import (
	"os/exec"
	"syscall"
)

// isolate puts a child into a process group of its own.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
