package toss

import (
	"context"

	"github.com/hookkeeper/hookkeeper/hook"
)

// WithMutant switches known mistakes on in a test, as HK_MUTANT does in a binary.
func WithMutant(c Config, names ...string) Config {
	c.mutant = func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	}
	return c
}

// ReadPayment, KeyFits and the rest give tests what pages and settlement use.
var (
	ReadPayment = readPayment
	Classify    = classify
	WholeWon    = wholeWon
)

// NewOrder gives what a page is told of the next order of a purchase.
func (d *Desk) NewOrder(ctx context.Context, cid, request, supersedes string) (string, error) {
	o, err := d.reissue(ctx, cid, request, supersedes, "load")
	if err != nil {
		return "", err
	}
	return o.ID, nil
}

// Answer asks Toss about an order and gives what would be written, unwritten.
func (d *Desk) Answer(ctx context.Context, id string) (hook.Effect, error) {
	o, err := d.order(ctx, id)
	if err != nil {
		return nil, err
	}
	return d.bring(ctx, o)
}

// HasSeat is whether a buyer has a live registration.
func HasSeat(ctx context.Context, tx hook.Tx, product, buyer string) (bool, error) {
	return hasSeat(ctx, tx, product, buyer)
}
