//go:build !unix

package torture

import (
	"errors"
	"os/exec"
	"syscall"
)

// Signals of this kind do not exist here; zero is refused by signalGroup.
const (
	signalFreeze = syscall.Signal(0)
	signalThaw   = syscall.Signal(0)
)

func isolate(*exec.Cmd) {}

// signalGroup can only kill here; freezing and asking to end need a unix.
func signalGroup(cmd *exec.Cmd, s syscall.Signal) error {
	if s != syscall.SIGKILL {
		return errors.New("torture: signals need a unix system")
	}
	return cmd.Process.Kill()
}
