package hook

import (
	"fmt"
	"time"
)

// Timestamp reads a column of time on either engine: timestamptz on PostgreSQL,
// integer microseconds since 1970 UTC on SQLite; Valid is false for NULL. Effects
// write times as time.Time; the engines store them in their own form, to the
// microsecond.
type Timestamp struct {
	Time  time.Time
	Valid bool
}

// Scan implements sql.Scanner.
func (t *Timestamp) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*t = Timestamp{}
	case time.Time:
		*t = Timestamp{Time: v.UTC(), Valid: true}
	case int64:
		*t = Timestamp{Time: time.UnixMicro(v).UTC(), Valid: true}
	default:
		return fmt.Errorf("a time column holds %T, not a time", value)
	}
	return nil
}
