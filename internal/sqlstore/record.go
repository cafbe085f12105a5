package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
)

// Entry is one delivery on its way into the log, with the answer it will get.
type Entry struct {
	Delivery hook.Delivery
	Identity hook.Identity
	Handlers []string
	SHA256   [sha256.Size]byte

	Receipt hook.Receipt // valid once the transaction has committed, as is Lent
	Lent    []*hook.Job

	loan    hook.Loan // what of its jobs somebody would take
	header  []byte    // as LoadEvents reads it
	headers []byte    // as they are stored
	body    []byte    // as it is stored
	line    string
	counted bool // by the database, as it was recorded
}

// NewEntry prepares a delivery for a batch; it runs outside the writer. It fails
// only where the delivery must be sealed and cannot be.
func (c *Core) NewEntry(d hook.Delivery, id hook.Identity, handlers []string) (*Entry, error) {
	e := &Entry{Delivery: d, Identity: id, SHA256: sha256.Sum256(d.Body)}
	if e.Identity.Key == "" {
		e.Identity.Key = hex.EncodeToString(e.SHA256[:])
	}
	if id.Quarantine == "" {
		e.Handlers = handlers
	}
	e.line = lineOf(d.Source, id.Mode, id.Subject)
	e.header = encodeHeader(d.Header)
	var err error
	if e.headers, e.body, err = c.close(e.key().place(), e.header, d.Body); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return e, nil
}

// Bytes is what the entry weighs in a batch.
func (e *Entry) Bytes() int { return len(e.Delivery.Body) + len(e.headers) + 512 }

func (e *Entry) key() eventKey {
	return eventKey{e.Delivery.Source, e.Identity.Mode, e.Identity.Key}
}

type eventKey struct{ source, mode, key string }

func (k eventKey) compare(o eventKey) int {
	return cmp.Or(strings.Compare(k.source, o.source), strings.Compare(k.mode, o.mode), strings.Compare(k.key, o.key))
}

// group is all entries of one batch that carry one key: the first of them is
// the event if the key is new.
type group struct {
	first  *Entry
	more   []*Entry
	seq    int64 // of the event, once known
	fresh  bool
	stored [sha256.Size]byte // sha256 of the event's bytes
	trust  hook.Trust        // of the event
	gone   bool              // folded into another row: write nothing more

	// What the store decides about a fresh event; the entry stays as it came,
	// for the batch may be written again in parts.
	handlers   []string
	quarantine hook.Quarantine
}

// deliveries counts what senders delivered; what we read from a sender's API is
// no delivery.
func (g *group) deliveries() int {
	n := 0
	for _, e := range append([]*Entry{g.first}, g.more...) {
		if e.Identity.Trust != hook.TrustSenderAPI {
			n++
		}
	}
	return n
}

func newGroup(e *Entry) *group {
	return &group{first: e, handlers: e.Handlers, quarantine: e.Identity.Quarantine}
}

// Record writes a batch. The claim on a key is the unique insert itself: no
// code path selects first. If the process dies before the commit, nothing of
// the batch exists and nobody has been answered; after it, every entry's event
// is on disk, also those whose answer was never sent: their redelivery is then
// a duplicate.
func (c *Core) Record(ctx context.Context, tx Tx, batch []*Entry) error {
	for _, e := range batch { // it may have been tried before, and rolled back
		e.Receipt, e.Lent, e.counted = hook.Receipt{}, nil, false
	}
	groups := c.group(batch)
	if err := fault.Point("before-insert"); err != nil {
		return err
	}
	var now int64
	if m, ok := tx.(Many); ok {
		if err := c.recordMany(ctx, tx, m, groups); err != nil {
			return err
		}
		now = c.now(tx)
	} else {
		now = c.now(tx)
		for _, g := range groups {
			c.lastSeq++
			g.seq = c.lastSeq
		}
		if err := c.insert(ctx, tx, groups, now); err != nil {
			return err
		}
	}
	if err := c.answer(ctx, tx, groups, now); err != nil {
		return err
	}
	return c.countDeliveries(ctx, tx, batch, now)
}

// insert claims the keys of groups that have their numbers and writes what is
// fresh of them.
func (c *Core) insert(ctx context.Context, tx Tx, groups []*group, now int64) error {
	if err := c.insertKeys(ctx, tx, groups, now); err != nil {
		return err
	}
	if err := c.flagCopies(ctx, tx, groups); err != nil {
		return err
	}
	if err := c.foldHints(ctx, tx, groups, now); err != nil {
		return err
	}
	fresh := make([]*group, 0, len(groups))
	for _, g := range groups {
		if g.fresh && !g.gone {
			fresh = append(fresh, g)
		}
	}
	if err := c.markHour(ctx, tx, fresh, now); err != nil {
		return err
	}
	if err := c.insertEvents(ctx, tx, fresh); err != nil {
		return err
	}
	return c.insertJobs(ctx, tx, fresh, now)
}

