package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

// trial is a way to lose events.
type trial struct {
	name, asks string // for the reader
	compose    func(id string, created int64) []byte
	copies     int
	share      float64 // of the events of a trial, of those asked for
	kills      bool
	fix        bool // the program is mended in the middle
}

func trials() []trial {
	return []trial{
		{name: "a handler fails at first", asks: "the work of every fifth event fails at its first attempt", compose: failing, share: 1},
		{name: "killed in mid-load", asks: "SIGKILL and restart under load", compose: healthy, share: 2, kills: true},
		{name: "overlapping duplicates", asks: "each event four times at once", compose: healthy, copies: 4, share: 0.5},
		{name: "a present-day body", asks: "`customer.subscription.updated` of API 2026-10-28, a field has moved; the program is mended while the sender still tries",
			compose: subscription, share: 0.5, fix: true},
	}
}

// loss is how a trial ended.
type loss struct {
	events  int
	lost    int         // events that the sender knows to be delivered, or has given up, without effect
	twice   int         // effects beyond the first of an event
	kills   int         // that hit the server at work
	refused int         // events never answered 200 before the program was mended
	answers map[int]int // how the first round was answered at last
}

// String is for the log of the run.
func (l loss) String() string {
	return fmt.Sprintf("%d events: %d lost, %d twice, answered %v", l.events, l.lost, l.twice, l.answers)
}

// How the sender of a trial insists: it sends again what was not answered 200.
const (
	againAfter = 150 * time.Millisecond
	tries      = 4
	triesKill  = 400 // it outlasts every restart
)

// try runs one trial against one contender.
func (m *match) try(ctx context.Context, c contender, t trial) (l loss, err error) {
	e, err := m.enter(ctx, c)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, e.leave()) }()
	if err := e.start(ctx); err != nil {
		return l, err
	}
	copies := max(t.copies, 1)
	load, err := prepare(bench.Mix{Series: "t", Deliveries: int(float64(m.events)*t.share) * copies, Copies: t.copies, Compose: t.compose})
	if err != nil {
		return l, err
	}
	l.events = len(load.Events())
	var first *bench.Result
	if t.kills {
		if first, l.kills, err = m.underFire(ctx, e, load); err != nil {
			return l, err
		}
	} else {
		first, _ = bench.Insist(ctx, e.addr(), manyConnections, load, againAfter, tries)
	}
	l.answers = first.Statuses()
	if t.fix {
		l.refused = first.Refused
		e.kill()
		if err := e.start(ctx, "FIXED=yes"); err != nil {
			return l, err
		}
		bench.Insist(ctx, e.addr(), manyConnections, first.Unanswered(), againAfter, tries)
	}
	found, err := e.settle(ctx, l.events)
	if err != nil {
		return l, err
	}
	for _, id := range load.Events() {
		if !found.events[id] {
			l.lost++
		}
	}
	l.twice = found.rows - len(found.events)
	return l, ctx.Err()
}

// underFire kills and restarts the server while the sender insists, and says how
// often. A load that is over sooner has fewer kills, but never none: that would
// show nothing.
func (m *match) underFire(ctx context.Context, e *entrant, load *bench.Load) (r *bench.Result, kills int, err error) {
	var sender sync.WaitGroup
	done := make(chan struct{})
	sender.Go(func() {
		defer close(done)
		r, _ = bench.Insist(ctx, e.addr(), manyConnections, load, againAfter, triesKill)
	})
	for err == nil && kills < m.kills && e.busy(ctx, done) {
		e.kill()
		kills++
		err = e.start(ctx)
	}
	sender.Wait()
	if err == nil && kills == 0 {
		err = errors.New("the load was over before a kill could hit it: use more -events")
	}
	if err == nil && r.Refused > 0 {
		err = fmt.Errorf("%d deliveries were never answered 200", r.Refused)
	}
	return r, kills, errors.Join(err, ctx.Err())
}

// busy waits until the server, which has just started, has done something, and
// then for a moment of chance. It reports false if the load is over by then.
func (e *entrant) busy(ctx context.Context, done <-chan struct{}) bool {
	before := -1
	for {
		var n int
		if err := e.db.QueryRowContext(ctx, `SELECT count(*) FROM `+e.effects).Scan(&n); err != nil {
			return false // the sender's end will tell
		}
		if before < 0 {
			before = n
		}
		moment := 5 * time.Millisecond
		if n > before {
			moment = time.Duration(20+rand.IntN(100)) * time.Millisecond
		}
		select {
		case <-done:
			return false
		case <-time.After(moment):
		}
		if n > before {
			return true
		}
	}
}

func healthy(id string, created int64) []byte {
	return event(id, created, "2026-03-25.dahlia", "invoice.paid",
		fmt.Sprintf(`{"id":"in_%s","object":"invoice","metadata":{}}`, id[4:]))
}

// failing asks every fifth event, chosen by its id, to fail first. Both answers
// have the same length.
func failing(id string, created int64) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	answer := "no!"
	if h.Sum32()%5 == 0 {
		answer = "yes"
	}
	return event(id, created, "2026-03-25.dahlia", "invoice.paid",
		fmt.Sprintf(`{"id":"in_%s","object":"invoice","metadata":{"fail_first":%q}}`, id[4:], answer))
}

// subscription is as Stripe sends it today: the end of the period is in the item.
func subscription(id string, created int64) []byte {
	return event(id, created, "2026-10-28.endive", "customer.subscription.updated",
		fmt.Sprintf(`{"id":"sub_%s","object":"subscription","status":"active","customer":"cus_%s","metadata":{},`+
			`"items":{"object":"list","data":[{"id":"si_%s","object":"subscription_item","current_period_start":%d,"current_period_end":%d}]}}`,
			id[4:], id[4:], id[4:], created, created+2592000))
}

func event(id string, created int64, version, kind, object string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":%q,"type":%q,"livemode":false,"created":%d,"pending_webhooks":1,"data":{"object":%s}`,
		id, version, kind, created, object)
}
