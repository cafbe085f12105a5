package tosstest

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// The states of a payment.
const (
	StatusReady           = "READY"
	StatusInProgress      = "IN_PROGRESS"
	StatusWaiting         = "WAITING_FOR_DEPOSIT"
	StatusDone            = "DONE"
	StatusCanceled        = "CANCELED"
	StatusPartialCanceled = "PARTIAL_CANCELED"
	StatusAborted         = "ABORTED"
	StatusExpired         = "EXPIRED"
)

// Payment is the object that Toss's API returns and its deliveries carry, of API
// version 2022-11-16. Amounts are in the smallest unit of the currency.
type Payment struct {
	MID                 string          `json:"mId"`
	LastTransactionKey  *string         `json:"lastTransactionKey"`
	PaymentKey          string          `json:"paymentKey"`
	OrderID             string          `json:"orderId"`
	OrderName           string          `json:"orderName"`
	TaxExemptionAmount  int64           `json:"taxExemptionAmount"`
	Status              string          `json:"status"`
	RequestedAt         string          `json:"requestedAt"`
	ApprovedAt          *string         `json:"approvedAt"`
	UseEscrow           bool            `json:"useEscrow"`
	CultureExpense      bool            `json:"cultureExpense"`
	Card                *Card           `json:"card"`
	VirtualAccount      *VirtualAccount `json:"virtualAccount"`
	Transfer            *Transfer       `json:"transfer"`
	MobilePhone         *MobilePhone    `json:"mobilePhone"`
	GiftCertificate     *struct{}       `json:"giftCertificate"`
	CashReceipt         *struct{}       `json:"cashReceipt"`
	CashReceipts        []struct{}      `json:"cashReceipts"`
	Discount            *struct{}       `json:"discount"`
	Cancels             []Cancel        `json:"cancels"`
	Secret              *string         `json:"secret"`
	Type                string          `json:"type"`
	EasyPay             *EasyPay        `json:"easyPay"`
	Country             string          `json:"country"`
	Failure             *Failure        `json:"failure"`
	IsPartialCancelable bool            `json:"isPartialCancelable"`
	Receipt             *Link           `json:"receipt"`
	Checkout            *Link           `json:"checkout"`
	Currency            string          `json:"currency"`
	TotalAmount         int64           `json:"totalAmount"`
	BalanceAmount       int64           `json:"balanceAmount"`
	SuppliedAmount      int64           `json:"suppliedAmount"`
	VAT                 int64           `json:"vat"`
	TaxFreeAmount       int64           `json:"taxFreeAmount"`
	Metadata            json.RawMessage `json:"metadata"`
	Method              *string         `json:"method"`
	Version             string          `json:"version"`
}

// Card is the part of a payment that was made by card.
type Card struct {
	IssuerCode            string  `json:"issuerCode"`
	AcquirerCode          string  `json:"acquirerCode"`
	Number                string  `json:"number"`
	InstallmentPlanMonths int     `json:"installmentPlanMonths"`
	IsInterestFree        bool    `json:"isInterestFree"`
	InterestPayer         *string `json:"interestPayer"`
	ApproveNo             string  `json:"approveNo"`
	UseCardPoint          bool    `json:"useCardPoint"`
	CardType              string  `json:"cardType"`
	OwnerType             string  `json:"ownerType"`
	AcquireStatus         string  `json:"acquireStatus"`
	Amount                int64   `json:"amount"`
}

// VirtualAccount is the account that the buyer of a payment has to pay into.
type VirtualAccount struct {
	AccountNumber        string         `json:"accountNumber"`
	AccountType          string         `json:"accountType"`
	BankCode             string         `json:"bankCode"`
	CustomerName         string         `json:"customerName"`
	DepositorName        string         `json:"depositorName"`
	DueDate              string         `json:"dueDate"`
	Expired              bool           `json:"expired"`
	SettlementStatus     string         `json:"settlementStatus"`
	RefundStatus         string         `json:"refundStatus"`
	RefundReceiveAccount *RefundAccount `json:"refundReceiveAccount"`
}

// RefundAccount is where the money of a virtual account goes back to.
type RefundAccount struct {
	Bank          string `json:"bank,omitempty"`
	BankCode      string `json:"bankCode,omitempty"`
	AccountNumber string `json:"accountNumber"`
	HolderName    string `json:"holderName"`
}

// Transfer is the part of a payment that was made by bank transfer.
type Transfer struct {
	BankCode         string `json:"bankCode"`
	SettlementStatus string `json:"settlementStatus"`
}

