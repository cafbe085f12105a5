//go:build !hktest

package main

import "io"

// effectsFlag is empty in a release build, which has no test handler whose
// effects could be listed.
type effectsFlag struct{}

// export reports that nothing was asked for.
func (effectsFlag) export(io.Writer, string) (asked bool, err error) { return false, nil }
