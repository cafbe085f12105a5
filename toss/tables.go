package toss

import (
	"embed"
	"io/fs"

	"github.com/hookkeeper/hookkeeper/hook"
)

//go:embed schema
var schemas embed.FS

// shownTables are those whose changes a preview shows.
func shownTables() []string {
	return []string{"orders", "checkouts", "products", "holds", "registrations", "order_cancels", "refunds", "order_notes"}
}

// Tables are the tables of this department, for the engine's options. Every
// program that opens a database with a checkout in it hands them over.
func Tables() hook.Tables {
	files, err := fs.Sub(schemas, "schema")
	if err != nil {
		panic("toss: schema is not embedded: " + err.Error()) // a broken build
	}
	return hook.Tables{Name: "toss", Files: files, Watched: shownTables()}
}
