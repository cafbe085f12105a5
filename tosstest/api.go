package tosstest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one call of the core API.
type Call struct {
	At             time.Time `json:"at"`
	API            string    `json:"api"` // confirm, get, cancel or transactions
	Method         string    `json:"method"`
	Path           string    `json:"path"`
	PaymentKey     string    `json:"paymentKey,omitempty"`
	OrderID        string    `json:"orderId,omitempty"`
	Amount         int64     `json:"amount,omitempty"` // as it was asked for
	IdempotencyKey string    `json:"idempotencyKey,omitempty"`
	Fault          string    `json:"fault,omitempty"`
	Changed        bool      `json:"changed"`  // it changed the payment: a capture or a refund, accepted once
	Replayed       bool      `json:"replayed"` // the first answer to its idempotency key, again
	Status         int       `json:"status"`   // zero: not answered, or not yet
	Code           string    `json:"code,omitempty"`
}

// Calls returns every call of the core API so far, oldest first.
func (s *Sim) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Call, len(s.calls))
	for i, c := range s.calls {
		all[i] = *c
	}
	return all
}

// answered is the stored answer to an idempotency key.
type answered struct {
	until  time.Time
	ready  bool
	status int
	body   []byte
	code   string
}

// window counts calls of one API in one minute.
type window struct {
	from time.Time
	n    int
}

// apiCall is a call on its way through.
type apiCall struct {
	w     http.ResponseWriter
	r     *http.Request
	key   string // the caller's secret key; never kept
	body  []byte
	entry *Call // guarded by Sim.mu
	fault Fault

	lost   bool // its connection ends before anything happens
	status int
	answer []byte
	code   string
	out    []*sending // counted, to be launched
}

// api wraps one API with everything that they have in common.
func (s *Sim) api(target string, f func(*apiCall) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &apiCall{w: w, r: r, entry: &Call{API: target, Method: r.Method, Path: r.URL.Path,
			PaymentKey: r.PathValue("paymentKey"), IdempotencyKey: r.Header.Get("Idempotency-Key")}}
		if len(c.entry.IdempotencyKey) > 300 {
			c.entry.IdempotencyKey = c.entry.IdempotencyKey[:300] + "…"
		}
		s.mu.Lock()
		c.entry.At = s.clock.now()
		keep(&s.calls, c.entry)
		s.mu.Unlock()
		defer func() { s.launch(c.out) }() // also when the answer is lost
		c.body, _ = io.ReadAll(r.Body)     // a broken body is not JSON, and so refused
		if err := s.admit(c, target); err != nil {
			c.refuse(err)
			s.write(c)
			return
		}
		s.once(c, func() {
			if s.before(c); c.lost {
				return
			}
			switch c.fault.Action {
			case "error", "500", "429":
				c.refuseByFault()
				return
			}
			v, err := f(c)
			if err != nil {
				c.refuse(err)
				return
			}
			c.status, c.answer = http.StatusOK, marshal(v)
		})
		if c.lost {
			destroy(w)
		}
		s.after(c)
		s.write(c)
	}
}

// admit checks key, rate and test code, and takes the fault of this call.
func (s *Sim) admit(c *apiCall, target string) error {
	name, password, ok := c.r.BasicAuth()
	known := name == s.opts.SecretKey
	if s.opts.SecretKey == "" {
		known = len(name) > 9 && (strings.HasPrefix(name, "test_gsk_") || strings.HasPrefix(name, "test_sk_"))
	}
	if !ok || !known || password != "" {
		return problem("UNAUTHORIZED_KEY")
	}
	c.key = name
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tooMany(target) {
		return problem(s.opts.Codes["rateLimited"])
	}
	if code := c.r.Header.Get("TossPayments-Test-Code"); code != "" && strings.HasPrefix(name, "test_") {
		return problem(code)
	}
	c.fault = s.take(target)
	if c.fault.Action != "ok" {
		c.entry.Fault = c.fault.Action
	}
	return nil
}

func (s *Sim) tooMany(target string) bool {
	if s.opts.RateLimit == 0 {
		return false
	}
	now := s.clock.now()
	w := s.rates[target]
	if w == nil || now.Sub(w.from) >= time.Minute {
		w = &window{from: now}
		s.rates[target] = w
	}
	w.n++
	return w.n > s.opts.RateLimit
}

// before does what a fault wants done before the call has any consequence. It
// marks a call that shall have none, which ends when its idempotency key is free
// again.
func (s *Sim) before(c *apiCall) {
	switch c.fault.Action {
	case "slow":
		s.pause(c.r.Context(), c.fault.MS)
	case "timeoutBeforeCommit":
		s.hang(c.r.Context())
		c.lost = true
	case "reset":
		c.lost = true
	}
}

