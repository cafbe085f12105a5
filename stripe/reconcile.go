package stripe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// How far the comparison looks. Stripe lists its events for 30 days and delivers
// one again for three, so a first look goes back as far as a delivery could.
const (
	listedFor    = 30 * 24 * time.Hour
	firstLook    = 72 * time.Hour
	overlap      = 15 * time.Minute // events become visible late, and a second holds many
	settleTime   = 30 * time.Second // younger ones are still on their way
	recentWindow = time.Hour        // of which our clock does not decide how far we have come
	maxPages     = 100              // of one window; a fuller one is halved
	maxTold      = 1000             // missed events that a report names
	eventsName   = "events"
)

// Report says what a comparison with Stripe found.
type Report struct {
	Source   string    `json:"source"`
	Began    time.Time `json:"began_at"`
	Ended    time.Time `json:"ended_at"`
	From     time.Time `json:"from"`               // the events that were looked at
	TooOld   bool      `json:"too_old"`            // the gap is longer than Stripe lists: state is repaired, notices are not
	Listed   int       `json:"listed"`             // events of our types
	Missed   int       `json:"missed"`             // of these, never delivered, and recorded now
	Events   []Missed  `json:"events"`             // the first thousand of them
	Checked  int       `json:"subscriptions"`      // subscriptions that were compared
	Drifted  int       `json:"drifted"`            // of these, not as Stripe has them, and queued for repair
	Problems []string  `json:"problems,omitempty"` // what could not be done; the next round goes on there

	// KeyRefused: Stripe did not take the API key, or it may not ask that.
	KeyRefused bool `json:"key_refused,omitempty"`
}

// Missed is an event that was never delivered.
type Missed struct {
	ID      string    `json:"event"`
	Key     string    `json:"key"`
	Type    string    `json:"type"`
	Created time.Time `json:"created"`
}

// Look says how much a reconciliation compares.
type Look struct {
	Since time.Time // look at events from then on; zero: from where the last round ended
	All   bool      // compare every subscription, not only when a day has passed
	Wait  bool      // for a round that is running to end, instead of being refused
}

// ErrNoKey is returned by Reconcile of a desk without an API key.
var ErrNoKey = errors.New("no API key: nothing can be asked")

// Reconcile records the events that were never delivered, then compares the
// subscriptions and queues what differs for repair by its handler. A repeat finds
// nothing new. One runs at a time: beside another it is hook.ErrRefused. What was
// done before an error stays done.
func (d *Desk) Reconcile(ctx context.Context, look Look) (Report, error) {
	r := Report{Source: d.name, Began: d.cfg.Now(), Events: []Missed{}}
	if d.api == nil {
		return r, ErrNoKey
	}
	if err := d.takeTurn(ctx, look.Wait); err != nil {
		return r, err
	}
	defer func() { <-d.single }()
	err := d.catchUp(ctx, look, &r)
	if err == nil {
		d.seen.done()
		err = d.compareSubscriptions(ctx, look.All, &r)
	}
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
		r.KeyRefused = errors.Is(err, errKeyRefused)
	}
	r.Ended = d.cfg.Now()
	if kept := d.keepReport(context.WithoutCancel(ctx), r); kept != nil {
		err = errors.Join(err, kept)
	}
	if r.Missed > 0 || r.Drifted > 0 {
		d.cfg.Logger.Warn("reconciled", "source", d.name, "missed", r.Missed, "drifted", r.Drifted,
			"listed", r.Listed, "from", r.From, "too_old", r.TooOld)
	}
	return r, err
}

