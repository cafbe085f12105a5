package stripe

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// PinnedVersion is the API version in which we ask: its shapes are the ones that
// a fetched object has, whatever the version of the event was.
const PinnedVersion = "2026-10-28.endive"

// trains are the major API versions whose shapes this build reads. Versions from
// before 2024-09-30 have no name.
func trains() []string { return []string{"acacia", "basil", "clover", "dahlia", "endive"} }

// knownVersion reports whether the fields that we read are where we look for
// them in an event of that API version. An event without one was rendered by an
// account's oldest default.
func knownVersion(version string) bool {
	date, train, named := strings.Cut(version, ".")
	if version == "" {
		return true
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return false
	}
	if !named {
		return date < "2024-09-30"
	}
	return slices.Contains(trains(), train)
}

// errUnknownVersion buries a job whose event only a later build can read.
func errUnknownVersion(version string) error {
	return fmt.Errorf("api version %.64q is not known to this build and no API key is set: "+
		"set one, or update and replay: %w", version, hook.ErrPermanent)
}

func subFolder(files fs.FS, dir string) (fs.FS, error) { return fs.Sub(files, dir) }
