package toss

import (
	"errors"
	"time"

	"github.com/tidwall/gjson"
)

// The states of a payment at Toss.
const (
	statusReady      = "READY"
	statusInProgress = "IN_PROGRESS"
	statusWaiting    = "WAITING_FOR_DEPOSIT"
	statusDone       = "DONE"
	statusCanceled   = "CANCELED"
	statusPartial    = "PARTIAL_CANCELED"
	statusAborted    = "ABORTED"
	statusExpired    = "EXPIRED"
)

// Payment is what Toss answers about a payment, as far as settlement needs it.
// It holds nothing of a card.
type Payment struct {
	PaymentKey    string
	OrderID       string
	Status        string
	Method        string
	Currency      string
	TotalAmount   int64
	BalanceAmount int64
	ApprovedAt    string // empty until money was taken
	Secret        string // of a virtual account's deliveries
	Account       string // of a virtual account: bank code and number, for the buyer
	DueAt         time.Time
	FailureCode   string
	Cancels       []Cancel
}

// Cancel is money that Toss shows as given back.
type Cancel struct {
	TransactionKey string
	Amount         int64
	Reason         string
	Status         string
}

// Captured is what was taken from the buyer, before anything was given back.
func (p *Payment) Captured() int64 {
	switch p.Status {
	case statusDone, statusPartial:
		return p.TotalAmount
	case statusCanceled:
		if p.ApprovedAt != "" {
			return p.TotalAmount
		}
	}
	return 0
}

var errUnreadable = errors.New("the answer is no payment that can be read")

// readPayment reads a payment object, case-sensitively. An amount that is no
// whole number makes it unreadable: money is never rounded.
func readPayment(body []byte) (*Payment, error) {
	if !gjson.ValidBytes(body) {
		return nil, errUnreadable
	}
	root := gjson.ParseBytes(body)
	p := &Payment{
		PaymentKey: root.Get("paymentKey").String(), OrderID: root.Get("orderId").String(),
		Status: root.Get("status").String(), Method: root.Get("method").String(),
		Currency: root.Get("currency").String(), ApprovedAt: root.Get("approvedAt").String(),
		Secret: root.Get("secret").String(), FailureCode: root.Get("failure.code").String(),
	}
	if p.PaymentKey == "" || p.OrderID == "" || p.Status == "" {
		return nil, errUnreadable
	}
	var ok, ok2 bool
	p.TotalAmount, ok = whole(root.Get("totalAmount"))
	p.BalanceAmount, ok2 = whole(root.Get("balanceAmount"))
	if !ok || !ok2 {
		return nil, errUnreadable
	}
	if a := root.Get("virtualAccount"); a.IsObject() {
		p.Account = cut(a.Get("bankCode").String()+" "+a.Get("accountNumber").String(), 64)
		p.DueAt = readTime(a.Get("dueDate").String())
	}
	for _, c := range root.Get("cancels").Array() {
		amount, ok := whole(c.Get("cancelAmount"))
		if !ok || c.Get("transactionKey").String() == "" {
			return nil, errUnreadable
		}
		p.Cancels = append(p.Cancels, Cancel{
			TransactionKey: c.Get("transactionKey").String(), Amount: amount,
			Reason: c.Get("cancelReason").String(), Status: c.Get("cancelStatus").String(),
		})
	}
	return p, nil
}

// whole reads an amount: a number without a fraction that 53 bits can hold.
func whole(r gjson.Result) (int64, bool) {
	if r.Type != gjson.Number || r.Num != float64(int64(r.Num)) || r.Num < 0 || r.Num > 1<<53 {
		return 0, false
	}
	return int64(r.Num), true
}

// readTime reads a time of Toss, with or without an offset; without one it is
// Korean. Zero if it is none.
func readTime(s string) time.Time {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t
	}
	t, err := time.ParseInLocation("2006-01-02T15:04:05", s, kst())
	if err != nil {
		return time.Time{}
	}
	return t
}

func kst() *time.Location { return time.FixedZone("KST", 9*60*60) }

// cut bounds a text of a stranger, at a whole character.
func cut(s string, most int) string {
	runes := 0
	for i := range s {
		if runes == most {
			return s[:i]
		}
		runes++
	}
	return s
}