// takeTurn makes this round the one that runs; the caller gives the turn back.
func (d *Desk) takeTurn(ctx context.Context, wait bool) error {
	select {
	case d.single <- struct{}{}:
		return nil
	default:
	}
	if wait {
		select {
		case d.single <- struct{}{}:
			return nil
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("a reconciliation of %s is running: %w", d.name, hook.ErrRefused)
}

// catchUp lists events window by window, oldest first, and records what is new.
// After each window it is noted how far we have come: an interruption costs one.
func (d *Desk) catchUp(ctx context.Context, look Look, r *Report) error {
	now := d.cfg.Now()
	from, err := d.startOf(ctx, look, now)
	if err != nil {
		return err
	}
	if oldest := now.Add(-listedFor); from.Before(oldest) {
		from, r.TooOld = oldest, true
	}
	r.From = from
	size := max(now.Sub(from)/24, time.Hour)
	for w := from; w.Before(now); {
		end := w.Add(size)
		last := !end.Before(now.Add(-recentWindow))
		if last {
			end = time.Time{} // open: the sender's clock may be ahead of ours
		}
		newest, full, err := d.window(ctx, w, end, r)
		switch {
		case err != nil:
			return err
		case full && size > time.Minute:
			size /= 2
			continue
		case full:
			return fmt.Errorf("more than %d events within a minute of %s", maxPages*100, w.UTC().Format(time.RFC3339))
		case last:
			return d.advance(ctx, eventsName, newest)
		}
		if err := d.advance(ctx, eventsName, end); err != nil {
			return err
		}
		w = end
	}
	return nil
}

func (d *Desk) startOf(ctx context.Context, look Look, now time.Time) (time.Time, error) {
	if !look.Since.IsZero() {
		return look.Since, nil
	}
	reached, err := d.progress(ctx, eventsName)
	switch {
	case err != nil:
		return now, err
	case reached.IsZero():
		return now.Add(-firstLook), nil
	}
	return reached.Add(-overlap), nil
}

// window records the events of one stretch of time. newest is the latest time of
// any of them, or the begin; full means that there were too many to hold.
func (d *Desk) window(ctx context.Context, from, end time.Time, r *Report) (newest time.Time, full bool, err error) {
	newest = from
	settled := d.cfg.Now()
	if !d.seen.fresh() { // the first round of a process takes everything: it was away
		settled = settled.Add(-settleTime)
	}
	var found []gjson.Result
	query := url.Values{"limit": {"100"}, "created[gte]": {strconv.FormatInt(from.Unix(), 10)}}
	if !end.IsZero() {
		query.Set("created[lt]", strconv.FormatInt(end.Unix(), 10))
	}
	for page := 0; ; page++ {
		if page == maxPages {
			return newest, true, nil
		}
		list, err := d.ask(ctx, "/v1/events", query)
		if err != nil {
			return newest, false, err
		}
		items := list.Get("data").Array()
		found = append(found, items...)
		if len(items) == 0 || !list.Get("has_more").Bool() {
			break
		}
		query.Set("starting_after", items[len(items)-1].Get("id").String())
	}
	slices.Reverse(found) // Stripe lists the newest first
	for _, e := range found {
		created := seconds(e.Get("created"))
		if created.After(settled) {
			continue
		}
		if err := d.recordListed(ctx, e, created, r); err != nil {
			return newest, false, err
		}
		if created.After(newest) {
			newest = created
		}
	}
	return newest, false, nil
}

// recordListed records one event as if it had been delivered, under the same key
// and with the bytes that the API gave.
func (d *Desk) recordListed(ctx context.Context, e gjson.Result, created time.Time, r *Report) error {
	if !hook.Match(d.cfg.ReconcileTypes, e.Get("type").String()) {
		return nil
	}
	r.Listed++
	key := e.Get("id").String()
	if d.seen.has(key) {
		return nil
	}
	body := []byte(e.Raw)
	header := http.Header{"Content-Type": {"application/json"}}
	id, err := d.cfg.Source.Identify(header, body)
	if err != nil {
		id.Quarantine = hook.QuarantineUnreadable
		if q, ok := errors.AsType[*hook.QuarantineError](err); ok {
			id.Quarantine = q.Reason
		}
	}
	id.Trust = hook.TrustSenderAPI
	if c, ok := d.cfg.Source.(hook.Canonicaler); ok {
		id.Canonical = c.Canonical
	}
	receipt, err := d.cfg.Record(ctx, hook.Delivery{Source: d.name, Header: header, Body: body, ReceivedAt: d.cfg.Now()}, id)
	if err != nil {
		return fmt.Errorf("record missed event %s: %w", key, err)
	}
	d.seen.add(key)
	if receipt.Duplicate {
		return nil
	}
	r.Missed++
	if len(r.Events) < maxTold {
		r.Events = append(r.Events, Missed{ID: receipt.EventID, Key: key, Type: id.Type, Created: created})
	}
	return nil
}

// ask is get with patience: a limit or a short failure of the sender does not end
// a round.
func (d *Desk) ask(ctx context.Context, path string, query url.Values) (gjson.Result, error) {
	const tries, most = 5, 30 * time.Second
	for try := 1; ; try++ {
		list, err := d.api.get(ctx, path, query, "")
		if err == nil && !list.Get("data").IsArray() {
			err = fmt.Errorf("stripe: %s: the answer is not a list", path)
		}
		hopeless := errors.Is(err, errGone) || errors.Is(err, errKeyRefused)
		if err == nil || try == tries || hopeless || ctx.Err() != nil {
			return list, err
		}
		wait, named := hook.Delay(err)
		if !named {
			wait = 250 * time.Millisecond << try
		}
		if wait > most {
			return list, err // the next round is sooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return list, ctx.Err()
		case <-timer.C:
		}
	}
}

// progress is how far a comparison has come; zero if it never began.
func (d *Desk) progress(ctx context.Context, name string) (time.Time, error) {
	var at hook.Timestamp
	err := d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT reached_at FROM billing_progress WHERE source = $1 AND name = $2`,
			d.name, name).Scan(&at)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the progress of %s: %w", name, err)
	}
	return at.Time, nil
}

// advance notes how far a comparison has come; it never goes back.
func (d *Desk) advance(ctx context.Context, name string, to time.Time) error {
	err := d.cfg.Store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO billing_progress (source, name, reached_at) VALUES ($1, $2, $3)
			ON CONFLICT (source, name) DO UPDATE SET reached_at = excluded.reached_at
			WHERE excluded.reached_at > billing_progress.reached_at`, d.name, name, to)
		return err
	})
	if err != nil {
		return fmt.Errorf("note the progress of %s: %w", name, err)
	}
	return nil
}

// seenKeys remembers which listed events are recorded, for as long as the overlap
// shows them again: a round then writes nothing where nothing was missed.
type seenKeys struct {
	mu       sync.Mutex
	now, old map[string]bool // guarded by mu
	rounds   int             // guarded by mu
}

const maxSeen = 20_000

func newSeenKeys() *seenKeys { return &seenKeys{now: map[string]bool{}} }

func (s *seenKeys) has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now[key] || s.old[key]
}

func (s *seenKeys) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.now) >= maxSeen {
		s.old, s.now = s.now, map[string]bool{}
	}
	s.now[key] = true
}

// fresh reports that this process has not finished a round yet.
func (s *seenKeys) fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rounds == 0
}

func (s *seenKeys) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds++
}
