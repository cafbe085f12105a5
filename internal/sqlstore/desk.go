package sqlstore

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of what the desk looks at, newest first.
const (
	maxCauses   = 10_000 // dead jobs that are grouped
	maxNewest   = 10_000 // events that minutes and habits are known from
	maxAttempts = 2_000  // attempts that speeds are known from
)

// writeMark makes an opaque cursor of a number, readMark reads it; without one it
// stands before everything.
func writeMark(kind string, n int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + strconv.FormatInt(n, 10)))
}

func readMark(kind, cursor string) (int64, error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	text, ok := strings.CutPrefix(string(raw), kind)
	n, errN := strconv.ParseInt(text, 10, 64)
	if err != nil || !ok || errN != nil || n < 0 {
		return 0, fmt.Errorf("cursor: not one of ours: %w", hook.ErrBadFilter)
	}
	return n, nil
}

func pageOf(limit, standard int) int {
	if limit <= 0 {
		limit = standard
	}
	return min(limit, MaxPage)
}

const queuedColumns = `SELECT j.id, j.seq, j.handler, j.state, j.generation, j.attempt, j.next_at, j.last_error, j.made_at,
		coalesce((SELECT max_attempts FROM routes WHERE name = j.handler), 0), k.source, e.type, e.subject
	FROM jobs j JOIN event_keys k ON k.seq = j.seq JOIN events e ON e.seq = j.seq`

// The statements of the lists of jobs; plan_test looks at their plans.
const (
	endedJobsSQL = queuedColumns + ` WHERE j.place = 3 AND j.state = $1 AND ($2 = '' OR j.handler = $2) AND j.id < $3
		ORDER BY j.id DESC LIMIT $4`
	openJobsSQL = queuedColumns + ` WHERE j.place <> 3 AND ($1 = '' OR j.state = $1) AND ($2 = '' OR j.handler = $2) AND j.id > $3
		ORDER BY j.id LIMIT $4`
	causesSQL = `SELECT handler, coalesce(last_error, ''), seq, made_at FROM jobs WHERE place = 3 AND state = 'dead' AND id > 0
		ORDER BY id DESC LIMIT $1`
	newestEventsSQL   = `SELECT source, received_at FROM event_keys ORDER BY seq DESC LIMIT $1`
	newestAttemptsSQL = `SELECT handler, started_at, coalesce(ended_at, 0), outcome FROM attempts ORDER BY seq DESC LIMIT $1`
	hourCountsSQL     = `SELECT hour, source, outcome, CAST(sum(n) AS BIGINT) FROM counters WHERE hour >= $1
		GROUP BY hour, source, outcome ORDER BY hour`
)

// Jobs gives a page of jobs; see hook.Desk.
func (c *Core) Jobs(ctx context.Context, tx Tx, f hook.JobFilter) ([]*hook.QueuedJob, string, error) {
	ended := f.State == hook.StateDead || f.State == hook.StateDiscarded
	switch {
	case f.State == "", ended:
	case f.State != hook.StateReady && f.State != hook.StateRunning && f.State != hook.StateRetrying && f.State != hook.StateWaiting:
		return nil, "", fmt.Errorf("state %.40q: jobs in the queue have none such: %w", f.State, hook.ErrBadFilter)
	}
	mark, err := readMark("j1:", f.Cursor)
	if err != nil {
		return nil, "", err
	}
	query := endedJobsSQL
	if !ended {
		query = openJobsSQL
		if f.Cursor == "" {
			mark = 0
		}
	}
	limit := pageOf(f.Limit, 50)
	rows, err := tx.QueryContext(ctx, query, string(f.State), f.Handler, mark, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list jobs: %w", err)
	}
	defer rows.Close()
	page := []*hook.QueuedJob{}
	last, next := int64(0), ""
	for rows.Next() {
		if len(page) == limit {
			next = writeMark("j1:", last)
			break
		}
		j := &hook.QueuedJob{}
		if last, err = c.scanQueued(rows, j); err != nil {
			return nil, "", fmt.Errorf("list jobs: %w", err)
		}
		page = append(page, j)
	}
	return page, next, rows.Err()
}

func (c *Core) scanQueued(rows *sql.Rows, j *hook.QueuedJob) (id int64, err error) {
	var seq, made int64
	var next sql.NullInt64
	var cause sql.NullString
	if err := rows.Scan(&id, &seq, &j.Handler, (*string)(&j.State), &j.Generation, &j.Attempt, &next, &cause, &made,
		&j.MaxAttempts, &j.Source, &j.Type, &j.Subject); err != nil {
		return 0, err
	}
	j.Event, j.QueuedAt = c.eventID(seq), fromMicros(made)
	switch j.State {
	case hook.StateReady, hook.StateRetrying, hook.StateWaiting:
		j.NextAt = timePtr(next)
	}
	if cause.Valid {
		j.LastError = &cause.String
	}
	return id, nil
}

