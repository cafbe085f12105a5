//go:build hktest

package fault

import (
	"errors"
	"os"
	"strings"
	"sync"
	"time"
)

// Enabled reports whether this build reads the test hooks.
const Enabled = true

// ErrInjected is what a failpoint with the action error returns.
var ErrInjected = errors.New("injected fault")

var mutants = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for name := range strings.SplitSeq(os.Getenv("HK_MUTANT"), ",") {
		set[name] = true
	}
	return set
})

// Mutant reports whether HK_MUTANT names this mistake.
func Mutant(name string) bool { return mutants()[name] }

var points = sync.OnceValue(func() map[string]string {
	set := map[string]string{}
	for p := range strings.SplitSeq(os.Getenv("HK_FAILPOINT"), ",") {
		if name, action, ok := strings.Cut(p, ":"); ok {
			set[name] = action
		}
	}
	return set
})

// Point does what HK_FAILPOINT orders at the named step.
func Point(name string) error {
	action, ok := points()[name]
	if !ok {
		return nil
	}
	switch {
	case action == "exit":
		os.Exit(99)
	case action == "panic":
		panic("failpoint " + name)
	case action == "error":
		return ErrInjected
	case strings.HasPrefix(action, "sleep="):
		if d, err := time.ParseDuration(action[len("sleep="):]); err == nil {
			<-time.After(d)
		}
	}
	return nil
}

var clock = sync.OnceValue(func() func() time.Duration {
	spec := os.Getenv("HK_CLOCK_OFFSET")
	path, fromFile := strings.CutPrefix(spec, "file:")
	if !fromFile {
		d, _ := time.ParseDuration(spec)
		return func() time.Duration { return d }
	}
	return func() time.Duration {
		text, _ := os.ReadFile(path)
		d, _ := time.ParseDuration(strings.TrimSpace(string(text)))
		return d
	}
})

// Now is the clock of the process, off by HK_CLOCK_OFFSET.
func Now() time.Time { return time.Now().Add(clock()()) }
