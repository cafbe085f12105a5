package sqlite

import (
	"fmt"
	"runtime/debug"
)

// The versions of the driver and of the C library that it was compiled against
// and tested with (from the go.mod of modernc.org/sqlite).
const (
	DriverVersion = "v1.60.1"
	LibcVersion   = "v1.77.1"
)

// Mismatch says, in one line, that this binary was built with another version
// of the driver or of its C library than the one this package was tested with;
// empty if all is well. A program should log it at its start: the two are
// translated from C and only fit each other.
func Mismatch() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		want := map[string]string{"modernc.org/sqlite": DriverVersion, "modernc.org/libc": LibcVersion}[m.Path]
		if m.Replace != nil {
			m = m.Replace
		}
		if want != "" && m.Version != want {
			return fmt.Sprintf("built with %s %s, tested with %s: pin it in go.mod", m.Path, m.Version, want)
		}
	}
	return ""
}
