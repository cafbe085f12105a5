package toss

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Purchase is what to begin a purchase with.
type Purchase struct {
	Product   string
	Buyer     string // the application's name of the buyer, never shown; empty for a guest
	ReturnURL string // where the buyer goes afterwards, of an allowed origin; empty: our receipt
	Lang      string // ko or en; empty: the browser's
	opened    bool   // a browser asks, not an application
}

// refusal is an answer of the JSON API that is no success: the public code with
// what belongs to it.
type refused struct {
	Status int
	Code   string
	More   map[string]any
}

// Error is the code.
func (r *refused) Error() string { return "refused: " + r.Code }

func conflict(code string) *refused { return &refused{Status: 409, Code: code} }

// maxAttempts bounds the orders of one purchase: a page makes four an episode.
const maxAttempts = 100

// begin makes a purchase with its first order, whose amount is the price of this
// moment. ErrNotFound if there is no such product.
func (d *Desk) begin(ctx context.Context, p Purchase) (c *checkout, o *order, err error) {
	now := d.now()
	id, orderID, customer := newID(checkoutPrefix), newID(orderPrefix), ""
	if p.Buyer != "" {
		// The same for every purchase of a buyer, and no key to who that is.
		customer = d.customerKey(p.Buyer)
	}
	err = d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		product, err := scanProduct(tx.QueryRowContext(ctx, `SELECT `+productColumns+` FROM products WHERE id = $1`, p.Product))
		if err != nil {
			return err
		}
		made := &checkout{ID: id, Product: product.ID, Buyer: p.Buyer, CustomerKey: customer, Lang: p.Lang,
			ReturnURL: p.ReturnURL, CreatedAt: at(now)}
		if p.opened {
			made.OpenedAt = at(now)
		}
		buyer, err := hook.SealerOf(ctx).SealText(placeBuyer+made.ID, made.Buyer)
		if err != nil {
			return err
		}
		_, err = exec(ctx, tx, `INSERT INTO checkouts (id, product, buyer, customer_key, lang, return_url, opened_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			made.ID, made.Product, buyer, made.CustomerKey, made.Lang, made.ReturnURL, stampOf(made.OpenedAt), now)
		if err != nil {
			return err
		}
		first, err := d.issue(ctx, tx, product, made, orderID, "first", 1, now)
		c, o = made, first
		return err
	})
	if err != nil {
		return nil, nil, err // an effect that was too slow may still be writing to them
	}
	return c, o, nil
}

// issue writes a new order.
func (d *Desk) issue(ctx context.Context, tx hook.Tx, p *Product, c *checkout, id, request string, attempt int, now time.Time) (*order, error) {
	o := &order{
		ID: id, Checkout: c.ID, Product: c.Product, Attempt: attempt, RequestKey: request, Amount: p.Price,
		Currency: p.Currency, State: StateIssued, CreatedAt: at(now), UpdatedAt: at(now), ExpiresAt: at(now.Add(d.cfg.OrderLife)),
	}
	_, err := exec(ctx, tx, `INSERT INTO orders (id, checkout, product, attempt, request_key, amount, currency, state,
		created_at, updated_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		o.ID, o.Checkout, o.Product, o.Attempt, o.RequestKey, o.Amount, o.Currency, string(o.State), now, now, o.ExpiresAt.Time)
	return o, err
}

// reissue makes the next order of a purchase and marks the one it replaces, in
// one transaction. The same request key gives the same order. It is refused for
// a purchase that is paid, waits for its deposit, or is being confirmed.
func (d *Desk) reissue(ctx context.Context, cid, request, supersedes, reason string) (o *order, err error) {
	now, id := d.now(), newID(orderPrefix)
	err = d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		c, err := lockCheckout(ctx, tx, cid)
		if err != nil {
			return err
		}
		known, err := ordersWhere(ctx, tx, `checkout = $1 AND request_key = $2`, cid, request)
		if err != nil || len(known) > 0 {
			if err == nil {
				o = known[0]
			}
			return err
		}
		if err := d.free(ctx, tx, cid); err != nil {
			return err
		}
		last, err := newest(ctx, tx, cid)
		if err != nil {
			return err
		}
		if last.Attempt >= maxAttempts {
			return &refused{Status: 429, Code: codeBusy}
		}
		if err := d.supersede(ctx, tx, cid, supersedes, reason, now); err != nil {
			return err
		}
		p, err := scanProduct(tx.QueryRowContext(ctx, `SELECT `+productColumns+` FROM products WHERE id = $1`, c.Product))
		if err != nil {
			return err
		}
		next, err := d.issue(ctx, tx, p, c, id, request, last.Attempt+1, now)
		o = next
		return err
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// free refuses a purchase that has an order which is being confirmed or holds
// money, or that money is on its way back for.
func (d *Desk) free(ctx context.Context, tx hook.Tx, cid string) error {
	w, err := winner(ctx, tx, cid, "")
	if err != nil || w == nil {
		return err
	}
	if w.State == StateAwaitingDeposit {
		return &refused{Status: 409, Code: codeAwaitingDeposit, More: map[string]any{
			"account": w.Account, "due": dueText(w.DueAt),
		}}
	}
	return &refused{Status: 409, Code: codePaid, More: map[string]any{"receiptUrl": receiptPath(cid)}}
}

// supersede marks the orders of a purchase that a new one replaces: the one that
// the page names, and every other that nobody has paid, for the answer that told
// the page of it may have been lost. What is settled stays.
func (d *Desk) supersede(ctx context.Context, tx hook.Tx, cid, id, reason string, now time.Time) error {
	all, err := ordersWhere(ctx, tx, `checkout = $1 AND (state IN ('issued', 'prepared') OR id = $2 AND state = 'authorized')`,
		cid, id)
	if err != nil {
		return err
	}
	for _, o := range all {
		o.State, o.Reason = StateSuperseded, supersedeReason(reason)
		if err := d.save(ctx, tx, o, now); err != nil {
			return err
		}
	}
	return nil
}

// supersedeReason keeps the known words.
func supersedeReason(s string) string {
	switch s {
	case "load", "render", "request", "manual", "restored", "offline", "expired", "elsewhere", reasonOtherMethod:
		return s
	}
	return "other"
}

// prepare holds a seat for a purchase and says that this order may be paid. A
// repeat keeps the hold longer. It moves no money.
func (d *Desk) prepare(ctx context.Context, cid, id string) (o *order, until time.Time, err error) {
	c, o, p, err := d.look(ctx, cid, id)
	if err != nil {
		return nil, time.Time{}, err
	}
	// Before the transaction: an application's server may take two seconds.
	if err := d.eligible(ctx, c, p); err != nil {
		return nil, time.Time{}, err
	}
	now := d.now()
	until = now.Add(d.cfg.Hold)
	err = d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		c, locked, err := lockOrder(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := d.prepareLocked(ctx, tx, c, locked, now); err != nil {
			return err
		}
		o = locked
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return o, until, nil
}

func (d *Desk) prepareLocked(ctx context.Context, tx hook.Tx, c *checkout, o *order, now time.Time) error {
	if err := d.free(ctx, tx, c.ID); err != nil {
		return err
	}
	if o.State != StateIssued && o.State != StatePrepared || !now.Before(o.ExpiresAt.Time) {
		return conflict(codeSuperseded)
	}
	p, err := scanProduct(tx.QueryRowContext(ctx, `SELECT `+productColumns+` FROM products WHERE id = $1`, c.Product))
	if err != nil {
		return err
	}
	if err := d.sells(ctx, tx, c, p, o, now); err != nil {
		return err
	}
	if err := d.hold(ctx, tx, c, now); errors.Is(err, errSoldOut) {
		return conflict(codeSoldOut)
	} else if err != nil {
		return err
	}
	o.State, o.PreparedAt = StatePrepared, at(now)
	// If we die here nothing is held; afterwards the hold ends by itself.
	return d.save(ctx, tx, o, now)
}

// sells refuses what the product itself forbids: it is closed, the buyer has a
// registration, the price is another one now.
func (d *Desk) sells(ctx context.Context, tx hook.Tx, c *checkout, p *Product, o *order, now time.Time) error {
	if !p.open(now) {
		return conflict(codeClosed)
	}
	if p.OneEach && c.Buyer != "" {
		has, err := hasSeat(ctx, tx, p.ID, c.Buyer)
		if err != nil {
			return err
		}
		if has {
			return conflict(codeApplied)
		}
	}
	if p.Price != o.Amount || p.Currency != o.Currency {
		return &refused{Status: 409, Code: codePriceChanged, More: map[string]any{"amount": p.Price}}
	}
	return nil
}

// look reads purchase, order and product. An order of another purchase is
// ErrNotFound: it is nobody's business here.
func (d *Desk) look(ctx context.Context, cid, id string) (c *checkout, o *order, p *Product, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		c, err = scanCheckout(ctx, tx.QueryRowContext(ctx, `SELECT `+checkoutColumns+` FROM checkouts WHERE id = $1`, cid))
		if err != nil {
			return err
		}
		if id != "" {
			o, err = loadOrder(ctx, tx, id)
		} else {
			o, err = newest(ctx, tx, cid)
		}
		if err != nil {
			return err
		}
		if o.Checkout != cid {
			return hook.ErrNotFound
		}
		p, err = scanProduct(tx.QueryRowContext(ctx, `SELECT `+productColumns+` FROM products WHERE id = $1`, c.Product))
		return err
	})
	return c, o, p, err
}

// open notes that a browser has seen the purchase, so that it is not swept.
func (d *Desk) open(ctx context.Context, c *checkout) error {
	if c.OpenedAt.Valid {
		return nil
	}
	now := d.now()
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := exec(ctx, tx, `UPDATE checkouts SET opened_at = $2 WHERE id = $1 AND opened_at IS NULL`, c.ID, now)
		return err
	})
}

// check refuses a purchase that an application asks for wrongly.
func (p *Purchase) check(d *Desk) error {
	switch {
	case !productID.MatchString(p.Product):
		return &hook.Problem{Status: 400, Detail: "product: want the id of a product"}
	case len(p.Buyer) > 200:
		return &hook.Problem{Status: 400, Detail: "buyer: want at most 200 bytes"}
	case p.Lang != "" && p.Lang != "ko" && p.Lang != "en":
		return &hook.Problem{Status: 400, Detail: fmt.Sprintf("lang %.8q: want ko or en", p.Lang)}
	case p.ReturnURL != "" && !d.returnAllowed(p.ReturnURL):
		return &hook.Problem{Status: 400, Detail: "return_url: its origin is not one of the configured origins"}
	}
	return nil
}
