package stripe

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Health is what a database says about the billing of one source.
type Health struct {
	Known  bool    // billing has its tables there
	Last   *Report // the newest comparison with Stripe; nil if there was none
	Unsure int64   // subscriptions that no event and no comparison has made sure yet
}

// HealthOf reads it, also beside a server at work. It changes nothing.
func HealthOf(ctx context.Context, v hook.Viewer, source string) (Health, error) {
	var h Health
	err := v.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		h = Health{} // anew each time: a reading may be repeated
		var tables int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM departments WHERE name = $1`, Tables().Name).Scan(&tables)
		if err != nil || tables == 0 {
			return err
		}
		h.Known = true
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM subscriptions WHERE source = $1 AND unsure = TRUE`, source).Scan(&h.Unsure)
		if err != nil {
			return err
		}
		var text string
		err = tx.QueryRowContext(ctx, `SELECT report FROM billing_reports WHERE source = $1
			ORDER BY finished_at DESC LIMIT 1`, source).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		h.Last = new(Report)
		return json.Unmarshal([]byte(text), h.Last)
	})
	if err != nil {
		return Health{}, fmt.Errorf("read how the billing of %s is: %w", source, err)
	}
	return h, nil
}

// WaitsForUser reports whether a job's cause says that nobody knows yet which user
// a customer is.
func WaitsForUser(cause string) bool { return strings.Contains(cause, noUser) }
