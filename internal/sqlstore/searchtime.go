package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// crossTime is how long a search that crosses conditions goes on to look at another
// stretch of the log.
const crossTime = 100 * time.Millisecond

// crossing reports whether a filter has two conditions of which no index has both:
// events that fulfil one of them may be many, and those that fulfil both few.
func crossing(f hook.Filter) bool {
	n := 0
	for _, set := range []bool{f.Source != "", f.Type != "", f.Subject != "", f.State != ""} {
		if set {
			n++
		}
	}
	return n > 1 && f.Key == ""
}

// foundInTime is found, a stretch of the log after the other, until it has enough or
// its time is up: then the mark says how far it came; 0 at the end.
func (c *Core) foundInTime(ctx context.Context, tx Tx, f hook.Filter, below int64, limit int) ([]int64, int64, error) {
	f.Cursor, f.Limit = "", 0
	if _, _, err := c.where(f); err != nil {
		return nil, 0, err // a filter that means nothing
	}
	floor, mark, err := c.times(ctx, tx, f, below)
	if err != nil {
		return nil, 0, err
	}
	floor = max(floor, 1)
	newest, err := c.scanSeq(ctx, tx, `SELECT coalesce(max(seq), 0) FROM event_keys`)
	if err != nil {
		return nil, 0, err
	}
	mark = min(mark, newest+1)
	if c.Many && !f.Until.IsZero() {
		mark = min(mark, SeqAt(f.Until.UnixMicro())+seqsADay)
	}
	old := int64(0) // numbers up to here are of days before since, but for those without a day, which were copied
	if c.Many && !f.Since.IsZero() {
		old = SeqAt(f.Since.UnixMicro())
	}
	w, err := c.wayOf(ctx, tx, f)
	if err != nil {
		return nil, 0, fmt.Errorf("search events: %w", err)
	}
	var list []int64
	end := time.Now().Add(crossTime)
	for stretch := int64(firstStretch); mark > floor && len(list) < limit; {
		begin := time.Now()
		if !begin.Before(end) {
			return list, mark, nil
		}
		low := max(floor, mark-stretch)
		part, err := c.searchBy(ctx, tx, w, f, low, mark, limit-len(list))
		if err != nil {
			return nil, 0, fmt.Errorf("search events: %w", err)
		}
		list, mark = append(list, part...), low
		if mark <= old {
			mark = min(mark, seqsADay)
		}
		stretch = nextStretch(stretch, time.Since(begin))
	}
	return list, 0, nil
}

// nextStretch is how much of the log to look at next, after one that took so long.
func nextStretch(stretch int64, took time.Duration) int64 {
	switch {
	case took < quickStretch/10: // next to nothing there
		return min(stretch*8, 1<<50)
	case took < quickStretch: // what follows may have to come from the disk
		return min(stretch*2, 1<<50)
	case took > slowStretch:
		return max(stretch/4, firstStretch)
	}
	return stretch
}