// Causes groups dead jobs; see hook.Desk.
func (c *Core) Causes(ctx context.Context, tx Tx) ([]*hook.DeadCause, error) {
	rows, err := tx.QueryContext(ctx, causesSQL, maxCauses)
	if err != nil {
		return nil, fmt.Errorf("group dead jobs: %w", err)
	}
	defer rows.Close()
	groups := map[[2]string]*hook.DeadCause{}
	all := []*hook.DeadCause{}
	for rows.Next() {
		var handler, cause string
		var seq, made int64
		if err := rows.Scan(&handler, &cause, &seq, &made); err != nil {
			return nil, fmt.Errorf("group dead jobs: %w", err)
		}
		key, at := hook.CauseKey(cause), fromMicros(made)
		g := groups[[2]string{handler, key}]
		if g == nil {
			g = &hook.DeadCause{Handler: handler, Key: key, Cause: cause, First: at, Last: at, Sample: c.eventID(seq)}
			groups[[2]string{handler, key}] = g
			all = append(all, g)
		}
		g.Jobs++
		if at.Before(g.First) {
			g.First = at
		}
		if at.After(g.Last) {
			g.Last = at
		}
	}
	slices.SortStableFunc(all, func(a, b *hook.DeadCause) int { return int(b.Jobs - a.Jobs) })
	return all, rows.Err()
}

// Traffic gives what charts are drawn from; see hook.Desk.
func (c *Core) Traffic(ctx context.Context, tx Tx, since time.Time) (*hook.Traffic, error) {
	t := &hook.Traffic{}
	for _, read := range []func() error{
		func() error { return c.hourCounts(ctx, tx, since, t) },
		func() error { return c.newestEvents(ctx, tx, t) },
		func() error { return c.newestAttempts(ctx, tx, t) },
	} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("traffic: %w", err)
		}
	}
	return t, nil
}

func (c *Core) hourCounts(ctx context.Context, tx Tx, since time.Time, t *hook.Traffic) error {
	rows, err := tx.QueryContext(ctx, hourCountsSQL, hourOf(since.UnixMicro()))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var hour int64
		var h hook.HourCount
		if err := rows.Scan(&hour, &h.Source, &h.Outcome, &h.N); err != nil {
			return err
		}
		h.Hour = time.Unix(hour*3600, 0).UTC()
		t.Hours = append(t.Hours, h)
	}
	return rows.Err()
}

// newestEvents gives the minutes of the newest hour and how often each source
// speaks.
func (c *Core) newestEvents(ctx context.Context, tx Tx, t *hook.Traffic) error {
	rows, err := tx.QueryContext(ctx, newestEventsSQL, maxNewest)
	if err != nil {
		return err
	}
	defer rows.Close()
	hourAgo := c.now(tx) - time.Hour.Microseconds()
	t.Whole = fromMicros(hourAgo).Truncate(time.Minute)
	type minute struct {
		at     int64
		source string
	}
	minutes, times := map[minute]int64{}, map[string][]int64{}
	n, oldest := 0, int64(0)
	for rows.Next() {
		var source string
		var at int64
		if err := rows.Scan(&source, &at); err != nil {
			return err
		}
		n, oldest = n+1, at
		times[source] = append(times[source], at)
		if at >= hourAgo {
			minutes[minute{at / 60_000_000, source}]++
		}
	}
	if n == maxNewest && oldest > hourAgo {
		t.Whole = fromMicros(oldest).Truncate(time.Minute).Add(time.Minute)
	}
	for m, n := range minutes {
		if at := time.Unix(m.at*60, 0).UTC(); !at.Before(t.Whole) {
			t.Minutes = append(t.Minutes, hook.MinuteCount{Minute: at, Source: m.source, N: n})
		}
	}
	for source, at := range times {
		t.Habits = append(t.Habits, hook.SourceHabit{Source: source, Events: int64(len(at)), Gap: medianGap(at)})
	}
	return rows.Err()
}

// medianGap is the usual pause between times that are given newest first.
func medianGap(times []int64) time.Duration {
	if len(times) < 2 {
		return 0
	}
	gaps := make([]int64, 0, len(times)-1)
	for i := range len(times) - 1 {
		gaps = append(gaps, max(0, times[i]-times[i+1]))
	}
	slices.Sort(gaps)
	return time.Duration(gaps[len(gaps)/2]) * time.Microsecond
}

