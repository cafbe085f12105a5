package stripe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// How good the evidence is that a customer is a user. What the application's
// server wrote beats a reference that may stand in a link that somebody sent;
// better evidence wins, of equal evidence the newest.
const (
	rankLookup    = 1 // the application's own table, asked where nothing is said
	rankReference = 2 // client_reference_id of a checkout session
	rankSession   = 3 // metadata.user_id of a checkout session
	rankContract  = 4 // metadata.user_id of a subscription
	rankCustomer  = 5 // metadata.user_id of the customer
)

// person is what an event tells about a customer.
type person struct {
	customer string
	user     string // may be empty
	rank     int
	email    string // may be empty
	at       time.Time
	deleted  bool
}

// personOf reads who an object is about. A customer may be missing: a guest.
func personOf(ev *event, o gjson.Result) person {
	p := person{customer: ref(o.Get("customer")), at: ev.created}
	claim := func(user string, rank int) {
		if p.user == "" && user != "" && len(user) <= 255 {
			p.user, p.rank = user, rank
		}
	}
	switch o.Get("object").String() {
	case "customer":
		p.customer, p.email, p.deleted = o.Get("id").String(), o.Get("email").String(), o.Get("deleted").Bool()
		claim(o.Get("metadata.user_id").String(), rankCustomer)
	case "subscription":
		claim(o.Get("metadata.user_id").String(), rankContract)
	case "invoice":
		p.email = o.Get("customer_email").String()
		for _, path := range [...]string{"parent.subscription_details.metadata.user_id", "subscription_details.metadata.user_id"} {
			claim(o.Get(path).String(), rankContract)
		}
	case "checkout.session":
		if p.email = o.Get("customer_details.email").String(); p.email == "" {
			p.email = o.Get("customer_email").String()
		}
		claim(o.Get("metadata.user_id").String(), rankSession)
		claim(o.Get("client_reference_id").String(), rankReference)
	}
	if p.customer == "" {
		p.customer = ref(o.Get("customer_account"))
	}
	return p
}

// noUser stands in the cause of every job that waits for a user.
const noUser = "no user is known"

// errUnknownUser makes a job wait for its user: soon again at first, then less
// and less often.
func (d *Desk) errUnknownUser(ctx context.Context, customer string) error {
	const first, most = 5 * time.Second, 10 * time.Minute
	wait := most
	if n := hook.JobOf(ctx).Attempt; n < 8 {
		wait = min(first<<max(n-1, 0), most)
	}
	return hook.After(fmt.Errorf("customer %s: "+noUser+": set metadata.user_id or client_reference_id, "+
		"or configure a lookup: %w", customer, hook.ErrNotYet), wait)
}

// resolve completes a person from what is known, then from the customer at Stripe,
// then from the lookup. It is called outside any transaction. Without an answer
// the error is ErrNotYet.
func (d *Desk) resolve(ctx context.Context, ev *event, p person) (person, error) {
	if p.user != "" || p.customer == "" {
		return p, nil
	}
	known, email, err := d.customer(ctx, ev.Mode, p.customer)
	if err != nil || known != "" {
		return p, err // what is known is read again inside the effect
	}
	if d.asks(ev.Mode) {
		o, err := d.api.object(ctx, p.customer, ev.account)
		if err != nil && !errors.Is(err, errGone) {
			return p, err
		}
		if asked := personOf(ev, o); asked.user != "" {
			asked.at = d.cfg.Now()
			return asked, nil
		}
	}
	if d.cfg.Users != nil {
		if p.email != "" {
			email = p.email
		}
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		user, err := d.cfg.Users.UserOf(ctx, Customer{Source: d.name, Mode: ev.Mode, ID: p.customer, Email: email})
		if err != nil {
			return p, fmt.Errorf("look up the user of customer %s: %w", p.customer, err)
		}
		if user != "" && len(user) <= 255 {
			p.user, p.rank = user, rankLookup
			return p, nil
		}
	}
	return p, d.errUnknownUser(ctx, p.customer)
}

// customer reads what the table knows.
func (d *Desk) customer(ctx context.Context, mode, id string) (user, email string, err error) {
	err = d.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		var u, e sql.NullString
		err := tx.QueryRowContext(ctx, `SELECT user_id, email FROM customers
			WHERE source = $1 AND mode = $2 AND customer_id = $3`, d.name, mode, id).Scan(&u, &e)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		user = u.String
		if err == nil {
			email, err = hook.SealerOf(ctx).OpenText(emailPlace(d.name, mode, id), e.String)
		}
		return err
	})
	if err != nil {
		return "", "", fmt.Errorf("read customer %s: %w", id, err)
	}
	return user, email, nil
}

