//go:build hktest

// Package test checks the built binary from outside, as a sender, an operator
// and an attacker see it. It signs, reads and counts with its own few lines: a
// mistake of the product must not hide behind the same mistake in its judge.
// Only the test of the store's cost calls the product's code; the checkout is paid
// at the product's Toss, which knows nothing of the rest.
//
//	go test -tags hktest ./test/...
//
// It builds two binaries, one with the test hooks and a stripped release. It
// listens on loopback only, starts a PostgreSQL of its own where a test needs one,
// and writes into temporary folders.
package test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
)

// waiters is how many tests may run beside each other. Those that say Parallel
// mostly wait for a timeout; those that need the machine for themselves do not.
const waiters = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	b, err := built()
	defer os.RemoveAll(b.dir)
	if err == nil {
		err = flag.Set("test.parallel", waiters)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return pgtest.Main(m)
}

// binaries are what is judged.
type binaries struct {
	dir     string
	hooks   string // with test hooks and the test handler
	release string // as it is shipped: stripped
}

// built builds once. Both builds share their flags but for the tag, and so most
// of the compiler's cache.
var built = sync.OnceValues(func() (b binaries, err error) {
	if b.dir, err = os.MkdirTemp("", "hookkeeper-test-"); err != nil {
		return b, err
	}
	b.hooks, b.release = filepath.Join(b.dir, "hooks"), filepath.Join(b.dir, "release")
	return b, errors.Join(
		build(b.hooks, "-tags", "hktest"),
		build(b.release, "-ldflags", "-s -w"),
	)
})

func build(into string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", into}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/hookkeeper")...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", cmd.Args[1:], err, text)
	}
	return nil
}