// once runs f unless the idempotency key of a POST has an answer already. f's
// answer is kept for 15 days; an error only if Options.ReplayErrors says so.
func (s *Sim) once(c *apiCall, f func()) {
	key := c.r.Header.Get("Idempotency-Key")
	if len(key) > 300 {
		c.refuse(problem("INVALID_IDEMPOTENCY_KEY"))
		return
	}
	if c.r.Method != http.MethodPost || key == "" {
		f()
		return
	}
	scope := c.key + "\x00" + c.r.Method + " " + c.r.URL.Path + "\x00" + key
	s.mu.Lock()
	a := s.answers[scope]
	if a != nil && s.clock.now().Before(a.until) {
		stored := *a
		c.entry.Replayed = stored.ready
		s.mu.Unlock()
		if !stored.ready {
			c.refuse(problem("IDEMPOTENT_REQUEST_PROCESSING"))
			return
		}
		s.before(c)
		c.status, c.answer, c.code = stored.status, stored.body, stored.code
		return
	}
	a = &answered{until: s.clock.now().Add(15 * 24 * time.Hour)}
	answers := s.answers // of this epoch
	answers[scope] = a
	s.mu.Unlock()
	f()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.lost || c.status >= 300 && !s.opts.ReplayErrors {
		delete(answers, scope)
		return
	}
	a.ready, a.status, a.body, a.code = true, c.status, c.answer, c.code
}

// after does what a fault wants done to an answer that is already true.
func (s *Sim) after(c *apiCall) {
	early := slices.DeleteFunc(slices.Clone(c.out), func(one *sending) bool { return one.fault != "beforeConfirmAnswers" })
	if len(early) > 0 {
		s.launch(c.out)
		c.out = nil
		for _, one := range early {
			<-one.first // bounded by the delivery's own timeout
		}
	}
	switch c.fault.Action {
	case "timeoutAfterCommit":
		s.launch(c.out)
		c.out = nil
		s.hang(c.r.Context())
		destroy(c.w)
	case "resetAfterCommit":
		destroy(c.w)
	case "garbage":
		c.status, c.answer = http.StatusOK, []byte("<html><body>502 Bad Gateway</body></html>")
	case "alter":
		var fields map[string]any
		if json.Unmarshal(c.answer, &fields) == nil {
			for name, value := range c.fault.Set {
				fields[name] = value
			}
			c.answer = marshal(fields)
		}
	}
}

// write answers, and tells of it only then: whoever is told may be slow.
func (s *Sim) write(c *apiCall) {
	s.mu.Lock()
	c.entry.Status, c.entry.Code = c.status, c.code
	said := *c.entry
	s.mu.Unlock()
	defer s.say("api       %d  %-12s  %s %s %s", said.Status, said.API, said.OrderID, said.PaymentKey, said.Code)
	h := c.w.Header()
	h.Set("Content-Type", "application/json;charset=UTF-8")
	h.Set("Content-Length", strconv.Itoa(len(c.answer)))
	c.w.WriteHeader(c.status)
	if c.fault.Action == "drip" {
		s.drip(c.r.Context(), c)
		return
	}
	_, _ = c.w.Write(c.answer) // the caller may have gone
	// The deliveries that follow shall find the answer on its way.
	_ = http.NewResponseController(c.w).Flush()
}

// drip spreads the answer over the fault's time.
func (s *Sim) drip(ctx context.Context, c *apiCall) {
	const parts = 20
	for i := range parts {
		from, to := i*len(c.answer)/parts, (i+1)*len(c.answer)/parts
		_, _ = c.w.Write(c.answer[from:to]) // the caller may have gone
		_ = http.NewResponseController(c.w).Flush()
		if !s.pause(ctx, c.fault.MS/parts) {
			return
		}
	}
}

func (c *apiCall) refuse(err error) {
	code := Code(err)
	if code == "" {
		code = "FAILED_INTERNAL_SYSTEM_PROCESSING"
	}
	m := meaningOf(code)
	c.fail(m.status, code, text(code, english(c.r)))
}

func (c *apiCall) refuseByFault() {
	code, status := c.fault.Code, c.fault.Status
	switch c.fault.Action {
	case "500":
		code, status = "FAILED_INTERNAL_SYSTEM_PROCESSING", http.StatusInternalServerError
	case "429":
		code, status = "TOO_MANY_REQUESTS", http.StatusTooManyRequests
	}
	if status == 0 {
		status = meaningOf(code).status
	}
	c.fail(status, code, text(code, english(c.r)))
}

func (c *apiCall) fail(status int, code, message string) {
	c.status, c.code, c.answer = status, code, marshal(Failure{code, message})
}

// amountOf reads a number of the body that must be a whole one.
func amountOf(v *float64) (int64, bool) {
	if v == nil || *v != math.Trunc(*v) || math.Abs(*v) > 1<<53 {
		return 0, false
	}
	return int64(*v), true
}