// meet writes what an event tells about a customer and returns the user that the
// table now names; without one the error is ErrNotYet. It is the first statement
// of every effect that needs it, so that no two effects lock in another order.
func (d *Desk) meet(ctx context.Context, tx hook.Tx, mode string, p person) (user string, err error) {
	epoch := time.Unix(0, 0).UTC()
	userAt, emailAt := epoch, epoch
	if p.user != "" {
		userAt = p.at
	}
	if p.email != "" {
		emailAt = p.at
	}
	var deleted any
	if p.deleted {
		deleted = p.at
	}
	email, err := hook.SealerOf(ctx).SealText(emailPlace(d.name, mode, p.customer), p.email)
	if err != nil {
		return "", fmt.Errorf("write customer %s: %w", p.customer, err)
	}
	var now sql.NullString
	err = tx.QueryRowContext(ctx, `INSERT INTO customers
		(source, mode, customer_id, user_id, user_rank, user_at, email, email_at, deleted_at, updated_at, email_index)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (source, mode, customer_id) DO UPDATE SET
			user_id = CASE WHEN `+betterUser+` THEN excluded.user_id ELSE customers.user_id END,
			user_rank = CASE WHEN `+betterUser+` THEN excluded.user_rank ELSE customers.user_rank END,
			user_at = CASE WHEN `+betterUser+` THEN excluded.user_at ELSE customers.user_at END,
			email = CASE WHEN `+newerEmail+` THEN excluded.email ELSE customers.email END,
			email_index = CASE WHEN `+newerEmail+` THEN excluded.email_index ELSE customers.email_index END,
			email_at = CASE WHEN `+newerEmail+` THEN excluded.email_at ELSE customers.email_at END,
			deleted_at = coalesce(customers.deleted_at, excluded.deleted_at),
			updated_at = excluded.updated_at
		RETURNING user_id`,
		d.name, mode, p.customer, orNull(p.user), p.rank, userAt, orNull(email), emailAt, deleted, d.cfg.Now(),
		orNull(emailIndex(ctx, p.email))).Scan(&now)
	if err != nil {
		return "", fmt.Errorf("write customer %s: %w", p.customer, err)
	}
	if !now.Valid {
		return "", d.errUnknownUser(ctx, p.customer)
	}
	if p.user != "" {
		_, err = tx.ExecContext(ctx, `UPDATE subscriptions SET user_id = $1, revision = revision + 1
			WHERE source = $2 AND mode = $3 AND customer_id = $4 AND user_id <> $1`, now.String, d.name, mode, p.customer)
	}
	return now.String, err
}

// Equal evidence of the same second is decided by the text: by chance, but the
// same for every order of arrival.
const (
	betterUser = `(excluded.user_id IS NOT NULL AND (excluded.user_rank > customers.user_rank
		OR excluded.user_rank = customers.user_rank AND (excluded.user_at > customers.user_at
		OR excluded.user_at = customers.user_at AND excluded.user_id > customers.user_id)))`
	newerEmail = `(excluded.email IS NOT NULL AND (excluded.email_at > customers.email_at
		OR excluded.email_at = customers.email_at AND coalesce(coalesce(excluded.email_index, excluded.email)
			> coalesce(customers.email_index, customers.email), TRUE)))`
)

// handleCustomer keeps the table customers.
func (d *Desk) handleCustomer(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	ev, err := readEvent(e)
	if err != nil {
		return nil, err
	}
	o, fetched, err := d.objectOf(ctx, ev)
	if err != nil {
		return nil, err
	}
	p := personOf(ev, o)
	p.deleted = p.deleted || ev.kind == "customer.deleted"
	if fetched && o.Get("object").String() == "customer" && !p.deleted {
		p.at = d.cfg.Now() // the present, not what was when the event was made
	}
	if p.customer == "" {
		return nil, nil // a guest has no row
	}
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := d.meet(ctx, tx, e.Mode, p)
		if errors.Is(err, hook.ErrNotYet) {
			return nil // known is what it is; who needs a user waits
		}
		return err
	}, nil
}
