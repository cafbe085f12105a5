package stripe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Sender delivers a notice outside. It is called at least once per notice, with
// the same key on every attempt; a far side that cannot refuse a repeat may see
// one after a crash. An error is tried again.
type Sender interface {
	Send(ctx context.Context, n Notice) error
}

// Notice is what a channel delivers.
type Notice struct {
	Key    string // the same for every attempt
	Kind   string // such as invoice.paid
	UserID string
	Email  string // of the customer as Stripe has it; may be empty
	Title  string
	Body   string
}

// Channel is one way outside. Each is a route of its own, so that one that is
// down holds up no other.
type Channel struct {
	Name   string // 1 to 24 of a-z, 0-9 and -; stored with its jobs
	Kinds  string // pattern of kinds; default all
	Sender Sender
}

func channelName(name string) bool {
	ok, err := regexp.MatchString(`^[a-z0-9-]{1,24}$`, name)
	return ok && err == nil
}

// handleChannel delivers the notice that an event led to. The event's own job is
// the only one that delivers it: another event of the same fact led to none.
func (d *Desk) handleChannel(ch Channel) hook.HandlerFunc {
	return func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
		n, state, err := d.noticeFor(ctx, ch, e)
		switch {
		case err != nil:
			return nil, err
		case state == noticePending:
			if err := d.unreadable(e); err != nil {
				return nil, err
			}
			return nil, hook.After(fmt.Errorf("the notice of this event is not written yet: %w", hook.ErrNotYet), noticeWait)
		case state == noticeNone, ch.Kinds != "" && !hook.Match(ch.Kinds, n.Kind):
			return nil, nil
		}
		if err := hook.Outward(ctx, "tell the channel %s: %s", ch.Name, n.Kind); err != nil {
			return nil, err
		}
		// If we die between here and the commit of the effect, the next attempt
		// sends it again, under the same key.
		if err := ch.Sender.Send(ctx, n); err != nil {
			return nil, fmt.Errorf("channel %s: %w", ch.Name, err)
		}
		by := causeOf(ctx, e)
		return func(ctx context.Context, tx hook.Tx) error {
			_, err := d.once(ctx, tx, by, "notify-"+ch.Name, n.Key, "")
			return err
		}, nil
	}
}

// unreadable is why an event can lead to no notice, however long one waits.
func (d *Desk) unreadable(e *hook.Event) error {
	ev, err := readEvent(e)
	if err == nil && !d.asks(e.Mode) {
		_, err = ev.copy()
	}
	return err
}

// noticeWait: the end of the job that writes the notice wakes this one before.
const noticeWait = 10 * time.Second

type noticeState int

const (
	noticePending noticeState = iota // its job has not ended
	noticeNone                       // there is none, or it has been delivered
	noticeReady
)

func (d *Desk) noticeFor(ctx context.Context, ch Channel, e *hook.Event) (n Notice, state noticeState, err error) {
	err = d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		n, state = Notice{}, noticePending // anew each time: a reading may be repeated
		found, err := d.consequence(ctx, tx, e, "told", e.Key)
		if err != nil || !found.Valid {
			return err
		}
		state, n.Key = noticeNone, found.String
		if n.Key == "" {
			return nil
		}
		if sent, err := d.consequence(ctx, tx, e, "notify-"+ch.Name, n.Key); err != nil || sent.Valid {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT kind, user_id, title, body FROM notifications WHERE id = $1`,
			n.Key).Scan(&n.Kind, &n.UserID, &n.Title, &n.Body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // the application has deleted it
		}
		if err == nil {
			n.Email, err = d.emailOf(ctx, tx, e.Mode, n.UserID)
		}
		state = noticeReady
		return err
	})
	if err != nil {
		return n, noticePending, fmt.Errorf("read the notice of event %s: %w", e.Key, err)
	}
	return n, state, nil
}

// consequence reads the result of one, if it has happened.
func (d *Desk) consequence(ctx context.Context, tx hook.Tx, e *hook.Event, what, key string) (result sql.NullString, err error) {
	err = tx.QueryRowContext(ctx, `SELECT result FROM consequences WHERE scope = $1 AND handler = $2 AND key = $3`,
		scopeOf(e), d.name+"-"+what, key).Scan(&result)
	if errors.Is(err, sql.ErrNoRows) {
		return sql.NullString{}, nil
	}
	return result, err
}
