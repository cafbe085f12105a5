package toss

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// boot is what a page needs to begin: no secret, nothing of other buyers.
type boot struct {
	CID         string            `json:"cid"`
	Base        string            `json:"base"`
	ClientKey   string            `json:"clientKey"`
	Src         string            `json:"src"`
	OrderName   string            `json:"orderName"`
	CustomerKey *string           `json:"customerKey"` // null for a guest
	Lang        string            `json:"lang"`
	Order       *orderAnswer      `json:"order"`
	Fail        map[string]any    `json:"fail"`
	Texts       map[string]string `json:"texts"`
	Cfg         map[string]any    `json:"cfg"`
	Token       string            `json:"token"`
	Asked       bool              `json:"asked"` // the buyer has pressed pay before: ask for the state before saying what was charged
}

// orderAnswer is an order as the page sees it.
type orderAnswer struct {
	OrderID   string    `json:"orderId"`
	Amount    int64     `json:"amount"`
	Currency  string    `json:"currency"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func shown(o *order) *orderAnswer {
	return &orderAnswer{OrderID: o.ID, Amount: o.Amount, Currency: o.Currency, ExpiresAt: o.ExpiresAt.Time}
}

// callBoot gives the boot object to the element on another site. With return it
// notes where the purchase goes afterwards.
func (d *Desk) callBoot(r *http.Request, cid string) (int, any, error) {
	back := r.URL.Query().Get("return")
	foreign := d.foreign(r)
	if back != "" && !d.returnAllowed(back) {
		return 0, nil, &refused{Status: http.StatusBadRequest, Code: codeReturn}
	}
	c, _, p, err := d.look(r.Context(), cid, "")
	if err != nil {
		return 0, nil, err
	}
	if back != "" && back != c.ReturnURL {
		if err := d.returnTo(r.Context(), cid, back); err != nil {
			return 0, nil, err
		}
	}
	b, err := d.boot(r, c, p)
	if err != nil {
		return 0, nil, err
	}
	if foreign != "" {
		b.Base, b.Token = d.cfg.PublicURL+b.Base, d.token(cid, foreign)
	}
	return http.StatusOK, b, nil
}

func (d *Desk) returnTo(ctx context.Context, cid, back string) error {
	return d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := exec(ctx, tx, `UPDATE checkouts SET return_url = $2 WHERE id = $1`, cid, back)
		return err
	})
}

// boot opens a purchase: its newest order if that can still be paid, else a new
// one, else the reason why there is none.
func (d *Desk) boot(r *http.Request, c *checkout, p *Product) (b *boot, err error) {
	ctx := r.Context()
	if err := d.open(ctx, c); err != nil {
		return nil, err
	}
	lang := d.langOf(r, c.Lang)
	b = &boot{
		CID: c.ID, Base: "/checkout/" + c.ID, ClientKey: d.cfg.ClientKey, Src: d.cfg.SDKURL, OrderName: p.Name,
		Lang: lang, Texts: d.texts[lang], Cfg: map[string]any{},
	}
	if c.CustomerKey != "" {
		b.CustomerKey = &c.CustomerKey
	}
	b.Asked, err = d.askedBefore(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	o, err := d.payable(ctx, c)
	if no, ok := errors.AsType[*refused](err); ok {
		b.Fail = map[string]any{"code": no.Code, "message": b.Texts[no.Code]}
		for k, v := range no.More {
			b.Fail[k] = v
		}
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	b.Order = shown(o)
	if now := d.now(); !p.open(now) {
		b.Fail = map[string]any{"code": codeClosed, "message": b.Texts[codeClosed]}
	}
	return b, nil
}

func (d *Desk) askedBefore(ctx context.Context, cid string) (asked bool, err error) {
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		asked, err = exists(ctx, tx, `SELECT 1 FROM orders WHERE checkout = $1 AND (prepared_at IS NOT NULL OR payment_key <> '')`, cid)
		return err
	})
	return asked, err
}

// payable gives the newest order if it can still be paid at today's price, else
// makes the next one.
func (d *Desk) payable(ctx context.Context, c *checkout) (*order, error) {
	var o *order
	err := d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) (err error) {
		if err := d.free(ctx, tx, c.ID); err != nil {
			return err
		}
		o, err = newest(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		p, err := scanProduct(tx.QueryRowContext(ctx, `SELECT `+productColumns+` FROM products WHERE id = $1`, c.Product))
		if err == nil && p.Price != o.Amount {
			o.State = StateExpired // for the question below: it is not offered any more
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	fresh := o.State == StateIssued || o.State == StatePrepared
	if fresh && d.now().Before(o.ExpiresAt.Time.Add(-time.Minute)) {
		return o, nil
	}
	// Keyed by the order it follows, so that two tabs get the same one.
	return d.reissue(ctx, c.ID, "after:"+o.ID, o.ID, "expired")
}

// callOrders issues the next order of a purchase.
func (d *Desk) callOrders(r *http.Request, cid string) (int, any, error) {
	var ask struct {
		Supersedes *string `json:"supersedes"`
		Reason     string  `json:"reason"`
		Gen        int     `json:"gen"`
	}
	if err := readBody(r, &ask); err != nil {
		return 0, nil, err
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > 200 {
		return 0, nil, &refused{Status: http.StatusBadRequest, Code: codeBadRequest}
	}
	old := ""
	if ask.Supersedes != nil {
		old = *ask.Supersedes
	}
	ctx := r.Context()
	o, err := d.reissue(ctx, cid, "page:"+printable(key), old, ask.Reason)
	no, waiting := errors.AsType[*refused](err)
	if waiting && no.Code == codeAwaitingDeposit && ask.Reason == reasonOtherMethod {
		if err := d.closeAccount(ctx, cid); err != nil {
			return 0, nil, err
		}
		o, err = d.reissue(ctx, cid, "page:"+printable(key), old, ask.Reason)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, shown(o), nil
}

// closeAccount has the virtual account of a purchase closed at Toss, for a buyer
// who pays another way. The outbox carries it; this only waits for a moment.
func (d *Desk) closeAccount(ctx context.Context, cid string) error {
	var id string
	err := d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		if _, err := lockCheckout(ctx, tx, cid); err != nil {
			return err
		}
		w, err := winner(ctx, tx, cid, "")
		if err != nil || w == nil || w.State != StateAwaitingDeposit {
			return err
		}
		purpose, err := accountPurpose(ctx, tx, w.ID)
		if err != nil {
			return err
		}
		now := d.now()
		w.Reason = reasonOtherMethod
		if err := d.orderRefund(ctx, tx, w, refund{Purpose: purpose, Actor: "buyer", Reason: "pays another way"}, now); err != nil {
			return err
		}
		id = d.refundID(w.ID, purpose)
		return d.save(ctx, tx, w, now)
	})
	if err != nil || id == "" {
		return err
	}
	if err := d.workRefund(ctx, id); err != nil {
		d.log.Warn("account not closed yet", "checkout", cid, "error", err)
		return &refused{Status: http.StatusServiceUnavailable, Code: codeUnavailable}
	}
	return nil
}

// callPrepare checks and holds before the payment window opens.
func (d *Desk) callPrepare(r *http.Request, cid string) (int, any, error) {
	id := r.PathValue("oid")
	if !isID(id, orderPrefix) {
		return 0, nil, hook.ErrNotFound
	}
	o, until, err := d.prepare(r.Context(), cid, id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"orderId": o.ID, "amount": o.Amount, "holdExpiresAt": until}, nil
}

// callTelemetry counts what went wrong with the widget and notes it for
// operators. It believes nothing.
func (d *Desk) callTelemetry(r *http.Request, cid string) (int, any, error) {
	var ask struct {
		Gen   int    `json:"gen"`
		Phase string `json:"phase"`
		Code  string `json:"code"`
		MS    int64  `json:"ms"`
	}
	if err := readBody(r, &ask); err != nil {
		return 0, nil, err
	}
	if !d.creating.pass("telemetry " + cid) {
		return 0, nil, &refused{Status: http.StatusTooManyRequests, Code: codeBusy}
	}
	ctx := r.Context()
	_, o, _, err := d.look(ctx, cid, "")
	if err != nil {
		return 0, nil, err
	}
	code := widgetCode(ask.Code)
	d.told.widget.add(code)
	err = d.cfg.Applier.Apply(ctx, d.remark(o.ID, "widget", code, cut(ask.Phase, 20)+" "+cut(ask.Code, 64)))
	return http.StatusNoContent, nil, err
}

// widgetCode keeps the codes that are known, so that a metric has no more values
// than there are failures.
func widgetCode(code string) string {
	const known = ` USER_CANCEL PAY_PROCESS_CANCELED PAY_PROCESS_ABORTED REJECT_CARD_COMPANY NOT_SELECTED_PAYMENT_METHOD
		NEED_AGREEMENT_WITH_REQUIRED_TERMS NEED_CARD_PAYMENT_DETAIL NEED_REFUND_ACCOUNT_DETAIL EXCEED_DEPOSIT_AMOUNT_LIMIT
		EXCEED_MAX_DUE_DATE UNSUPPORTED_TEST_PHASE_PAYMENT_METHOD CUSTOM_PAYMENT_METHOD_UNABLE_TO_PAY
		PROVIDER_STATUS_UNHEALTHY INVALID_CLIENT_KEY INVALID_CUSTOMER_KEY INSECURE_KEY_USAGE
		NOT_SUPPORTED_API_INDIVIDUAL_KEY NOT_SUPPORTED_WIDGET_KEY UNAUTHORIZED_KEY NOT_REGISTERED_PAYMENT_WIDGET
		INVALID_VARIANT_KEY INVALID_SELECTOR INVALID_PARAMETER INVALID_PARAMETERS INVALID_METADATA INVALID_AMOUNT_VALUE
		INVALID_AMOUNT_CURRENCY BELOW_ZERO_AMOUNT NOT_SETUP_AMOUNT INCORRECT_SUCCESS_URL_FORMAT
		INCORRECT_FAIL_URL_FORMAT V1_METHOD_NOT_SUPPORTED WIDGETS_SDK_INITIALIZE_CONFLICT NOT_SUPPORTED_PROMISE
		CSP_BLOCKED NAMESPACE_CLOBBERED ScriptLoadFailedError NamespaceNotAvailableError WATCHDOG_TIMEOUT UNKNOWN
		PAYMENT_METHODS_WIDGET_ALREADY_RENDERED AGREEMENT_WIDGET_ALREADY_RENDERED INVALID_METHOD_TRANSACTION
		SOLD_OUT ALREADY_APPLIED CLOSED PRICE_CHANGED AWAITING_DEPOSIT `
	for word := range strings.FieldsSeq(known) {
		if word == code {
			return code
		}
	}
	return "other"
}

// stateAnswer is what has become of a purchase, as its buyer may know it.
type stateAnswer struct {
	Status     string `json:"status"`
	Charged    bool   `json:"charged"` // a capture is known
	ReceiptURL string `json:"receiptUrl,omitempty"`
}

// callState says where a purchase stands.
func (d *Desk) callState(r *http.Request, cid string) (int, any, error) {
	s, _, err := d.standing(r.Context(), cid)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s, nil
}

// The states of a purchase.
const (
	standingOpen       = "open" // no confirm was sent for any of its orders
	standingConfirming = "confirming"
	standingPaid       = "paid"
	standingDeposit    = "awaiting_deposit"
	standingRefunding  = "refunding"
	standingRefunded   = "refunded"
	standingNotCharged = "not_charged"
	standingClosed     = "closed"
)

// standing sums the orders of a purchase up, and gives the one that decides. It
// never says that nothing was charged while a confirm may still succeed.
func (d *Desk) standing(ctx context.Context, cid string) (s stateAnswer, decides *order, err error) {
	var all []*order
	err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		all, err = ordersWhere(ctx, tx, `checkout = $1 ORDER BY attempt DESC`, cid)
		return err
	})
	if err != nil {
		return s, nil, err
	}
	if len(all) == 0 {
		return s, nil, hook.ErrNotFound
	}
	s.Status, decides = standingClosed, all[0]
	best := 0
	for _, o := range all {
		s.Charged = s.Charged || o.Captured > 0
		if status, weight := o.standing(); weight > best {
			s.Status, best, decides = status, weight, o
		}
	}
	if s.Status != standingOpen && s.Status != standingClosed {
		s.ReceiptURL = receiptPath(cid)
	}
	return s, decides, nil
}

// standing is what one order says of its purchase, and how much that weighs
// beside the others.
func (o *order) standing() (string, int) {
	if o.Captured > o.Refunded && o.State != StatePaid && o.State != StateCompensating && o.State != StateRefundFailed {
		return standingConfirming, 8 // money is there, and a person decides
	}
	switch o.State {
	case StatePaid:
		return standingPaid, 9
	case StateConfirming:
		return standingConfirming, 8
	case StateAwaitingDeposit:
		return standingDeposit, 7
	case StateCompensating, StateRefundFailed:
		return standingRefunding, 6
	case StateRefunded:
		return standingRefunded, 5
	case StateConfirmFailed:
		return standingNotCharged, 4
	case StateAuthorized:
		if o.Reason != "" {
			return standingNotCharged, 3
		}
		return standingConfirming, 3
	case StateIssued, StatePrepared:
		return standingOpen, 2
	}
	if o.Sent {
		return standingNotCharged, 2
	}
	return standingClosed, 1
}
