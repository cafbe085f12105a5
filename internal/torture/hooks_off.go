//go:build !hktest

package torture

// hooks are none: a release build has nothing to arm.
func (o *Options) hooks() []string { return nil }

func hooked(string) bool { return false }
