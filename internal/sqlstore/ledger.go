package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// MaxPage is the largest page of events.
const MaxPage = 1000

// Events gives one page of the log, newest first; see hook.Ledger.
func (c *Core) Events(ctx context.Context, tx Tx, f hook.Filter) ([]*hook.EventInfo, string, error) {
	below, err := readMark("s1:", f.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, MaxPage)
	var list []int64
	next, mark := "", int64(0)
	switch {
	case ofBodies(f):
		list, mark, err = c.foundInBodies(ctx, tx, f, below, limit+1)
	case crossing(f):
		list, mark, err = c.foundInTime(ctx, tx, f, below, limit+1)
	default:
		list, err = c.found(ctx, tx, f, below, limit+1)
	}
	if err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		mark = list[limit-1]
	}
	if mark > 0 {
		next = writeMark("s1:", mark)
	}
	if len(list) == 0 {
		return nil, next, nil
	}
	cond, args := c.in(list)
	page, seqs, err := c.infos(ctx, tx, ` WHERE k.seq `+cond+` ORDER BY k.seq DESC`, args...)
	if err != nil {
		return nil, "", err
	}
	return page, next, c.addJobs(ctx, tx, page, seqs)
}

// where writes a filter for a statement that goes by the numbers of events.
func (c *Core) where(f hook.Filter) (string, []any, error) {
	parts, args, err := c.conditions(f, byNumber, 0)
	if err != nil || len(parts) == 0 {
		return "", nil, err
	}
	return " WHERE " + strings.Join(parts, " AND "), args, nil
}

// conditions writes a filter, for a statement that has so many arguments already
// and goes by one of the conditions. The others must not tempt the database to
// another index, after which it would have to sort.
func (c *Core) conditions(f hook.Filter, way by, before int) ([]string, []any, error) {
	var parts []string
	var args []any
	add := func(cond string, arg any) {
		args = append(args, arg)
		parts = append(parts, strings.ReplaceAll(cond, "?", "$"+strconv.Itoa(before+len(args))))
	}
	switch {
	case f.Source == "":
	case way == byKey || way == bySource || c.Many:
		add(`k.source = ?`, f.Source)
	default:
		// Without the plus SQLite would take an index of sources, and then read
		// and sort everything that the source has ever delivered.
		add(`+k.source = ?`, f.Source)
	}
	switch {
	case f.Subject == "":
	case way == bySubject: // word for word what the index has
		add(`e.subject = ? AND e.subject <> ''`, f.Subject)
	default:
		add(`e.subject = ?`, f.Subject)
	}
	if f.Key != "" {
		add(`k.key = ?`, f.Key)
	}
	if !f.Since.IsZero() {
		add(`k.received_at >= ?`, f.Since.UnixMicro())
		if c.Many { // by the index
			add(`k.seq >= ?`, SeqAt(f.Since.UnixMicro()))
		}
	}
	if !f.Until.IsZero() {
		add(`k.received_at < ?`, f.Until.UnixMicro())
		if c.Many {
			add(`k.seq < ?`, SeqAt(f.Until.UnixMicro())+seqsADay)
		}
	}
	switch {
	case f.Type == "":
	case way == byType:
		add(`e.type = ?`, f.Type)
	default:
		var any []string
		for p := range strings.SplitSeq(f.Type, ",") {
			op, pattern := ` GLOB $`, globOf(strings.TrimSpace(p))
			if c.Many {
				op, pattern = ` LIKE $`, likeOf(strings.TrimSpace(p))
			}
			args = append(args, pattern)
			any = append(any, `e.type`+op+strconv.Itoa(before+len(args)))
		}
		parts = append(parts, "("+strings.Join(any, " OR ")+")")
	}
	if f.State != "" {
		cond, err := stateCond(f.State)
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, cond)
	}
	return parts, args, nil
}

// globOf writes a pattern of hook.Match as a GLOB: only * is special there.
func globOf(p string) string {
	return strings.NewReplacer("[", "[[]", "?", "[?]").Replace(p)
}

// likeOf writes it for PostgreSQL, whose LIKE heeds upper and lower case.
func likeOf(p string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(p)
}

// stateCond is true for events whose worst job is in that state.
func stateCond(s hook.State) (string, error) {
	switch s {
	case hook.StateNoHandler:
		return `k.jobs_total = 0 AND k.quarantine = ''`, nil
	case hook.StateQuarantined:
		return `k.jobs_total = 0 AND k.quarantine <> ''`, nil
	case hook.StateDone:
		return `k.jobs_total > 0 AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.seq = k.seq)`, nil
	}
	var worse []string
	for _, w := range hook.Worst {
		if w == s {
			cond := jobIn(s)
			if len(worse) > 0 {
				cond += ` AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.seq = k.seq AND j.state IN (` + strings.Join(worse, ",") + `))`
			}
			return cond, nil
		}
		worse = append(worse, `'`+string(w)+`'`)
	}
	return "", fmt.Errorf("state %.40q: not a state: %w", s, hook.ErrBadFilter)
}

