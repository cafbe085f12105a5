//go:build !hktest

package torture

// closeShared has nothing to close: only builds with the tag hktest start a
// PostgreSQL.
func closeShared() error { return nil }
