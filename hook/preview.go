package hook

import (
	"context"
	"fmt"
)

// Preview says that a route's handler can be run without consequences, to show
// what it would change. Whoever declares it promises that the handler, called
// with a context for which Previewing is true, does nothing outside but ask: its
// clients pass GET, and before anything else they return what Outward gives. The
// store refuses Apply and Record by itself. What the handler returns as its
// effect is run and rolled back.
type Preview struct {
	// Tables are those whose rows are shown. On PostgreSQL a table must also be
	// among the Watched of its department's Tables.
	Tables []string
	// Hidden are columns whose values are never shown, such as a secret.
	Hidden []string
}

// The kinds of change of a row.
const (
	ChangeInsert = "insert"
	ChangeUpdate = "update"
	ChangeDelete = "delete"
)

// RowChange is a row that an effect would insert, update or delete.
type RowChange struct {
	Table   string         `json:"table"`
	Change  string         `json:"change"` // insert, update or delete
	Key     string         `json:"key"`    // of the row, as name=value …; empty for a table without a primary key
	Columns []ColumnChange `json:"columns"`
}

// ColumnChange is a column of a RowChange; of an update only those that differ.
type ColumnChange struct {
	Name string  `json:"name"`
	Old  *string `json:"old"` // null: NULL, or there was no row
	New  *string `json:"new"` // null: NULL, or there is no row any more
}

// RowChanges is what an effect would change.
type RowChanges struct {
	Rows []RowChange `json:"rows"`
	More bool        `json:"more"` // there are more than are shown
}

// Previewer is an optional role of a store: it says which rows an effect would
// change.
type Previewer interface {
	// PreviewEffect runs an effect in a transaction of its own that is always
	// rolled back, within the budget of every effect, and gives the rows of the
	// tables of p that it would change: at most two hundred, values cut. An error
	// of the effect comes back as it is. Nothing of it stays, and a repeat gives
	// the same.
	PreviewEffect(ctx context.Context, p Preview, effect Effect) (RowChanges, error)
}

// How a preview of a job ended.
const (
	PreviewRows    = "rows"    // the rows are what would change
	PreviewOutward = "outward" // it stopped before something that it would do outside
	PreviewFails   = "fails"   // the handler, or its effect, would end with an error
	PreviewNone    = "none"    // it cannot be previewed
)

// JobPreview is what a planned job would change.
type JobPreview struct {
	Ending string `json:"ending"` // rows, outward, fails or none
	Text   string `json:"text"`   // what it would do outside, the error, or why there is no preview; empty for rows
	RowChanges
}

type previewKey struct{}

// WithPreview returns a context under which a handler is run without
// consequences.
func WithPreview(ctx context.Context) context.Context {
	return context.WithValue(ctx, previewKey{}, true)
}

// Previewing reports whether the caller is run without consequences.
func Previewing(ctx context.Context) bool {
	on, _ := ctx.Value(previewKey{}).(bool)
	return on
}

// OutwardError ends a handler that is previewed before it does something outside.
type OutwardError struct {
	Deed string // such as "call POST /v1/refunds"; never a secret
}

// Error names what would be done.
func (e *OutwardError) Error() string { return "would " + e.Deed }

// Outward is nil, except in a preview: then it is an OutwardError that names what
// the caller was about to do outside, and the caller returns it.
func Outward(ctx context.Context, deed string, args ...any) error {
	if !Previewing(ctx) {
		return nil
	}
	return &OutwardError{Deed: fmt.Sprintf(deed, args...)}
}
