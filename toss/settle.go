package toss

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// answer is what Toss said of the payment of one order, and which version of the
// order it was asked for: an order that has changed since is asked about again,
// so that an older answer never overwrites a newer one.
type answer struct {
	order   string
	version int64
	payment *Payment
	asked   time.Time
}

// settling is one settlement inside its transaction.
type settling struct {
	d   *Desk
	tx  hook.Tx
	c   *checkout
	o   *order
	p   *Payment
	now time.Time

	alarms []func() // said once the writes have gone through
}

// settle brings an order to what Toss has said: the only place where an order's
// money changes. It may run again, also beside another one of the same order.
func (d *Desk) settle(a answer) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		c, o, err := lockOrder(ctx, tx, a.order)
		if err != nil {
			return err
		}
		if o.Version != a.version {
			return errStale
		}
		s := &settling{d: d, tx: tx, c: c, o: o, p: a.payment, now: d.now()}
		o.AskedAt = at(a.asked)
		if err := s.apply(ctx); err != nil {
			return err
		}
		// If we die before the commit nothing has happened, and whoever works
		// the order next asks Toss again and comes here.
		if err := d.save(ctx, tx, o, s.now); err != nil {
			return err
		}
		if hook.Previewing(ctx) {
			return nil // nobody is told of what does not happen
		}
		for _, say := range s.alarms {
			say()
		}
		return nil
	}
}

func (s *settling) apply(ctx context.Context) error {
	if s.o.Attention == attentionKeys {
		s.o.Attention = "" // Toss answers us again
	}
	if !s.matches() {
		return s.mismatch(ctx)
	}
	s.o.TossStatus = s.p.Status
	if s.p.Method != "" {
		s.o.Method = cut(printable(s.p.Method), 40)
	}
	if s.o.PaymentKey == "" && s.p.Status != statusReady {
		s.o.PaymentKey = s.p.PaymentKey
	}
	switch s.p.Status {
	case statusDone, statusPartial:
		return s.captured(ctx)
	case statusCanceled:
		return s.canceled(ctx)
	case statusWaiting:
		return s.waiting(ctx)
	case statusAborted, statusExpired:
		return s.refused(ctx)
	}
	return nil // READY, IN_PROGRESS and words we do not know decide nothing
}

// matches compares the payment with the stored order.
func (s *settling) matches() bool {
	return s.p.OrderID == s.o.ID && s.p.TotalAmount == s.o.Amount && s.p.Currency == s.o.Currency &&
		(s.o.PaymentKey == "" || s.p.PaymentKey == s.o.PaymentKey)
}

// mismatch settles nothing. Money that Toss took under this order's id counts
// as open until a person has decided; once it is all given back the order ends.
func (s *settling) mismatch(ctx context.Context) error {
	taken := s.p.Captured()
	if s.p.OrderID == s.o.ID && taken > 0 {
		if s.o.PaymentKey == "" {
			s.o.PaymentKey = s.p.PaymentKey // so that a person can give it back
		}
		if err := s.money(ctx); err != nil {
			return err
		}
		if s.o.Refunded >= s.o.Captured {
			s.o.State, s.o.Attention = StateRefunded, ""
			return s.refundsAccepted(ctx)
		}
	}
	if s.o.Attention == attentionMismatch {
		return nil
	}
	if taken > 0 || s.o.State == StateConfirming {
		s.o.Attention = attentionMismatch
		s.alarm("toss names another order, amount or currency: nothing is settled, a person decides",
			"toss_order", s.p.OrderID, "toss_amount", s.p.TotalAmount, "toss_currency", s.p.Currency)
	}
	return note(ctx, s.tx, s.o, s.now, "mismatch", s.p.Status,
		fmt.Sprintf("toss: order %s, %d %s", s.p.OrderID, s.p.TotalAmount, s.p.Currency))
}

// alarm is said after the writes, with the order as it is then.
func (s *settling) alarm(what string, more ...any) {
	s.alarms = append(s.alarms, func() { s.d.alarm(what, s.o, more...) })
}

// money takes over what was taken and given back; each return of money is noted
// once, by Toss's own transaction.
func (s *settling) money(ctx context.Context) error {
	s.o.Captured = s.p.Captured()
	s.o.Refunded = 0
	if s.o.Captured == 0 {
		return nil // an account that was closed before its deposit shows a cancel, too
	}
	for _, c := range s.p.Cancels {
		if c.Status != "" && c.Status != statusDone {
			continue // still on its way, or aborted
		}
		_, err := exec(ctx, s.tx, `INSERT INTO order_cancels (order_id, transaction_key, amount, reason, noted_at)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (order_id, transaction_key) DO NOTHING`,
			s.o.ID, cut(c.TransactionKey, 64), c.Amount, cut(printable(c.Reason), 200), s.now)
		if err != nil {
			return err
		}
		s.o.Refunded += c.Amount
	}
	return nil
}

// captured: Toss has taken the money, and perhaps given a part back.
func (s *settling) captured(ctx context.Context) error {
	if err := s.money(ctx); err != nil {
		return err
	}
	if err := s.refundsAccepted(ctx); err != nil {
		return err
	}
	switch s.o.State {
	case StatePaid:
		return register(ctx, s.tx, s.o.ID, s.o.Captured-s.o.Refunded, s.now)
	case StateCompensating, StateRefundFailed:
		return nil // its refund is on its way, or a person is
	case StateRefunded:
		return s.contradiction()
	}
	seated, err := s.seat(ctx)
	if err != nil {
		return err
	}
	if seated {
		s.o.State, s.o.Reason, s.o.SettledAt = StatePaid, "", at(s.now)
		return register(ctx, s.tx, s.o.ID, s.o.Captured-s.o.Refunded, s.now)
	}
	return s.compensate(ctx)
}

