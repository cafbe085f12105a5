package sqlstore

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of the ring of rejections.
const (
	MaxRejectedBody    = 64 << 10 // bytes kept of one refused body
	MaxRejectionsBytes = 16 << 20 // kept per source
	maxPendingBytes    = 1 << 20  // waiting in memory to be written; the oldest give way
)

// Rejections gathers notes on refused deliveries until the engine writes them,
// at most once a second, with a batch of its own writing. Losing them in a
// crash loses nothing that was promised.
type Rejections struct {
	mu      sync.Mutex
	pending []*hook.Rejection
	bytes   int

	shrunk atomic.Bool // others have removed notes: count anew

	// owned by the engine's writer
	kept    map[string]int64 // bytes on disk by source
	flushed time.Time
}

// Add notes a refusal; it never waits for the disk.
func (r *Rejections) Add(d hook.Delivery, reason hook.Reason, detail string) {
	body := d.Body[:min(len(d.Body), MaxRejectedBody)]
	note := &hook.Rejection{At: d.ReceivedAt, Source: d.Source, Reason: reason, Detail: cut(detail, 512),
		Remote: d.Remote, Headers: signing(d.Header), Size: len(d.Body), Body: append([]byte{}, body...)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, note)
	r.bytes += len(body) + 256
	for r.bytes > maxPendingBytes {
		r.bytes -= len(r.pending[0].Body) + 256
		r.pending = r.pending[1:]
	}
}

// Waiting returns the notes that are not on disk yet, newest first.
func (r *Rejections) Waiting(source string) []*hook.Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	var notes []*hook.Rejection
	for _, n := range slices.Backward(r.pending) {
		if source == "" || n.Source == source {
			notes = append(notes, n)
		}
	}
	return notes
}

// signing picks the headers that a signature consists of: what an operator
// needs to verify again, and nothing else of a stranger's request.
func signing(h http.Header) map[string][]string {
	kept := map[string][]string{}
	size := 0
	for name, vals := range h {
		lower := strings.ToLower(name)
		for _, word := range []string{"signature", "webhook", "svix", "hmac", "hub-", "github-event", "github-delivery", "timestamp", "content-type", "user-agent"} {
			if !strings.Contains(lower, word) {
				continue
			}
			for _, v := range vals {
				if size += len(v); size < 8<<10 {
					kept[name] = append(kept[name], v)
				}
			}
			break
		}
	}
	return kept
}

// Due empties the waiting room if the last writing is a second ago.
func (r *Rejections) Due(now time.Time) []*hook.Rejection {
	if now.Sub(r.flushed) < time.Second && now.After(r.flushed) {
		return nil
	}
	r.flushed = now
	return r.Take()
}

// Forget is called by the engine when a writing was rolled back: what is on disk
// is counted anew.
func (r *Rejections) Forget() { r.kept = nil }

// Recount is called by whoever has removed notes from the disk; it may be anybody.
func (r *Rejections) Recount() { r.shrunk.Store(true) }

// Take empties the ring's waiting room.
func (r *Rejections) Take() []*hook.Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending
	r.pending, r.bytes = nil, 0
	return p
}

// Write puts notes on disk, sealed by the core where it encrypts, and removes the oldest ones of sources that hold too
// much.
func (r *Rejections) Write(ctx context.Context, tx Tx, c *Core, notes []*hook.Rejection) error {
	if r.shrunk.Swap(false) || r.kept == nil {
		if err := r.load(ctx, tx); err != nil {
			return err
		}
	}
	for _, n := range notes {
		at := n.At.UnixMicro()
		headers, body, err := c.close(rejectionPlace(n.Source, at), encodeHeader(n.Headers), n.Body)
		if err != nil {
			return fmt.Errorf("note a rejection: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO rejections (at, source, reason, detail, remote, size, headers, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, at, n.Source, string(n.Reason), n.Detail, n.Remote, n.Size, headers, body)
		if err != nil {
			return fmt.Errorf("note a rejection: %w", err)
		}
		r.kept[n.Source] += int64(len(body)) + 256
		for r.kept[n.Source] > MaxRejectionsBytes {
			if err := r.dropOldest(ctx, tx, n.Source); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Rejections) load(ctx context.Context, tx Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT source, CAST(sum(length(body) + 256) AS BIGINT) FROM rejections GROUP BY source`)
	if err != nil {
		return fmt.Errorf("size the rejections: %w", err)
	}
	defer rows.Close()
	kept := map[string]int64{}
	for rows.Next() {
		var source string
		var n int64
		if err := rows.Scan(&source, &n); err != nil {
			return err
		}
		kept[source] = n
	}
	r.kept = kept
	return rows.Err()
}

func (r *Rejections) dropOldest(ctx context.Context, tx Tx, source string) error {
	rows, err := tx.QueryContext(ctx, `DELETE FROM rejections WHERE id IN (
		SELECT id FROM rejections WHERE source = $1 ORDER BY id LIMIT 64) RETURNING length(body) + 256`, source)
	if err != nil {
		return fmt.Errorf("drop old rejections: %w", err)
	}
	defer rows.Close()
	gone := false
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return err
		}
		r.kept[source] -= n
		gone = true
	}
	if !gone {
		r.kept[source] = 0
	}
	return rows.Err()
}
