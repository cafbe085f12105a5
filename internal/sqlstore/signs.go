package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxRefused bounds the notes that are looked at, newest first: a flood of more
// is one already.
const maxRefused = 1000

// The statements of the signs; plan_test looks at their plans. The open jobs are
// read whole, as they are for the metrics: they are few beside the log.
const (
	oldestJobsSQL = `SELECT handler, min(made_at) FROM jobs WHERE place <> 3 GROUP BY handler`
	deadJobsSQL   = `SELECT handler, count(*), max(id) FROM jobs WHERE place = 3 AND state = 'dead' AND id > 0 GROUP BY handler`
	refusedSQL    = `SELECT source, reason, at FROM rejections ORDER BY id DESC LIMIT $1`
	activeSQL     = `SELECT DISTINCT source, hour FROM counters WHERE hour >= $1 ORDER BY source, hour`
)

// Signs reads what the rules of alarms look at; see hook.Lookout. waiting are
// notes that are not on disk yet.
func (c *Core) Signs(ctx context.Context, tx Tx, hours, refused time.Time, waiting []*hook.Rejection) (*hook.Signs, error) {
	s := &hook.Signs{Now: fromMicros(c.now(tx)), Oldest: map[string]time.Time{}, Dead: map[string]hook.DeadSign{},
		Refused: map[string]int64{}, Hours: map[string][]int64{}}
	for _, n := range waiting {
		if misSigned(n.Reason) && !n.At.Before(refused) {
			s.Refused[n.Source]++
		}
	}
	var name, reason string
	var a, b int64
	for _, read := range []struct {
		query string
		args  []any
		into  []any
		take  func() (more bool)
	}{
		{oldestJobsSQL, nil, []any{&name, &a}, func() bool { s.Oldest[name] = fromMicros(a); return true }},
		{deadJobsSQL, nil, []any{&name, &a, &b}, func() bool { s.Dead[name] = hook.DeadSign{Jobs: a, Newest: b}; return true }},
		{activeSQL, []any{hourOf(hours.UnixMicro())}, []any{&name, &a}, func() bool { s.Hours[name] = append(s.Hours[name], a); return true }},
		{refusedSQL, []any{maxRefused}, []any{&name, &reason, &a}, func() bool {
			if a < refused.UnixMicro() {
				return false
			}
			if misSigned(hook.Reason(reason)) {
				s.Refused[name]++
			}
			return true
		}},
	} {
		if err := eachRow(ctx, tx, read.query, read.args, read.into, read.take); err != nil {
			return nil, fmt.Errorf("read the signs of alarms: %w", err)
		}
	}
	return s, nil
}

// eachRow scans every row until take has enough.
func eachRow(ctx context.Context, tx Tx, query string, args, into []any, take func() bool) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if !take() {
			break
		}
	}
	return rows.Err()
}

// misSigned tells a delivery that claims a signature from what merely strays by:
// a scanner sends none.
func misSigned(r hook.Reason) bool {
	switch r {
	case hook.ReasonBadSignature, hook.ReasonBadSecret, hook.ReasonTimestampTooOld, hook.ReasonTimestampInFuture,
		hook.ReasonUnsupportedVersionOnly, hook.ReasonUntrustedCert, hook.ReasonBadConfig:
		return true
	}
	return false
}