// group puts entries of one key together, in order of arrival.
func (c *Core) group(batch []*Entry) []*group {
	groups := make([]*group, 0, len(batch))
	index := make(map[eventKey]*group, len(batch))
	for _, e := range batch {
		if g, ok := index[e.key()]; ok && !fault.Mutant("check_then_insert") {
			g.more = append(g.more, e)
			continue
		}
		g := newGroup(e)
		index[e.key()] = g
		groups = append(groups, g)
	}
	return groups
}

// chunks calls f for parts of all that fit into one statement. Their sizes are
// powers of two, so that few statements have to be prepared.
func chunks[T any](all []T, f func([]T) error) error {
	const most = 64
	for len(all) > 0 {
		n := most
		for n > len(all) {
			n /= 2
		}
		if err := f(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

const upsertKeys = ` ON CONFLICT (source, mode, key)
	DO UPDATE SET deliveries = event_keys.deliveries + excluded.deliveries
	RETURNING seq, source, mode, key, sha256, trust`

func (c *Core) insertKeys(ctx context.Context, tx Tx, groups []*group, now int64) error {
	upsert := upsertKeys
	if fault.Mutant("check_then_insert") {
		upsert = ` RETURNING seq, source, mode, key, sha256, trust`
	}
	return bulk(c, groups, "itttibtitii", func(args []any, g *group) []any {
		e := g.first
		return append(args, g.seq, e.Delivery.Source, e.Identity.Mode, e.Identity.Key, now, e.SHA256[:],
			string(e.Identity.Trust), flag(e.Identity.KeyUnsigned), string(e.Identity.Quarantine),
			g.deliveries(), len(e.Handlers))
	}, func(part []*group, source string, args []any) error {
		index := make(map[eventKey]*group, len(part))
		for _, g := range part {
			index[g.first.key()] = g
		}
		rows, err := tx.QueryContext(ctx, `INSERT INTO event_keys (seq, source, mode, key, received_at, sha256,
			trust, key_unsigned, quarantine, deliveries, jobs_total) `+source+upsert, args...)
		if err != nil {
			return fmt.Errorf("insert keys: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var k eventKey
			var seq int64
			var sum []byte
			var trust hook.Trust
			if err := rows.Scan(&seq, &k.source, &k.mode, &k.key, &sum, (*string)(&trust)); err != nil {
				return fmt.Errorf("insert keys: %w", err)
			}
			g := index[k]
			g.fresh = g.seq == seq || fault.Mutant("check_then_insert")
			g.trust = trust
			g.seq = seq
			copy(g.stored[:], sum)
		}
		return rows.Err()
	})
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// flagCopies quarantines a fresh event whose body came before under another
// unsigned key: a captured body delivered anew by somebody who knows no secret.
func (c *Core) flagCopies(ctx context.Context, tx Tx, groups []*group) error {
	for _, g := range groups {
		id := &g.first.Identity
		if !g.fresh || !id.KeyUnsigned || id.Quarantine != "" {
			continue
		}
		// With several writers the earlier one may have the higher number.
		other := "<"
		if c.Many {
			other = "<>"
		}
		rows, err := tx.QueryContext(ctx, `SELECT seq FROM event_keys
			WHERE source = $1 AND sha256 = $2 AND key_unsigned = 1 AND seq `+other+` $3 AND quarantine = ''
			  AND received_at >= $4 ORDER BY seq + 0 LIMIT 1`, // not by the order of an index of all that the source delivered
			g.first.Delivery.Source, g.first.SHA256[:], g.seq, c.now(tx)-SameBodyWindow.Microseconds())
		if err != nil {
			return fmt.Errorf("look for copies: %w", err)
		}
		var earlier int64
		if rows.Next() {
			err = rows.Scan(&earlier)
		}
		rows.Close()
		if err != nil || earlier == 0 {
			if err != nil {
				return fmt.Errorf("look for copies: %w", err)
			}
			continue
		}
		g.quarantine, g.handlers = hook.QuarantineSameBody, nil
		_, err = tx.ExecContext(ctx, `UPDATE event_keys SET quarantine = $1, same_body_as = $2, jobs_total = 0
			WHERE seq = $3`, string(hook.QuarantineSameBody), earlier, g.seq)
		if err != nil {
			return fmt.Errorf("quarantine a copy: %w", err)
		}
	}
	return nil
}

func (c *Core) insertEvents(ctx context.Context, tx Tx, fresh []*group) error {
	err := bulk(c, fresh, "ittnib", func(args []any, g *group) []any {
		e := g.first
		var occurred any
		if !e.Identity.OccurredAt.IsZero() {
			occurred = e.Identity.OccurredAt.UnixMicro()
		}
		return append(args, g.seq, e.Identity.Type, e.Identity.Subject, occurred, len(e.Delivery.Body), e.headers)
	}, func(_ []*group, source string, args []any) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO events (seq, type, subject, occurred_at, size, headers) `+source, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	err = bulk(c, fresh, "ib", func(args []any, g *group) []any {
		return append(args, g.seq, g.first.body)
	}, func(_ []*group, source string, args []any) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO bodies (seq, body) `+source, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("insert bodies: %w", err)
	}
	return nil
}

// markHour notes the first event of an hour, so that the ledger can take the
// events of an hour by their numbers.
func (c *Core) markHour(ctx context.Context, tx Tx, fresh []*group, now int64) error {
	c.markedHour = 0
	hour := max(hourOf(now), c.lastHour) // numbers and hours never run apart, whatever the clock does
	if len(fresh) == 0 || c.Many {
		return nil // several writers draw numbers out of turn: there the hour of an event is that of its time
	}
	if hour == c.lastHour {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO hours (hour, first_seq) VALUES ($1, $2) ON CONFLICT (hour) DO NOTHING`,
		hour, fresh[0].seq)
	if err != nil {
		return fmt.Errorf("mark the hour: %w", err)
	}
	c.markedHour = hour
	return nil
}

// Committed is called by the engine after the commit of Record: what memory
// remembers of a batch must not be ahead of the disk.
func (c *Core) Committed(batch []*Entry) {
	// Only an hour that is marked counts as seen: a batch may have had nothing
	// fresh in it, or have begun before the hour turned.
	if !c.Many {
		c.lastHour = max(c.markedHour, c.lastHour)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range batch {
		if !e.Receipt.Duplicate {
			c.lastEvent[e.Delivery.Source] = e.Delivery.ReceivedAt
		}
	}
}

func hourOf(us int64) int64 { return us / 3_600_000_000 }

// countDeliveries adds the batch to the counters that overviews sum up.
func (c *Core) countDeliveries(ctx context.Context, tx Tx, batch []*Entry, now int64) error {
	type line struct{ source, kind, outcome string }
	totals := map[line]int{}
	for _, e := range batch {
		if e.counted || e.Receipt.Duplicate && e.Identity.Trust == hook.TrustSenderAPI {
			continue // or nothing was delivered: we looked, and had it
		}
		totals[line{e.Delivery.Source, e.Identity.Type, outcomeOf(e.Receipt)}]++
	}
	if len(totals) == 0 {
		return nil
	}
	lines := slices.SortedFunc(maps.Keys(totals), func(a, b line) int {
		return cmp.Or(strings.Compare(a.source, b.source), strings.Compare(a.kind, b.kind), strings.Compare(a.outcome, b.outcome))
	})
	kinds := "ittti"
	if c.Many {
		kinds = "itttii"
	}
	err := bulk(c, lines, kinds, func(args []any, l line) []any {
		args = append(args, hourOf(now), l.source, l.kind, l.outcome)
		if m, ok := tx.(Many); ok {
			args = append(args, m.Slot())
		}
		return append(args, totals[l])
	}, func(_ []line, source string, args []any) error {
		if m, ok := tx.(Many); ok {
			return m.Last(ctx, nil, `SELECT count_deliveries(?, ?, ?, ?, ?, ?)`, args...)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO counters (hour, source, type, outcome, n) `+source+`
			ON CONFLICT (hour, source, type, outcome) DO UPDATE SET n = counters.n + excluded.n`, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("count deliveries: %w", err)
	}
	return nil
}

func outcomeOf(r hook.Receipt) string {
	switch {
	case r.Conflict:
		return "conflict"
	case r.Duplicate:
		return "duplicate"
	case r.Quarantine != "":
		return "quarantined"
	}
	return "recorded"
}

// answer fills in the receipts and keeps what differs from the first copy.
func (c *Core) answer(ctx context.Context, tx Tx, groups []*group, now int64) error {
	for _, g := range groups {
		if g.gone {
			continue
		}
		id := c.eventID(g.seq)
		late := g.more
		if g.fresh {
			g.first.Receipt = hook.Receipt{EventID: id, Quarantine: g.quarantine}
		} else {
			late = append([]*Entry{g.first}, g.more...)
		}
		for _, e := range late {
			conflict, err := c.compare(ctx, tx, g, e, now)
			if err != nil {
				return err
			}
			e.Receipt = hook.Receipt{EventID: id, Duplicate: true, Conflict: conflict}
		}
		if len(late) > 0 && g.first.Identity.Trust == hook.TrustHint {
			if err := c.wakeHint(ctx, tx, g, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// lineOf scopes a subject: equal ids at two sources or in two modes are two
// subjects. Without a subject there is no line.
func lineOf(source, mode, subject string) string {
	if subject == "" {
		return ""
	}
	return strings.Join([]string{source, mode, subject}, "/")
}
