package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Holder gives the id of the process that works the file at path, as that
// process wrote it down; empty if none does. It changes nothing. A process that
// starts at this very moment may have to try a second time.
func Holder(path string) (pid string, err error) {
	name := path + ".lock"
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open %s: %w", name, errors.Unwrap(err))
	}
	defer f.Close() // lets go of the lock as well
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return holder(name), nil
	}
	return "", err
}
