package tosstest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// How long Toss waits, by its documentation of payment states.
const (
	authenticateWithin = 30 * time.Minute
	confirmWithin      = 10 * time.Minute
	depositWithin      = 7 * 24 * time.Hour
)

// maxPayments bounds the memory of a simulator that nobody resets.
const maxPayments = 100_000

// Order is what a shop's page hands over when its buyer wants to pay.
type Order struct {
	OrderID     string          `json:"orderId"`
	OrderName   string          `json:"orderName"`
	Amount      Amount          `json:"amount"`
	SuccessURL  string          `json:"successUrl"`
	FailURL     string          `json:"failUrl"`
	Method      string          `json:"method,omitempty"` // CARD (default), VIRTUAL_ACCOUNT, TRANSFER, MOBILE_PHONE, TOSSPAY
	CustomerKey string          `json:"customerKey"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
}

// Amount is money in the smallest unit of a currency.
type Amount struct {
	Currency string `json:"currency"` // empty: KRW
	Value    int64  `json:"value"`
}

// orderID is the form that the script demands of order ids.
var orderID = regexp.MustCompile(`^[A-Za-z0-9_=-]{6,64}$`)

func (o *Order) check() error {
	if o.Amount.Currency == "" {
		o.Amount.Currency = "KRW"
	}
	if o.Method == "" {
		o.Method = "CARD"
	}
	if string(o.Metadata) == "" {
		o.Metadata = json.RawMessage("null")
	}
	switch n := utf8.RuneCountInString(o.OrderName); {
	case !orderID.MatchString(o.OrderID):
		return problem("INVALID_ORDER_ID")
	case n == 0 || n > 100:
		return problem("INVALID_ORDER_NAME")
	case o.Amount.Value < 0:
		return problem("BELOW_ZERO_AMOUNT")
	case o.Amount.Value == 0:
		return problem("INVALID_AMOUNT_VALUE")
	case len(o.Amount.Currency) != 3:
		return problem("INVALID_AMOUNT_CURRENCY")
	case methods()[o.Method] == "":
		return problem("NOT_SUPPORTED_METHOD")
	case !hasOrigin(o.SuccessURL):
		return problem("INCORRECT_SUCCESS_URL_FORMAT")
	case !hasOrigin(o.FailURL):
		return problem("INCORRECT_FAIL_URL_FORMAT")
	}
	return nil
}

// Open makes a payment in READY, as the script does when the buyer presses pay.
// An order id that has been paid before is refused; one that has not may be
// opened again, which makes another payment.
func (s *Sim) Open(o Order) (Payment, error) {
	if err := o.check(); err != nil {
		return Payment{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.payments) >= maxPayments {
		return Payment{}, fmt.Errorf("tosstest: %d payments are kept: reset the simulator", maxPayments)
	}
	if p := s.ofOrder(o.OrderID); p != nil && p.ApprovedAt != nil {
		return Payment{}, problem("DUPLICATED_ORDER_ID")
	}
	now := s.clock.now()
	p := &payment{order: o, deadline: now.Add(authenticateWithin)}
	supplied, vat := split(o.Amount.Value)
	key := "tsim_" + now.In(kst()).Format("20060102150405") + random(12)
	p.Payment = Payment{
		MID: "tosspayments", PaymentKey: key, OrderID: o.OrderID, OrderName: o.OrderName, Status: StatusReady,
		RequestedAt: stamp(now), Type: "NORMAL", Country: "KR", IsPartialCancelable: true,
		Checkout: &Link{s.opts.BaseURL + "/v1/payments/" + key + "/checkout"}, Currency: o.Amount.Currency,
		TotalAmount: o.Amount.Value, BalanceAmount: o.Amount.Value, SuppliedAmount: supplied, VAT: vat,
		Metadata: o.Metadata, Version: "2022-11-16",
	}
	s.payments[key] = p
	s.order = append(s.order, p)
	s.byOrder[o.OrderID] = append(s.byOrder[o.OrderID], p)
	s.expireAt(p, StatusReady)
	return p.clone(), nil
}

// expireAt ends the payment at its deadline if it is still in that state then.
func (s *Sim) expireAt(p *payment, status string) {
	epoch := s.epoch
	s.at(p.deadline, func() {
		s.mu.Lock()
		var out []*sending
		if s.epoch == epoch && p.Status == status {
			out = s.expire(p)
		}
		s.mu.Unlock()
		s.launch(out)
	})
}

func (s *Sim) expire(p *payment) []*sending {
	p.Status, p.Method = StatusExpired, nil // seen so at Toss
	p.Failure = &Failure{Code: "EXPIRED_PAYMENT", Message: text("EXPIRED_PAYMENT", false)}
	return s.changed(p)
}

// ofOrder finds the payment of an order: the one that was approved, else the
// newest.
func (s *Sim) ofOrder(id string) *payment {
	var found *payment
	for _, p := range s.byOrder[id] {
		if found == nil || found.ApprovedAt == nil && found.Status != StatusWaiting {
			found = p
		}
	}
	return found
}

// change runs f on a payment and sends what it returns.
func (s *Sim) change(key string, f func(p *payment) ([]*sending, error)) (Payment, error) {
	s.mu.Lock()
	p := s.payments[key]
	if p == nil {
		s.mu.Unlock()
		return Payment{}, problem("NOT_FOUND_PAYMENT")
	}
	out, err := f(p)
	c := p.clone()
	s.mu.Unlock()
	s.launch(out)
	return c, err
}

// refuse says that a payment is in no state for what was asked.
func refuse(p *payment, what string) error {
	return fmt.Errorf("tosstest: payment %s: %s: it is %s", p.PaymentKey, what, p.Status)
}

// Authorize is the buyer who approves in the payment window: READY becomes
// IN_PROGRESS. It returns where the window sends the buyer, with its four
// parameters.
func (s *Sim) Authorize(paymentKey string) (successURL string, err error) {
	_, err = s.change(paymentKey, func(p *payment) ([]*sending, error) {
		if p.Status != StatusReady {
			return nil, refuse(p, "authorize")
		}
		word := methods()[p.order.Method]
		p.Status, p.Method = StatusInProgress, &word
		p.deadline = s.clock.now().Add(confirmWithin)
		s.expireAt(p, StatusInProgress)
		successURL = withQuery(p.order.SuccessURL, "paymentType", "NORMAL", "orderId", p.OrderID,
			"paymentKey", p.PaymentKey, "amount", fmt.Sprint(p.TotalAmount))
		return nil, nil
	})
	return successURL, err
}

// Pay is Open and Authorize in one: a buyer who has not come back yet.
func (s *Sim) Pay(o Order) (paymentKey, successURL string, err error) {
	p, err := s.Open(o)
	if err != nil {
		return "", "", err
	}
	successURL, err = s.Authorize(p.PaymentKey)
	return p.PaymentKey, successURL, err
}

// Decline is a payment window that ends without approval, by the way that how
// names: reject (the card company refuses), abort or cancel (the buyer). The
// payment stays READY. It returns where the buyer is sent, on cancel without an
// order id.
func (s *Sim) Decline(paymentKey, how string) (failURL string, err error) {
	codes := map[string]string{"reject": "REJECT_CARD_COMPANY", "abort": "PAY_PROCESS_ABORTED", "cancel": "PAY_PROCESS_CANCELED"}
	_, err = s.change(paymentKey, func(p *payment) ([]*sending, error) {
		code := codes[how]
		if code == "" {
			return nil, fmt.Errorf("tosstest: %q: want reject, abort or cancel", how)
		}
		if p.Status != StatusReady {
			return nil, refuse(p, how)
		}
		pairs := []string{"code", code, "message", text(code, false)}
		if how != "cancel" {
			pairs = append(pairs, "orderId", p.OrderID)
		}
		failURL = withQuery(p.order.FailURL, pairs...)
		return nil, nil
	})
	return failURL, err
}

// approve takes the money of an authenticated payment; a virtual account then
// waits for its deposit.
func (s *Sim) approve(p *payment) []*sending {
	now := s.clock.now()
	p.fill(s.opts.BaseURL, now)
	p.Status = StatusDone
	if p.VirtualAccount != nil {
		p.Status = StatusWaiting
		s.dueOver(p)
	} else {
		p.approvedAt(now)
	}
	s.book(p, p.Status, p.TotalAmount)
	return s.changed(p)
}

func (p *payment) approvedAt(now time.Time) {
	at := stamp(now)
	p.ApprovedAt = &at
}

// dueOver marks a virtual account whose buyer has not paid in time. Its payment
// keeps waiting and nothing is sent, as at Toss.
func (s *Sim) dueOver(p *payment) {
	epoch := s.epoch
	s.at(p.deadline, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.epoch == epoch && p.Status == StatusWaiting {
			p.VirtualAccount.Expired = true
		}
	})
}

// abort ends a payment that was refused at its confirmation.
func (s *Sim) abort(p *payment, code string) []*sending {
	p.Status, p.Method = StatusAborted, nil // seen so at Toss
	p.Failure = &Failure{Code: code, Message: text(code, false)}
	return s.changed(p)
}

// Capture confirms a payment behind the shop's back: what the API's confirm
// does, without a call.
func (s *Sim) Capture(paymentKey string) (Payment, error) {
	return s.change(paymentKey, func(p *payment) ([]*sending, error) {
		if p.Status != StatusInProgress {
			return nil, refuse(p, "capture")
		}
		return s.approve(p), nil
	})
}

// Deposit is the buyer who pays into the virtual account, before its due date.
func (s *Sim) Deposit(paymentKey string) (Payment, error) {
	return s.change(paymentKey, func(p *payment) ([]*sending, error) {
		if p.Status != StatusWaiting || p.VirtualAccount.Expired {
			return nil, refuse(p, "deposit")
		}
		p.Status = StatusDone
		p.VirtualAccount.DepositorName = p.VirtualAccount.CustomerName
		p.approvedAt(s.clock.now())
		s.book(p, StatusDone, p.TotalAmount)
		return s.changed(p), nil
	})
}

// RevertDeposit is the bank that takes a deposit back: DONE becomes
// WAITING_FOR_DEPOSIT again.
func (s *Sim) RevertDeposit(paymentKey string) (Payment, error) {
	return s.change(paymentKey, func(p *payment) ([]*sending, error) {
		if p.Status != StatusDone || p.VirtualAccount == nil {
			return nil, refuse(p, "deposit error")
		}
		p.Status = StatusWaiting
		p.VirtualAccount.DepositorName = ""
		p.ApprovedAt = nil
		s.book(p, StatusWaiting, p.TotalAmount)
		return s.changed(p), nil
	})
}

// Expire lets a payment end now that has not been confirmed.
func (s *Sim) Expire(paymentKey string) (Payment, error) {
	return s.change(paymentKey, func(p *payment) ([]*sending, error) {
		if p.Status != StatusReady && p.Status != StatusInProgress {
			return nil, refuse(p, "expire")
		}
		return s.expire(p), nil
	})
}

// Refund cancels a payment at Toss's own dashboard, whole if the amount is zero:
// the shop learns of it only by the delivery. A virtual account's money goes to
// an account that the simulator makes up.
func (s *Sim) Refund(paymentKey string, amount int64, reason string) (Payment, error) {
	return s.change(paymentKey, func(p *payment) ([]*sending, error) {
		c := cancelCall{CancelReason: reason, CancelAmount: amount, partial: amount != 0}
		if p.VirtualAccount != nil {
			c.RefundReceiveAccount = &RefundAccount{Bank: "20", AccountNumber: "1002000000000", HolderName: "김민지"}
		}
		return s.cancel(p, c)
	})
}

// ForceStatus gives a payment any state, against all rules and without telling
// anybody: for tests of what cannot happen.
func (s *Sim) ForceStatus(paymentKey, status string) (Payment, error) {
	return s.change(paymentKey, func(p *payment) ([]*sending, error) {
		if !strings.Contains(" "+allStatuses+" ", " "+status+" ") {
			return nil, fmt.Errorf("tosstest: no such status: %q", status)
		}
		p.Status = status
		return nil, nil
	})
}

const allStatuses = StatusReady + " " + StatusInProgress + " " + StatusWaiting + " " + StatusDone + " " +
	StatusCanceled + " " + StatusPartialCanceled + " " + StatusAborted + " " + StatusExpired

// Payments returns all payments as they are now, in the order they were made.
func (s *Sim) Payments() []Payment {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Payment, len(s.order))
	for i, p := range s.order {
		all[i] = p.clone()
	}
	return all
}

// Payment returns one payment as it is now, and whether there is one.
func (s *Sim) Payment(paymentKey string) (Payment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payments[paymentKey]
	if p == nil {
		return Payment{}, false
	}
	return p.clone(), true
}

// PaymentOf returns the payment of an order, the approved one if it has several,
// and whether there is one.
func (s *Sim) PaymentOf(orderID string) (Payment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ofOrder(orderID)
	if p == nil {
		return Payment{}, false
	}
	return p.clone(), true
}
