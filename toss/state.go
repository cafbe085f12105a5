package toss

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
)

// OrderState is the state of one order; DESIGN.md has the picture.
type OrderState string

// The states of an order.
const (
	StateIssued          OrderState = "issued"           // created with its amount; nothing is held
	StatePrepared        OrderState = "prepared"         // a seat is held for its purchase
	StateAuthorized      OrderState = "authorized"       // the buyer authenticated, nothing is charged, and reason says why not
	StateConfirming      OrderState = "confirming"       // seat taken, confirm sent or about to be
	StateAwaitingDeposit OrderState = "awaiting_deposit" // a virtual account waits for its money
	StatePaid            OrderState = "paid"             // Toss says DONE and the seat is given
	StateConfirmFailed   OrderState = "confirm_failed"   // Toss refused; seat released
	StateSuperseded      OrderState = "superseded"       // replaced by a newer order of the purchase
	StateExpired         OrderState = "expired"          // never paid in time
	StateCompensating    OrderState = "compensating"     // money taken, no seat: its refund is on its way
	StateRefunded        OrderState = "refunded"         // all of it went back
	StateRefundFailed    OrderState = "refund_failed"    // Toss refused the refund: a person is needed
)

// States lists all states of an order.
var States = [...]OrderState{
	StateIssued, StatePrepared, StateAuthorized, StateConfirming, StateAwaitingDeposit, StatePaid,
	StateConfirmFailed, StateSuperseded, StateExpired, StateCompensating, StateRefunded, StateRefundFailed,
}

// claimable are the states from which an authorised payment may be confirmed: a
// superseded order is not dead, its window may still be open somewhere.
func (s OrderState) claimable() bool {
	switch s {
	case StateIssued, StatePrepared, StateAuthorized, StateSuperseded, StateExpired:
		return true
	}
	return false
}

// Why an authorised order is not charged, or was superseded.
const (
	reasonNoSeat      = "no_seat"
	reasonOtherOrder  = "other_order"
	reasonApplied     = "already_applied"
	reasonOtherMethod = "other_method"
)

// Why a person is needed, values of attention.
const (
	attentionMismatch      = "mismatch"           // Toss names another order, amount or currency
	attentionRefundRefused = "refund_refused"     // Toss does not give the money back
	attentionRefundSlow    = "refund_slow"        // no answer that decides, for hours
	attentionKeys          = "keys_refused"       // Toss does not take our keys
	attentionContradiction = "contradiction"      // Toss says less than it said before
	attentionPartial       = "partially_refunded" // something was given back by hand, the rest has no seat
)

// errStale: the order has changed since its payment was asked for. Ask again.
var errStale = errors.New("the order has changed meanwhile: ask again")

var idText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID makes an id of 128 random bits: prefix and 26 letters and digits.
func newID(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + idText.EncodeToString(b[:])
}

const (
	orderPrefix    = "hk_"
	checkoutPrefix = "ck_"
)

// isID reports whether s has the form of an id with this prefix, so that a
// stranger's text never reaches the database or Toss.
func isID(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || len(rest) != 26 {
		return false
	}
	return strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// refundID is the Idempotency-Key of a refund on all its attempts: the same for
// the same order and purpose, whoever computes it.
func (d *Desk) refundID(order, purpose string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{d.cfg.Source, d.mode, order, "refund", purpose}, "\x00")))
	return "hk_" + hex.EncodeToString(sum[:])
}
