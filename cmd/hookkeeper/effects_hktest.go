//go:build hktest

package main

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/hookkeeper/hookkeeper/sqlite"
)

// effectsFlag lists what the test handler wrote, for a checker.
type effectsFlag struct {
	Effects bool `help:"Write the rows of the test handler's table instead. Needs --database."`
}

// export writes the rows as JSON lines if the flag was given.
func (f effectsFlag) export(w io.Writer, database string) (asked bool, err error) {
	if !f.Effects {
		return false, nil
	}
	path, ok := strings.CutPrefix(database, "sqlite:")
	if !ok {
		return true, usage("--effects reads the table itself: give --database sqlite:PATH")
	}
	return true, sqlite.Effects(path, func(row json.RawMessage) error { return printJSON(w, row) })
}