// confirm is POST /v1/payments/confirm.
func (s *Sim) confirm(c *apiCall) (any, error) {
	var ask struct {
		PaymentKey string   `json:"paymentKey"`
		OrderID    string   `json:"orderId"`
		Amount     *float64 `json:"amount"`
	}
	err := json.Unmarshal(c.body, &ask)
	amount, whole := amountOf(ask.Amount)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.PaymentKey, c.entry.OrderID, c.entry.Amount = ask.PaymentKey, ask.OrderID, amount
	if err != nil || !whole || ask.PaymentKey == "" || len(ask.PaymentKey) > 200 || ask.OrderID == "" {
		return nil, problem("INVALID_REQUEST")
	}
	p := s.payments[ask.PaymentKey]
	switch {
	case p == nil:
		return nil, problem("NOT_FOUND_PAYMENT_SESSION")
	case p.OrderID != ask.OrderID:
		return nil, problem(s.opts.Codes["wrongOrder"])
	case p.TotalAmount != amount:
		return nil, problem(s.opts.Codes["wrongAmount"])
	}
	switch p.Status {
	case StatusInProgress:
	case StatusReady, StatusExpired, StatusAborted:
		return nil, problem("NOT_FOUND_PAYMENT_SESSION")
	default:
		return nil, problem("ALREADY_PROCESSED_PAYMENT")
	}
	if c.fault.Action == "refuse" {
		c.out = s.abort(p, c.fault.Code)
		return nil, problem(c.fault.Code)
	}
	c.out = s.approve(p)
	c.entry.Changed = true
	return p.clone(), nil
}

// cancelByCall is POST /v1/payments/{paymentKey}/cancel.
func (s *Sim) cancelByCall(c *apiCall) (any, error) {
	var ask struct {
		cancelCall
		CancelAmount     *float64 `json:"cancelAmount"`
		TaxFreeAmount    *float64 `json:"taxFreeAmount"`
		RefundableAmount *float64 `json:"refundableAmount"`
	}
	err := json.Unmarshal(c.body, &ask)
	call := ask.cancelCall
	whole := true
	if ask.CancelAmount != nil {
		call.partial = true
		call.CancelAmount, whole = amountOf(ask.CancelAmount)
	}
	if ask.RefundableAmount != nil {
		left, ok := amountOf(ask.RefundableAmount)
		call.refundable, whole = &left, whole && ok
	}
	if ask.TaxFreeAmount != nil {
		free, ok := amountOf(ask.TaxFreeAmount)
		call.TaxFreeAmount, whole = free, whole && ok
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.Amount = call.CancelAmount
	p := s.payments[c.r.PathValue("paymentKey")]
	if p == nil {
		return nil, problem("NOT_FOUND_PAYMENT")
	}
	c.entry.OrderID = p.OrderID
	if err != nil || !whole {
		return nil, problem("INVALID_REQUEST")
	}
	out, err := s.cancel(p, call)
	if err != nil {
		return nil, err
	}
	c.out = out
	c.entry.Changed = true
	return p.clone(), nil
}

// get is GET /v1/payments/{paymentKey} and /v1/payments/orders/{orderId}.
func (s *Sim) get(c *apiCall) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payments[c.r.PathValue("paymentKey")]
	if id := c.r.PathValue("orderId"); id != "" {
		c.entry.PaymentKey, c.entry.OrderID = "", id
		p = s.ofOrder(id)
	}
	if p == nil {
		return nil, problem("NOT_FOUND_PAYMENT")
	}
	return p.clone(), nil
}

// list is GET /v1/transactions: rows from startDate to endDate, oldest first,
// behind the one of startingAfter.
func (s *Sim) list(c *apiCall) (any, error) {
	q := c.r.URL.Query()
	from, err1 := time.ParseInLocation("2006-01-02T15:04:05", q.Get("startDate"), kst())
	to, err2 := time.ParseInLocation("2006-01-02T15:04:05", q.Get("endDate"), kst())
	limit := 100
	var err3 error
	if text := q.Get("limit"); text != "" {
		limit, err3 = strconv.Atoi(text)
	}
	if errors.Join(err1, err2, err3) != nil || limit < 1 || limit > 5000 {
		return nil, problem("INVALID_REQUEST")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := 0
	if after := q.Get("startingAfter"); after != "" {
		begin = slices.IndexFunc(s.ledger, func(t transaction) bool { return t.TransactionKey == after }) + 1
		if begin == 0 {
			return nil, problem("INVALID_REQUEST")
		}
	}
	rows := []transaction{}
	for _, row := range s.ledger[begin:] {
		at, err := time.Parse("2006-01-02T15:04:05-07:00", row.TransactionAt)
		if err == nil && !at.Before(from) && !at.After(to) && len(rows) < limit {
			rows = append(rows, row)
		}
	}
	return rows, nil
}
