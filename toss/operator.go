package toss

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// operations is what operators and applications may do through the API.
func (d *Desk) operations() []hook.Operation {
	return []hook.Operation{
		{Method: "GET", Path: "products", Need: hook.RoleViewer, Handle: d.opProducts,
			Doc: doc("Products on sale, by id", nil, "")},
		{Method: "POST", Path: "products", Need: hook.RoleAdmin, Handle: d.opAddProduct,
			Doc: doc("Put a product on sale", nil, `{"type":"object","required":["id","name","price"],"properties":{
				"id":{"type":"string"},"name":{"type":"string"},"price":{"type":"integer"},"seats":{"type":["integer","null"]},
				"one_each":{"type":"boolean"},"opens_at":{"type":["string","null"],"format":"date-time"},
				"closes_at":{"type":["string","null"],"format":"date-time"}}}`)},
		{Method: "GET", Path: "products/{product}", Need: hook.RoleViewer, Handle: d.opProduct,
			Doc: doc("One product", nil, "")},
		{Method: "POST", Path: "products/{product}/close", Need: hook.RoleAdmin, Handle: d.opCloseProduct,
			Doc: doc("End the sale of a product; who holds a seat may still pay", nil, "")},
		{Method: "GET", Path: "orders", Need: hook.RoleViewer, Handle: d.opOrders,
			Query: []string{"state", "product", "checkout", "attention", "limit", "cursor"},
			Doc: doc("Orders, newest first", map[string]string{
				"state": "one state", "product": "a product's id", "checkout": "a purchase's id",
				"attention": "true: only orders that need a person", "limit": "at most so many, up to 1000", "cursor": "next of the page before",
			}, "")},
		{Method: "GET", Path: "orders/{order}", Need: hook.RoleViewer, Handle: d.opOrder,
			Doc: doc("One order with its refunds, money given back, notes, and the other orders of its purchase", nil, "")},
		{Method: "POST", Path: "orders/{order}/ask", Need: hook.RoleOperator, Handle: d.opAsk,
			Doc: doc("Ask Toss again about an order, and settle what it shows", nil, "")},
		{Method: "POST", Path: "orders/{order}/refund", Need: hook.RoleAdmin, Money: true, Handle: d.opRefund,
			Doc: doc("Give an order's money back, all or a part; the key makes a repeat the same refund", nil,
				`{"type":"object","required":["key","reason"],"properties":{"key":{"type":"string"},"reason":{"type":"string"},
				"amount":{"type":"integer"},"receiver":{"type":"object","properties":{"bank":{"type":"string"},
				"accountNumber":{"type":"string"},"holderName":{"type":"string"}}}}}`)},
		{Method: "POST", Path: "orders/{order}/resolve", Need: hook.RoleAdmin, Handle: d.opResolve,
			Doc: doc("Lay a call for attention aside, with a reason; money is not touched", nil,
				`{"type":"object","required":["reason"],"properties":{"reason":{"type":"string"}}}`)},
		{Method: "POST", Path: "checkouts", Need: hook.RoleOperator, Handle: d.opCheckout,
			Doc: doc("Begin a purchase for a buyer of an application", nil,
				`{"type":"object","required":["product"],"properties":{"product":{"type":"string"},"buyer":{"type":"string"},
				"return_url":{"type":"string"},"lang":{"type":"string","enum":["ko","en"]}}}`)},
		{Method: "POST", Path: "reconcile/" + d.cfg.Source, Need: hook.RoleOperator, Handle: d.opReconcile,
			Doc: doc("Ask Toss about every open order, and settle what it shows", nil,
				`{"type":"object","properties":{"since":{"type":"string","format":"date-time"},"all":{"type":"boolean"}}}`)},
		{Method: "GET", Path: "money", Need: hook.RoleViewer, Handle: d.opMoney,
			Doc: doc("Where all captured money is; off must be 0", nil, "")},
	}
}

