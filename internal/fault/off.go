//go:build !hktest

package fault

import "time"

// Enabled reports whether this build reads the test hooks.
const Enabled = false

// Mutant reports whether the named mistake is switched on; never in this build.
func Mutant(string) bool { return false }

// Point is a named step; nothing happens in this build.
func Point(string) error { return nil }

// Now is the clock of the process.
func Now() time.Time { return time.Now() }