// MobilePhone is the part of a payment that goes on a phone bill.
type MobilePhone struct {
	CustomerMobilePhone *struct{} `json:"customerMobilePhone"`
	SettlementStatus    string    `json:"settlementStatus"`
	ReceiptURL          string    `json:"receiptUrl"`
}

// EasyPay is the part of a payment that was made with a wallet.
type EasyPay struct {
	Provider       string `json:"provider"`
	Amount         int64  `json:"amount"`
	DiscountAmount int64  `json:"discountAmount"`
}

// Cancel is one cancellation of a payment, whole or in part.
type Cancel struct {
	TransactionKey         string  `json:"transactionKey"`
	CancelReason           string  `json:"cancelReason"`
	TaxExemptionAmount     int64   `json:"taxExemptionAmount"`
	CanceledAt             string  `json:"canceledAt"`
	CardDiscountAmount     int64   `json:"cardDiscountAmount"`
	TransferDiscountAmount int64   `json:"transferDiscountAmount"`
	EasyPayDiscountAmount  int64   `json:"easyPayDiscountAmount"`
	ReceiptKey             *string `json:"receiptKey"`
	CancelAmount           int64   `json:"cancelAmount"`
	TaxFreeAmount          int64   `json:"taxFreeAmount"`
	RefundableAmount       int64   `json:"refundableAmount"` // what was left afterwards
	CancelStatus           string  `json:"cancelStatus"`
	CancelRequestID        *string `json:"cancelRequestId"`
}

// Failure says why a payment came to nothing.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Link is an address inside a payment.
type Link struct {
	URL string `json:"url"`
}

// payment is a Payment with what Toss does not tell. Guarded by Sim.mu.
type payment struct {
	Payment
	order    Order
	deadline time.Time // READY and IN_PROGRESS end here; of a virtual account: its due date
	last     *sending  // the newest delivery about it; the next one goes after it
}

// clone is a copy that no later change reaches.
func (p *payment) clone() Payment {
	c := p.Payment
	c.Cancels = append([]Cancel(nil), p.Cancels...)
	if p.VirtualAccount != nil {
		account := *p.VirtualAccount
		c.VirtualAccount = &account
	}
	return c
}

// methods are the kinds of payment that can be made, by the code that the script
// has for them, with the word of the API.
func methods() map[string]string {
	return map[string]string{
		"CARD": "카드", "VIRTUAL_ACCOUNT": "가상계좌", "TRANSFER": "계좌이체",
		"MOBILE_PHONE": "휴대폰", "TOSSPAY": "간편결제",
	}
}

// fill adds what a payment has once the buyer's method took it.
func (p *payment) fill(base string, now time.Time) {
	p.Receipt = &Link{base + "/receipt/" + p.PaymentKey}
	switch p.order.Method {
	case "CARD":
		p.Card = &Card{IssuerCode: "61", AcquirerCode: "31", Number: "48902300****406*", ApproveNo: "00000000",
			CardType: "신용", OwnerType: "개인", AcquireStatus: "READY", Amount: p.TotalAmount}
	case "TRANSFER":
		p.Transfer = &Transfer{BankCode: "20", SettlementStatus: "INCOMPLETED"}
	case "MOBILE_PHONE":
		p.MobilePhone = &MobilePhone{SettlementStatus: "INCOMPLETED", ReceiptURL: p.Receipt.URL}
	case "TOSSPAY":
		p.EasyPay = &EasyPay{Provider: "토스페이", Amount: p.TotalAmount}
	case "VIRTUAL_ACCOUNT":
		secret := "ps_" + random(20)
		p.Secret = &secret
		p.deadline = now.Add(depositWithin)
		p.VirtualAccount = &VirtualAccount{AccountNumber: "X" + digits(13), AccountType: "일반", BankCode: "20",
			CustomerName: "김민지", DueDate: stamp(p.deadline), SettlementStatus: "INCOMPLETED", RefundStatus: "NONE"}
	}
}

// split divides a taxed amount as Toss does: VAT is a tenth of what is supplied.
func split(total int64) (supplied, vat int64) {
	supplied = (total*20 + 11) / 22
	return supplied, total - supplied
}

func random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))[:n]
}

func transactionKey() string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails
	return strings.ToUpper(hex.EncodeToString(raw))
}

func digits(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	for i := range raw {
		raw[i] = '0' + raw[i]%10
	}
	return string(raw)
}