// doc writes an operation in OpenAPI's words.
func doc(summary string, query map[string]string, body string) json.RawMessage {
	o := map[string]any{
		"summary":   summary,
		"responses": map[string]any{"200": map[string]any{"description": "done", "content": map[string]any{"application/json": map[string]any{}}}},
	}
	var params []any
	for name, text := range query {
		params = append(params, map[string]any{
			"name": name, "in": "query", "description": text, "schema": map[string]any{"type": "string"},
		})
	}
	slices.SortFunc(params, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
	})
	if len(params) > 0 {
		o["parameters"] = params
	}
	if body != "" {
		o["requestBody"] = map[string]any{"required": true, "content": map[string]any{
			"application/json": map[string]any{"schema": json.RawMessage(body)},
		}}
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic("toss: description of an operation: " + err.Error()) // a literal above is no JSON
	}
	return text
}

// opBody reads the JSON of an operation; an unknown field is a mistake.
func opBody(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &hook.Problem{Status: 400, Detail: "body: " + cut(printable(err.Error()), 200)}
	}
	return nil
}

func (d *Desk) opProducts(r *http.Request) (any, error) {
	all, err := d.Products(r.Context())
	if all == nil {
		all = []*Product{}
	}
	return map[string]any{"products": all}, err
}

func (d *Desk) opProduct(r *http.Request) (any, error) {
	return d.Product(r.Context(), r.PathValue("product"))
}

func (d *Desk) opAddProduct(r *http.Request) (any, error) {
	var p Product
	if err := opBody(r, &p); err != nil {
		return nil, err
	}
	return d.AddProduct(r.Context(), p)
}

func (d *Desk) opCloseProduct(r *http.Request) (any, error) {
	return d.CloseProduct(r.Context(), r.PathValue("product"))
}

func (d *Desk) opCheckout(r *http.Request) (any, error) {
	var ask struct {
		Product   string `json:"product"`
		Buyer     string `json:"buyer"`
		ReturnURL string `json:"return_url"`
		Lang      string `json:"lang"`
	}
	if err := opBody(r, &ask); err != nil {
		return nil, err
	}
	p := Purchase{Product: ask.Product, Buyer: ask.Buyer, ReturnURL: ask.ReturnURL, Lang: ask.Lang}
	if err := p.check(d); err != nil {
		return nil, err
	}
	c, o, err := d.begin(r.Context(), p)
	if err != nil {
		return nil, err
	}
	return map[string]any{"checkout": c.ID, "url": d.cfg.PublicURL + "/checkout/" + c.ID, "order": shown(o)}, nil
}

// opReconcile is what hookkeeper reconcile calls. Toss has no list of events, so
// since says nothing here; all asks about orders that were asked about just now.
func (d *Desk) opReconcile(r *http.Request) (any, error) {
	var ask struct {
		Since *time.Time `json:"since"`
		All   bool       `json:"all"`
	}
	if r.ContentLength != 0 {
		if err := opBody(r, &ask); err != nil {
			return nil, err
		}
	}
	return d.reconcile(r.Context(), ask.All)
}

func (d *Desk) opMoney(r *http.Request) (any, error) { return d.Money(r.Context()) }