// jobIn is true for events with a job in that state. The jobs lead to their events:
// open work is small beside the log.
func jobIn(s hook.State) string {
	switch s {
	case hook.StateDead, hook.StateDiscarded:
		return `k.seq IN (SELECT j.seq FROM jobs j WHERE j.place = 3 AND j.state = '` + string(s) + `')`
	}
	return `k.seq IN (SELECT j.seq FROM jobs j WHERE j.state = '` + string(s) + `')`
}

const infoSQL = `SELECT k.seq, k.source, k.mode, k.trust, k.key, e.type, e.subject, e.occurred_at, k.received_at,
		e.size, k.sha256, k.deliveries, k.conflicts, k.quarantine, k.jobs_total, k.erased_at
	FROM event_keys k JOIN events e ON e.seq = k.seq`

func (c *Core) infos(ctx context.Context, tx Tx, tail string, args ...any) ([]*hook.EventInfo, []int64, error) {
	rows, err := tx.QueryContext(ctx, infoSQL+tail, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list events: %w", err)
	}
	defer rows.Close()
	var page []*hook.EventInfo
	var seqs []int64
	for rows.Next() {
		e, seq, err := c.scanInfo(rows)
		if err != nil {
			return nil, nil, fmt.Errorf("list events: %w", err)
		}
		page, seqs = append(page, e), append(seqs, seq)
	}
	return page, seqs, rows.Err()
}

func (c *Core) scanInfo(rows *sql.Rows) (*hook.EventInfo, int64, error) {
	e := &hook.EventInfo{Jobs: []hook.JobInfo{}}
	var seq, received, total int64
	var occurred, erased sql.NullInt64
	var sum []byte
	var quarantine string
	err := rows.Scan(&seq, &e.Source, &e.Mode, (*string)(&e.Trust), &e.Key, &e.Type, &e.Subject, &occurred, &received,
		&e.Size, &sum, &e.Deliveries, &e.Conflicts, &quarantine, &total, &erased)
	if err != nil {
		return nil, 0, err
	}
	e.ID = c.eventID(seq)
	e.OccurredAt, e.ReceivedAt, e.ErasedAt = timePtr(occurred), fromMicros(received), timePtr(erased)
	e.SHA256 = hex.EncodeToString(sum)
	e.State = hook.StateDone
	if quarantine != "" {
		e.Quarantine = &quarantine
	}
	if total == 0 {
		e.State = hook.StateNoHandler
		if quarantine != "" {
			e.State = hook.StateQuarantined
		}
	}
	return e, seq, nil
}

// addJobs fills in the jobs of a page: open and dead ones from the queue, done
// ones from their attempts.
func (c *Core) addJobs(ctx context.Context, tx Tx, page []*hook.EventInfo, seqs []int64) error {
	bySeq := make(map[int64]*hook.EventInfo, len(page))
	var worked []int64
	for i, e := range page {
		if e.State == hook.StateDone { // another one has no jobs
			bySeq[seqs[i]] = e
			worked = append(worked, seqs[i])
		}
	}
	err := parts(c, worked, func(part []int64) error {
		if err := c.openJobs(ctx, tx, part, bySeq); err != nil {
			return err
		}
		if err := c.doneJobs(ctx, tx, part, bySeq); err != nil {
			return err
		}
		return c.endedJobs(ctx, tx, part, bySeq)
	})
	if err != nil {
		return err
	}
	for _, e := range bySeq {
		e.State = worst(e.Jobs)
	}
	return nil
}

func worst(jobs []hook.JobInfo) hook.State {
	for _, s := range hook.Worst {
		for _, j := range jobs {
			if j.State == s {
				return s
			}
		}
	}
	return hook.StateDone
}

