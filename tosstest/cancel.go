package tosstest

import "unicode/utf8"

// cancelCall is the body of a cancellation.
type cancelCall struct {
	CancelReason         string         `json:"cancelReason"`
	CancelAmount         int64          `json:"-"`
	Currency             string         `json:"currency"`
	RefundReceiveAccount *RefundAccount `json:"refundReceiveAccount"`
	TaxFreeAmount        int64          `json:"-"`

	partial    bool // an amount was named
	refundable *int64
}

// cancel gives money back, whole or in part, if the payment's state allows it.
func (s *Sim) cancel(p *payment, c cancelCall) ([]*sending, error) {
	if err := s.cancelable(p, &c); err != nil {
		return nil, err
	}
	p.BalanceAmount -= c.CancelAmount
	deposited := p.Status != StatusWaiting
	p.Status = StatusPartialCanceled
	if p.BalanceAmount == 0 {
		p.Status = StatusCanceled
	}
	if c.RefundReceiveAccount != nil && p.VirtualAccount != nil {
		r := *c.RefundReceiveAccount
		if r.BankCode == "" {
			r.BankCode, r.Bank = r.Bank, ""
		}
		p.VirtualAccount.RefundReceiveAccount = &r
		p.VirtualAccount.RefundStatus = "COMPLETED"
	}
	moved := c.CancelAmount
	if !deposited {
		moved = 0 // nothing had been paid in
	}
	s.book(p, StatusCanceled, moved)
	p.Cancels = append(p.Cancels, Cancel{
		TransactionKey: *p.LastTransactionKey, CancelReason: c.CancelReason, CanceledAt: stamp(s.clock.now()),
		CancelAmount: c.CancelAmount, TaxFreeAmount: c.TaxFreeAmount, RefundableAmount: p.BalanceAmount, CancelStatus: "DONE",
	})
	return s.changed(p), nil
}

// cancelable checks a cancellation and fills in its amount.
func (s *Sim) cancelable(p *payment, c *cancelCall) error {
	reason := utf8.RuneCountInString(c.CancelReason)
	if reason == 0 || reason > 200 || c.Currency != "" && c.Currency != p.Currency {
		return problem("INVALID_REQUEST")
	}
	switch p.Status {
	case StatusCanceled:
		return problem("ALREADY_CANCELED_PAYMENT")
	case StatusWaiting:
		if c.partial && c.CancelAmount != p.BalanceAmount {
			return problem("NOT_CANCELABLE_AMOUNT")
		}
	case StatusDone, StatusPartialCanceled:
		if p.VirtualAccount != nil && c.RefundReceiveAccount == nil {
			return problem(s.opts.Codes["missingRefundAccount"])
		}
	default:
		return problem("NOT_CANCELABLE_PAYMENT")
	}
	if c.refundable != nil && *c.refundable != p.BalanceAmount {
		return problem("NOT_MATCHES_REFUNDABLE_AMOUNT")
	}
	if !c.partial {
		c.CancelAmount = p.BalanceAmount
	}
	if c.CancelAmount <= 0 {
		return problem("INVALID_REQUEST")
	}
	if c.CancelAmount > p.BalanceAmount {
		return problem(s.opts.Codes["overRefund"])
	}
	if r := c.RefundReceiveAccount; r != nil && (len(r.AccountNumber) > 20 || r.AccountNumber == "" ||
		r.HolderName == "" || utf8.RuneCountInString(r.HolderName) > 60 || r.Bank == "" && r.BankCode == "") {
		return problem("INVALID_REFUND_ACCOUNT_INFO")
	}
	return nil
}

// transaction is one row of /v1/transactions.
type transaction struct {
	MID            string  `json:"mId"`
	TransactionKey string  `json:"transactionKey"`
	PaymentKey     string  `json:"paymentKey"`
	OrderID        string  `json:"orderId"`
	Method         *string `json:"method"`
	CustomerKey    *string `json:"customerKey"`
	UseEscrow      bool    `json:"useEscrow"`
	ReceiptURL     string  `json:"receiptUrl"`
	Status         string  `json:"status"`
	TransactionAt  string  `json:"transactionAt"`
	Currency       string  `json:"currency"`
	Amount         int64   `json:"amount"` // what moved, never negative
}

// book gives the payment a new transaction.
func (s *Sim) book(p *payment, status string, amount int64) {
	key := transactionKey()
	p.LastTransactionKey = &key
	row := transaction{
		MID: p.MID, TransactionKey: key, PaymentKey: p.PaymentKey, OrderID: p.OrderID, Method: p.Method,
		Status: status, TransactionAt: stamp(s.clock.now()), Currency: p.Currency, Amount: amount,
	}
	if p.order.CustomerKey != "" {
		row.CustomerKey = &p.order.CustomerKey
	}
	if p.Receipt != nil {
		row.ReceiptURL = p.Receipt.URL
	}
	s.ledger = append(s.ledger, row)
}
