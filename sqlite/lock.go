package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrInUse is inside the error of Open when another process has the file.
var ErrInUse = errors.New("in use")

// lock takes the companion file. Never the database itself: closing any
// descriptor of that would drop SQLite's own locks. The kernel lets go of the
// lock when the process ends, however it ends.
func lock(path string, wait time.Duration) (unlock func(), err error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, errors.Unwrap(err))
	}
	deadline := time.Now().Add(wait)
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || !time.Now().Before(deadline) {
			pid := holder(name)
			f.Close()
			return nil, fmt.Errorf("open %s: %w by pid %s, use --operator", path, ErrInUse, pid)
		}
		<-retry.C
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0) // only shown to people
	}
	return func() { f.Close() }, nil
}

func holder(name string) string {
	text, err := os.ReadFile(name)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}