func (c *Core) openJobs(ctx context.Context, tx Tx, seqs []int64, bySeq map[int64]*hook.EventInfo) error {
	cond, args := c.in(seqs)
	rows, err := tx.QueryContext(ctx, `SELECT j.seq, j.handler, j.state, j.generation, j.attempt, j.next_at, j.last_error,
			coalesce(a.started_at, j.started_at), a.ended_at,
			coalesce((SELECT max_attempts FROM routes WHERE name = j.handler), 0)
		FROM jobs j LEFT JOIN attempts a ON a.seq = j.seq AND a.handler = j.handler AND a.generation = j.generation
			AND a.attempt = j.attempt
		WHERE j.seq `+cond+` ORDER BY j.seq, j.handler`, args...)
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var j hook.JobInfo
		var next, started, finished sql.NullInt64
		var cause sql.NullString
		if err := rows.Scan(&seq, &j.Handler, (*string)(&j.State), &j.Generation, &j.Attempt, &next, &cause,
			&started, &finished, &j.MaxAttempts); err != nil {
			return fmt.Errorf("list jobs: %w", err)
		}
		j.StartedAt = timePtr(started)
		switch j.State {
		case hook.StateReady, hook.StateRetrying, hook.StateWaiting:
			j.NextAt = timePtr(next)
		case hook.StateDead, hook.StateDiscarded:
			j.FinishedAt = timePtr(finished)
		}
		if cause.Valid {
			j.LastError = &cause.String
		}
		bySeq[seq].Jobs = append(bySeq[seq].Jobs, j)
	}
	return rows.Err()
}

func (c *Core) doneJobs(ctx context.Context, tx Tx, seqs []int64, bySeq map[int64]*hook.EventInfo) error {
	cond, args := c.in(seqs)
	rows, err := tx.QueryContext(ctx, `SELECT a.seq, a.handler, a.generation, a.attempt, a.started_at, a.ended_at,
			coalesce((SELECT max_attempts FROM routes WHERE name = a.handler), 0)
		FROM attempts a
		WHERE a.seq `+cond+` AND a.outcome = 'done'
		  AND a.generation = (SELECT max(generation) FROM attempts WHERE seq = a.seq AND handler = a.handler)
		ORDER BY a.seq, a.handler`, args...)
	if err != nil {
		return fmt.Errorf("list done jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		j := hook.JobInfo{State: hook.StateDone}
		var started, finished sql.NullInt64
		if err := rows.Scan(&seq, &j.Handler, &j.Generation, &j.Attempt, &started, &finished, &j.MaxAttempts); err != nil {
			return fmt.Errorf("list done jobs: %w", err)
		}
		e := bySeq[seq]
		if slices.ContainsFunc(e.Jobs, func(open hook.JobInfo) bool { return open.Handler == j.Handler }) {
			continue // a newer generation is queued
		}
		j.StartedAt, j.FinishedAt = timePtr(started), timePtr(finished)
		e.Jobs = append(e.Jobs, j)
	}
	return rows.Err()
}

// Event gives one event with all that happened to it; see hook.Ledger.
func (c *Core) Event(ctx context.Context, tx Tx, id string) (*hook.EventDetail, error) {
	seq, err := c.seqOf(id)
	if err != nil {
		return nil, err
	}
	page, seqs, err := c.infos(ctx, tx, ` WHERE k.seq = $1`, seq)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, fmt.Errorf("event %s: %w", id, hook.ErrNotFound)
	}
	if err := c.addJobs(ctx, tx, page, seqs); err != nil {
		return nil, err
	}
	d := &hook.EventDetail{EventInfo: *page[0], Attempts: []hook.AttemptInfo{}}
	var headers []byte
	var twin sql.NullInt64
	row := tx.QueryRowContext(ctx, `SELECT e.headers, b.body, b.seq IS NULL, k.same_body_as
		FROM event_keys k JOIN events e ON e.seq = k.seq
		LEFT JOIN bodies b ON b.seq = k.seq WHERE k.seq = $1`, seq)
	if err := row.Scan(&headers, &d.Body, &d.BodyGone, &twin); err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	if d.ErasedAt != nil {
		d.Body, d.BodyGone = nil, true // the row may still stand there, blank
	}
	if d.Headers, d.Body, err = c.open(eventKey{d.Source, d.Mode, d.Key}.place(), headers, d.Body); err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	if twin.Valid {
		d.SameBodyAs = c.eventID(twin.Int64)
	}
	return d, c.addAttempts(ctx, tx, seq, d)
}

func (c *Core) addAttempts(ctx context.Context, tx Tx, seq int64, d *hook.EventDetail) error {
	rows, err := tx.QueryContext(ctx, `SELECT handler, generation, attempt, started_at, ended_at, outcome, error
		FROM runs WHERE seq = $1 ORDER BY claim_no`, seq)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a hook.AttemptInfo
		var started int64
		var finished sql.NullInt64
		var cause sql.NullString
		if err := rows.Scan(&a.Handler, &a.Generation, &a.Attempt, &started, &finished, &a.Outcome, &cause); err != nil {
			return fmt.Errorf("list attempts: %w", err)
		}
		a.StartedAt, a.EndedAt = fromMicros(started), timePtr(finished)
		if cause.Valid {
			a.Error = &cause.String
		}
		d.Attempts = append(d.Attempts, a)
	}
	return rows.Err()
}