// OrderInfo is an order as operators see it: nothing of a card, no secret.
type OrderInfo struct {
	ID          string     `json:"id"`
	Checkout    string     `json:"checkout"`
	Product     string     `json:"product"`
	Buyer       string     `json:"buyer"`
	Attempt     int        `json:"attempt"`
	State       OrderState `json:"state"`
	Reason      string     `json:"reason"`
	Attention   string     `json:"attention"` // why a person is needed; empty: nobody is
	Amount      int64      `json:"amount"`
	Currency    string     `json:"currency"`
	Captured    int64      `json:"captured"`
	Refunded    int64      `json:"refunded"`
	PaymentKey  string     `json:"payment_key"`
	TossStatus  string     `json:"toss_status"`
	Method      string     `json:"method"`
	Account     string     `json:"account"`
	DueAt       *time.Time `json:"due_at"`
	AskedAt     *time.Time `json:"asked_at"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	SettledAt   *time.Time `json:"settled_at"`
	OpenSeconds int64      `json:"open_seconds"` // how long money has been without a seat; 0: it is not
}

func (d *Desk) info(o *order, buyer string) OrderInfo {
	i := OrderInfo{
		ID: o.ID, Checkout: o.Checkout, Product: o.Product, Buyer: buyer, Attempt: o.Attempt, State: o.State,
		Reason: o.Reason, Attention: o.Attention, Amount: o.Amount, Currency: o.Currency, Captured: o.Captured,
		Refunded: o.Refunded, PaymentKey: o.PaymentKey, TossStatus: o.TossStatus, Method: o.Method, Account: o.Account,
		DueAt: timeOf(o.DueAt), AskedAt: timeOf(o.AskedAt), CreatedAt: o.CreatedAt.Time, UpdatedAt: o.UpdatedAt.Time,
		SettledAt: timeOf(o.SettledAt),
	}
	if o.Captured > o.Refunded && o.State != StatePaid {
		i.OpenSeconds = int64(since(o.CreatedAt, d.now()) / time.Second)
	}
	return i
}

// opOrders gives a page of orders, newest first.
func (d *Desk) opOrders(r *http.Request) (any, error) {
	f, err := readFilter(r)
	if err != nil {
		return nil, err
	}
	page := []OrderInfo{}
	next := ""
	err = d.cfg.Viewer.View(r.Context(), func(ctx context.Context, tx hook.Tx) error {
		page, next = []OrderInfo{}, ""
		all, err := ordersWhere(ctx, tx, f.where, f.args...)
		if err != nil {
			return err
		}
		for i, o := range all {
			if i == f.limit {
				last := all[i-1]
				next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d:%s", last.CreatedAt.Time.UnixMicro(), last.ID))
				break
			}
			c, err := scanCheckout(ctx, tx.QueryRowContext(ctx, `SELECT `+checkoutColumns+` FROM checkouts WHERE id = $1`, o.Checkout))
			if err != nil {
				return err
			}
			page = append(page, d.info(o, c.Buyer))
		}
		return nil
	})
	return map[string]any{"orders": page, "next": next}, err
}

type orderFilter struct {
	where string
	args  []any
	limit int
}

// readFilter turns parameters into a condition of placeholders alone.
func readFilter(r *http.Request) (f orderFilter, err error) {
	q := r.URL.Query()
	parts := []string{"1 = 1"}
	add := func(condition string, args ...any) {
		for range args {
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)+1), 1)
			f.args = append(f.args, args[0])
			args = args[1:]
		}
		parts = append(parts, condition)
	}
	if s := q.Get("state"); s != "" {
		if !slices.Contains(States[:], OrderState(s)) {
			return f, fmt.Errorf("state %.40q: there is no such state of an order: %w", s, hook.ErrBadFilter)
		}
		add("state = ?", s)
	}
	for _, name := range []string{"product", "checkout"} {
		if v := q.Get(name); v != "" {
			add(name+" = ?", v)
		}
	}
	switch v := q.Get("attention"); v {
	case "", "false":
	case "true":
		parts = append(parts, "attention <> ''")
	default:
		return f, fmt.Errorf("attention %.20q: want true or false: %w", v, hook.ErrBadFilter)
	}
	f.limit = 100
	if v := q.Get("limit"); v != "" {
		if f.limit, err = strconv.Atoi(v); err != nil || f.limit < 1 || f.limit > 1000 {
			return f, fmt.Errorf("limit %.20q: want 1 to 1000: %w", v, hook.ErrBadFilter)
		}
	}
	if v := q.Get("cursor"); v != "" {
		at, id, err := readCursor(v)
		if err != nil {
			return f, err
		}
		add("(created_at < ? OR created_at = ? AND id < ?)", at, at, id)
	}
	f.args = append(f.args, f.limit+1)
	f.where = strings.Join(parts, " AND ") + " ORDER BY created_at DESC, id DESC LIMIT $" + strconv.Itoa(len(f.args))
	return f, nil
}

func readCursor(s string) (time.Time, string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	micros, id, ok := strings.Cut(string(raw), ":")
	n, err2 := strconv.ParseInt(micros, 10, 64)
	if err != nil || err2 != nil || !ok || !isID(id, orderPrefix) {
		return time.Time{}, "", fmt.Errorf("cursor: not one of ours: %w", hook.ErrBadFilter)
	}
	return time.UnixMicro(n).UTC(), id, nil
}

// opOrder gives one order with all that a person needs to help its buyer.
func (d *Desk) opOrder(r *http.Request) (any, error) {
	return d.detail(r.Context(), r.PathValue("order"))
}

// opAsk asks Toss about an order now, whatever its state, and settles.
func (d *Desk) opAsk(r *http.Request) (any, error) {
	ctx, id := r.Context(), r.PathValue("order")
	o, err := d.order(ctx, id)
	if err != nil {
		return nil, err
	}
	effect, err := d.bring(ctx, o)
	if err == nil && effect != nil {
		err = d.cfg.Applier.Apply(ctx, effect)
	}
	if err == nil {
		return d.detail(ctx, id)
	}
	if asksLater(err) {
		return nil, &hook.Problem{Status: 503, Detail: fmt.Sprintf("order %s: toss has not decided: %s; try again in a moment", id, errorCode(err))}
	}
	return nil, err
}

var refundKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// opRefund orders a refund and tries it at once.
func (d *Desk) opRefund(r *http.Request) (any, error) {
	var ask struct {
		Key      string    `json:"key"`
		Amount   int64     `json:"amount"`
		Reason   string    `json:"reason"`
		Receiver *Receiver `json:"receiver"`
	}
	if err := opBody(r, &ask); err != nil {
		return nil, err
	}
	ctx, id := r.Context(), r.PathValue("order")
	switch {
	case !refundKey.MatchString(ask.Key):
		return nil, &hook.Problem{Status: 400, Detail: "key: want 1 to 64 letters, digits, _ or -, the same for the same refund"}
	case strings.TrimSpace(ask.Reason) == "" || len(ask.Reason) > 600:
		return nil, &hook.Problem{Status: 400, Detail: "reason: want 1 to 600 bytes"}
	case ask.Amount < 0:
		return nil, &hook.Problem{Status: 400, Detail: "amount: want whole won, or none for all that is left"}
	}
	err := d.Refund(ctx, id, RefundOrder{Key: ask.Key, Amount: ask.Amount, Reason: ask.Reason, Receiver: ask.Receiver,
		Actor: hook.ActorOf(ctx)})
	if err != nil {
		return nil, err
	}
	// The outbox has it; whatever goes wrong here it tries again.
	if err := d.workRefund(ctx, d.refundID(id, "operator:"+ask.Key)); err != nil {
		d.log.Warn("refund ordered, not through yet", "order", id, "error", err)
	}
	return d.detail(ctx, id)
}

// opResolve lays a call for attention aside. It touches neither state nor money,
// and what is still wrong calls again.
func (d *Desk) opResolve(r *http.Request) (any, error) {
	var ask struct {
		Reason string `json:"reason"`
	}
	if err := opBody(r, &ask); err != nil {
		return nil, err
	}
	if strings.TrimSpace(ask.Reason) == "" {
		return nil, &hook.Problem{Status: 400, Detail: "reason: say why nobody is needed any more"}
	}
	ctx, id := r.Context(), r.PathValue("order")
	actor := hook.ActorOf(ctx)
	err := d.cfg.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, o, err := lockOrder(ctx, tx, id)
		if err != nil || o.Attention == "" {
			return err
		}
		now := d.now()
		if err := note(ctx, tx, o, now, "resolved", o.Attention, actor+": "+ask.Reason); err != nil {
			return err
		}
		o.Attention = ""
		return d.save(ctx, tx, o, now)
	})
	if err != nil {
		return nil, err
	}
	return d.detail(ctx, id)
}