// seat makes sure that the order has one: the one it took before confirm, or,
// where money was taken behind our back, one that is still to be had.
func (s *settling) seat(ctx context.Context) (bool, error) {
	if has, _, err := seatOf(ctx, s.tx, s.o.ID); err != nil || has {
		return has, err
	}
	if s.d.cfg.mutant("no_purchase_group") {
		return true, nil
	}
	w, err := winner(ctx, s.tx, s.c.ID, s.o.ID)
	if err != nil || w != nil {
		return false, err
	}
	refused, err := s.d.take(ctx, s.tx, s.c, s.o, s.now)
	return refused == "", err
}

// compensate: money was taken and there is no seat for it. The refund's row is
// written with the state, so that one cannot be without the other.
func (s *settling) compensate(ctx context.Context) error {
	s.o.State = StateCompensating
	if s.p.Status == statusPartial {
		s.o.Attention = attentionPartial
		s.alarm("paid without a seat, and partly given back by hand: a person decides about the rest")
		return nil
	}
	s.alarm("paid without a seat: all of it is given back")
	return s.d.orderRefund(ctx, s.tx, s.o, refund{Purpose: purposeCompensation, Actor: "settlement",
		Reason: "no seat for this payment"}, s.now)
}

// canceled: all of it was given back, by us or by a person at Toss, or an
// account was closed before any money came.
func (s *settling) canceled(ctx context.Context) error {
	if s.o.State == StatePaid && s.p.Captured() == 0 {
		// It was paid, so there is an approval; an answer without one says less.
		return s.contradiction()
	}
	if err := s.money(ctx); err != nil {
		return err
	}
	if err := s.refundsAccepted(ctx); err != nil {
		return err
	}
	s.o.Attention = ""
	if s.o.Captured > 0 {
		s.o.State = StateRefunded
		return release(ctx, s.tx, s.o, s.now)
	}
	switch s.o.State {
	case StateAwaitingDeposit:
		if s.o.Reason == reasonOtherMethod {
			s.o.State = StateSuperseded
			return s.d.backToHold(ctx, s.tx, s.o, s.now)
		}
		s.o.State, s.o.Reason = StateExpired, "account_closed"
		return release(ctx, s.tx, s.o, s.now)
	case StateConfirming:
		s.o.State, s.o.Reason = StateConfirmFailed, statusCanceled
		return release(ctx, s.tx, s.o, s.now)
	case StateCompensating, StateRefundFailed:
		s.o.State = StateRefunded
	}
	return nil
}

// waiting: a virtual account was issued, or the bank took its deposit back.
func (s *settling) waiting(ctx context.Context) error {
	s.o.Secret, s.o.Account, s.o.DueAt = cut(s.p.Secret, 64), s.p.Account, at(s.p.DueAt)
	s.o.Captured, s.o.Refunded = 0, 0
	switch s.o.State {
	case StateAwaitingDeposit, StateCompensating, StateRefundFailed:
		return nil
	case StateRefunded:
		return s.contradiction()
	case StatePaid:
		s.o.State = StateAwaitingDeposit
		return unregister(ctx, s.tx, s.o.ID)
	}
	seated, err := s.seat(ctx)
	if err != nil {
		return err
	}
	if seated {
		s.o.State, s.o.Reason = StateAwaitingDeposit, ""
		return nil
	}
	// An account without a seat behind it is closed before anybody pays into it.
	s.o.State = StateCompensating
	return s.d.orderRefund(ctx, s.tx, s.o, refund{Purpose: purposeCompensation, Actor: "settlement",
		Reason: "no seat for this account"}, s.now)
}

// refused: Toss will not take this money any more.
func (s *settling) refused(ctx context.Context) error {
	switch s.o.State {
	case StateConfirming:
		s.o.State, s.o.Reason = StateConfirmFailed, reasonOf(s.p.FailureCode, s.p.Status)
		return release(ctx, s.tx, s.o, s.now)
	case StateAwaitingDeposit:
		s.o.State, s.o.Reason = StateExpired, s.p.Status
		return release(ctx, s.tx, s.o, s.now)
	case StateAuthorized:
		s.o.State = StateExpired
		return nil
	case StatePaid, StateCompensating, StateRefundFailed:
		return s.contradiction()
	}
	// An issued or prepared order may be tried with another payment; the sweeper
	// ends it in its time.
	return nil
}

func reasonOf(code, status string) string {
	if code = codeOf(code); code != "" {
		return code
	}
	return codeOf(status)
}

// contradiction: Toss says less than it said before. Nothing changes; a person
// looks.
func (s *settling) contradiction() error {
	if s.o.Attention == "" {
		s.o.Attention = attentionContradiction
		s.alarm("toss contradicts what it said before: nothing is changed, a person looks")
	}
	return nil
}

// refundsAccepted marks the refunds that Toss now shows as done: all of them
// once nothing is left, else those whose mark stands in a cancel's reason.
func (s *settling) refundsAccepted(ctx context.Context) error {
	open, err := refundsWhere(ctx, s.tx, `order_id = $1 AND state = 'open'`, s.o.ID)
	if err != nil {
		return err
	}
	for _, r := range open {
		done := s.p.Status == statusCanceled
		for _, c := range s.p.Cancels {
			done = done || strings.Contains(c.Reason, r.mark()) && (c.Status == "" || c.Status == statusDone)
		}
		if !done {
			continue
		}
		_, err := exec(ctx, s.tx, `UPDATE refunds SET state = 'accepted', receiver = '', last_error = '' WHERE id = $1`, r.ID)
		if err != nil {
			return err
		}
	}
	return nil
}
