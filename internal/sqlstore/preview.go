package sqlstore

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
)

// ErrPreviewed ends the transaction of a preview: an engine rolls back after any
// error.
var ErrPreviewed = errors.New("previewed")

// Bounds of what a preview shows.
const (
	MaxPreviewRows  = 200
	MaxPreviewValue = 400 // characters
)

// sealedValue stands for a text that a department has sealed.
const (
	sealedPrefix = "hk1:"
	sealedValue  = "(encrypted)"
)

// hiddenValue stands for the value of a column that is never shown.
const hiddenValue = "(hidden)"

// Cell is a column of a row and its value as text; nil is NULL.
type Cell struct {
	Name  string
	Value *string
}

// Changes collects the rows that an effect changes: each once, as it was before
// the first write and is after the last. It is used by one goroutine.
type Changes struct {
	hidden []string
	rows   []*changing
	known  map[string]*changing // by table and key
	more   bool
}

type changing struct {
	table, key string
	old, new   []Cell // nil: there is no row
}

// NewChanges returns an empty collection; the values of hidden columns are not
// kept.
func NewChanges(hidden []string) *Changes {
	return &Changes{hidden: hidden, known: map[string]*changing{}}
}

// Add takes a write of one row: without an old row it is new, without a new one it
// is gone. key names the columns of the primary key; rows without one are told
// apart by nothing and each stands for itself.
func (c *Changes) Add(table string, key []string, before, after []Cell) {
	row := &changing{table: table, key: keyOf(key, before, after), old: before, new: after}
	if row.key != "" {
		if known := c.known[table+"\x00"+row.key]; known != nil {
			known.new = after
			return
		}
	}
	if len(c.rows) >= MaxPreviewRows {
		c.more = true
		return
	}
	c.rows = append(c.rows, row)
	if row.key != "" {
		c.known[table+"\x00"+row.key] = row
	}
}

// Cut says that there was more than was added.
func (c *Changes) Cut() { c.more = true }

// keyOf names a row, by its new values: an update of the key itself is a row that
// goes and one that comes on one engine, and an update on the other.
func keyOf(key []string, before, after []Cell) string {
	row := after
	if row == nil {
		row = before
	}
	var parts []string
	for _, cell := range row {
		if slices.Contains(key, cell.Name) && cell.Value != nil {
			parts = append(parts, cell.Name+"="+*cell.Value)
		}
	}
	return strings.Join(parts, " ")
}

// Rows gives what has changed in the end. A row that came and went, or is as it
// was, has not.
func (c *Changes) Rows() hook.RowChanges {
	out := hook.RowChanges{Rows: []hook.RowChange{}, More: c.more}
	for _, row := range c.rows {
		change := hook.RowChange{Table: row.table, Key: short(row.key), Columns: []hook.ColumnChange{}}
		switch {
		case row.old == nil && row.new == nil:
			continue
		case row.old == nil:
			change.Change = hook.ChangeInsert
		case row.new == nil:
			change.Change = hook.ChangeDelete
		default:
			change.Change = hook.ChangeUpdate
		}
		for i := range max(len(row.old), len(row.new)) {
			c.column(&change, cellAt(row.old, i), cellAt(row.new, i))
		}
		if change.Change != hook.ChangeUpdate || len(change.Columns) > 0 {
			out.Rows = append(out.Rows, change)
		}
	}
	return out
}

func (c *Changes) column(change *hook.RowChange, before, after Cell) {
	name := before.Name
	if name == "" {
		name = after.Name
	}
	same := before.Value == nil && after.Value == nil ||
		before.Value != nil && after.Value != nil && *before.Value == *after.Value
	if same {
		return // NULL on both sides says nothing, of a row that comes or goes either
	}
	change.Columns = append(change.Columns, hook.ColumnChange{Name: name, Old: c.shown(name, before.Value), New: c.shown(name, after.Value)})
}

func (c *Changes) shown(name string, value *string) *string {
	if value == nil {
		return nil
	}
	text := short(*value)
	switch {
	case slices.Contains(c.hidden, name):
		text = hiddenValue
	case strings.HasPrefix(text, sealedPrefix):
		text = sealedValue // sealed anew it always differs, and is of no use to anybody
	}
	return &text
}

func cellAt(row []Cell, i int) Cell {
	if i < len(row) {
		return row[i]
	}
	return Cell{}
}

// short cuts a value between two characters.
func short(s string) string {
	if utf8.RuneCountInString(s) <= MaxPreviewValue {
		return s
	}
	n := 0
	for i := range s {
		if n == MaxPreviewValue {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