func (c *Core) newestAttempts(ctx context.Context, tx Tx, t *hook.Traffic) error {
	rows, err := tx.QueryContext(ctx, newestAttemptsSQL, maxAttempts)
	if err != nil {
		return err
	}
	defer rows.Close()
	took, failed := map[string][]time.Duration{}, map[string]int64{}
	for rows.Next() {
		var handler, outcome string
		var started, ended int64
		if err := rows.Scan(&handler, &started, &ended, &outcome); err != nil {
			return err
		}
		if ended == 0 {
			continue
		}
		took[handler] = append(took[handler], time.Duration(max(0, ended-started))*time.Microsecond)
		if outcome != "done" && outcome != "waiting" && outcome != "released" {
			failed[handler]++
		}
	}
	for handler, all := range took {
		slices.Sort(all)
		at := func(percent int) time.Duration { return all[(len(all)-1)*percent/100] }
		t.Handlers = append(t.Handlers, hook.HandlerSpeed{Handler: handler, Attempts: int64(len(all)),
			Failed: failed[handler], P50: at(50), P95: at(95), P99: at(99)})
	}
	slices.SortFunc(t.Handlers, func(a, b hook.HandlerSpeed) int { return strings.Compare(a.Handler, b.Handler) })
	return rows.Err()
}

// SetPaused pauses a handler or lets it go on; see hook.Pauser. The entry of the
// audit trail commits together with it.
func (c *Core) SetPaused(ctx context.Context, tx Tx, handler string, paused bool, actor, reason string) error {
	if !cursorName(handler) {
		return fmt.Errorf("handler %.80q: a name has 1 to 64 of a-z, 0-9, _ and -: %w", handler, hook.ErrRefused)
	}
	action, query, args := "resume", `DELETE FROM paused WHERE handler = $1`, []any{handler}
	if paused {
		action = "pause"
		query = `INSERT INTO paused (handler, actor, reason, at) VALUES ($1, $2, $3, $4) ON CONFLICT (handler) DO NOTHING`
		args = []any{handler, actor, cut(reason, MaxErrorBytes), c.now(tx)}
	}
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s handler %s: %w", action, handler, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // it was so already
	}
	return c.Note(ctx, tx, hook.AuditNote{Actor: actor, Action: action, Object: handler, Reason: reason})
}

// Paused gives the paused handlers; see hook.Pauser.
func (c *Core) Paused(ctx context.Context, tx Tx) ([]hook.Pause, error) {
	rows, err := tx.QueryContext(ctx, `SELECT handler, actor, reason, at FROM paused ORDER BY handler`)
	if err != nil {
		return nil, fmt.Errorf("list paused handlers: %w", err)
	}
	defer rows.Close()
	all := []hook.Pause{}
	for rows.Next() {
		var p hook.Pause
		var at int64
		if err := rows.Scan(&p.Handler, &p.Actor, &p.Reason, &at); err != nil {
			return nil, fmt.Errorf("list paused handlers: %w", err)
		}
		p.At = fromMicros(at)
		all = append(all, p)
	}
	return all, rows.Err()
}

// AddSession keeps a session; see hook.SessionKeeper. Those that are over go.
func (c *Core) AddSession(ctx context.Context, tx Tx, session, token hook.TokenHash, until time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE until <= $1`, c.now(tx)); err != nil {
		return fmt.Errorf("forget old sessions: %w", err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO sessions (hash, token, until) VALUES ($1, $2, $3)`,
		session[:], token[:], until.UnixMicro())
	if err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	return nil
}

// SessionToken gives the token of a session; see hook.SessionKeeper.
func (c *Core) SessionToken(ctx context.Context, tx Tx, session hook.TokenHash) (hook.TokenHash, error) {
	var token []byte
	row := tx.QueryRowContext(ctx, `SELECT token FROM sessions WHERE hash = $1 AND until > $2`, session[:], c.now(tx))
	switch err := row.Scan(&token); {
	case errors.Is(err, sql.ErrNoRows):
		return hook.TokenHash{}, fmt.Errorf("session: %w", hook.ErrNotFound)
	case err != nil:
		return hook.TokenHash{}, fmt.Errorf("find a session: %w", err)
	case len(token) != len(hook.TokenHash{}):
		return hook.TokenHash{}, fmt.Errorf("session with a token of %d bytes: %w", len(token), hook.ErrNotFound)
	}
	return hook.TokenHash(token), nil
}

// EndSession ends a session; see hook.SessionKeeper.
func (c *Core) EndSession(ctx context.Context, tx Tx, session hook.TokenHash) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE hash = $1`, session[:]); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}
