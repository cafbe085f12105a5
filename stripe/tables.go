package stripe

import (
	"embed"

	"github.com/hookkeeper/hookkeeper/hook"
)

//go:embed schema
var schema embed.FS

// shownTables are those whose changes a preview shows, besides consequences, which
// the store watches by itself.
func shownTables() []string {
	return []string{"customers", "subscriptions", "payments", "notifications", "billing_invoices", "billing_payment_parts"}
}

// Tables returns the department's tables, for the options of an engine. They are
// the same for every Desk, so one database needs them once.
func Tables() hook.Tables {
	files, err := subFolder(schema, "schema")
	if err != nil {
		panic("stripe: " + err.Error()) // the folder is embedded
	}
	return hook.Tables{Name: "stripe", Files: files, Watched: shownTables()}
}
