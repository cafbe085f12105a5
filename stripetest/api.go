package stripetest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxCalls is how many requests are remembered, for a double that runs for days.
const maxCalls = 20_000

// collections are the folders of the API and the kind of object in each.
func collections() map[string]string {
	return map[string]string{"subscriptions": "subscription", "customers": "customer", "invoices": "invoice",
		"payment_intents": "payment_intent", "charges": "charge", "refunds": "refund", "disputes": "dispute",
		"checkout/sessions": "checkout.session"}
}

// ServeHTTP answers GET /v1/… of a caller that shows any key.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, body := s.answer(r)
	fault := s.strike(r.URL.Path)
	if fault != nil && fault.Status != 0 {
		status, body = fault.Status, failure("api_error", "api_error")
	}
	call := Call{Path: r.URL.RequestURI(), Version: r.Header.Get("Stripe-Version"), Account: r.Header.Get("Stripe-Account"), Status: status}
	if fault != nil && fault.Hang != nil {
		call.Status = 0
	}
	if len(s.calls) >= maxCalls {
		s.calls = slices.Delete(s.calls, 0, maxCalls/2)
	}
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_sim")
	if fault != nil && !fault.play(w, r, body) {
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone needs no answer
}

// play does what a fault says; false means that the answer is given.
func (f *Fault) play(w http.ResponseWriter, r *http.Request, body []byte) bool {
	if f.Gate != nil {
		f.Gate(r.URL.Path)
	}
	if f.Hang != nil {
		select {
		case <-f.Hang:
		case <-r.Context().Done():
		}
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	switch {
	case f.Garbage:
		_, _ = w.Write([]byte("<html>Bad Gateway"))
		return false
	case f.Cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush() // else nothing is sent, and a client asks again by itself
		panic(http.ErrAbortHandler)
	}
	return true
}

func failure(kind, code string) []byte {
	return encode(map[string]any{"error": map[string]any{"type": kind, "code": code, "message": "as ordered"}})
}

// answer finds what a request asks for; mu is held.
func (s *Sim) answer(r *http.Request) (int, []byte) {
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		return http.StatusUnauthorized, failure("invalid_request_error", "")
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, failure("invalid_request_error", "")
	}
	path, q := strings.TrimPrefix(r.URL.Path, "/v1/"), r.URL.Query()
	if path == "events" {
		return s.list("/v1/events", s.visible(q), q)
	}
	if id, ok := strings.CutPrefix(path, "events/"); ok {
		for _, e := range s.events {
			if e.event["id"] == id {
				return http.StatusOK, encode(e.event)
			}
		}
		return http.StatusNotFound, failure("invalid_request_error", "resource_missing")
	}
	for folder, kind := range collections() {
		if path == folder {
			return s.list("/v1/"+folder, s.ofKind(kind, q), q)
		}
		if id, ok := strings.CutPrefix(path, folder+"/"); ok {
			if o, known := s.objects[id]; known && o["object"] == kind {
				return http.StatusOK, encode(s.expanded(o, q["expand[]"], ""))
			}
			return http.StatusNotFound, failure("invalid_request_error", "resource_missing")
		}
	}
	return http.StatusNotFound, failure("invalid_request_error", "url_invalid")
}

// visible gives the events that lists show now, newest first.
func (s *Sim) visible(q url.Values) []Object {
	var all []Object
	for _, e := range slices.Backward(s.events) {
		kind, _ := e.event["type"].(string)
		if e.visible.After(s.now) || q.Get("type") != "" && q.Get("type") != kind ||
			q.Has("types[]") && !slices.Contains(q["types[]"], kind) || !within(e.event["created"], "created", q) {
			continue
		}
		all = append(all, e.event)
	}
	// Of equal seconds the order says nothing.
	slices.SortStableFunc(all, func(a, b Object) int { return int(number(b["created"]) - number(a["created"])) })
	return all
}

// ofKind gives the objects of a kind, newest first.
func (s *Sim) ofKind(kind string, q url.Values) []Object {
	var all []Object
	for _, id := range slices.Backward(s.order) {
		o := s.objects[id]
		status, _ := o["status"].(string)
		want := q.Get("status")
		shown := want == "all" || want == status || want == "" && status != "canceled"
		if o["object"] != kind || kind == "subscription" && !shown ||
			q.Get("customer") != "" && o["customer"] != q.Get("customer") || !within(o["created"], "created", q) {
			continue
		}
		all = append(all, s.expanded(o, q["expand[]"], "data."))
	}
	return all
}

// within reports whether a time passes the bounds of a query.
func within(value any, name string, q url.Values) bool {
	at := number(value)
	for op, ok := range map[string]func(limit int64) bool{
		"gte": func(l int64) bool { return at >= l }, "gt": func(l int64) bool { return at > l },
		"lte": func(l int64) bool { return at <= l }, "lt": func(l int64) bool { return at < l },
	} {
		if text := q.Get(name + "[" + op + "]"); text != "" {
			if limit, err := strconv.ParseInt(text, 10, 64); err != nil || !ok(limit) {
				return false
			}
		}
	}
	return true
}

func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case int:
		return int64(n)
	case float64:
		return int64(n)
	}
	return 0
}

// list cuts a page out of all, which are newest first.
func (s *Sim) list(path string, all []Object, q url.Values) (int, []byte) {
	limit := 10
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			return http.StatusBadRequest, failure("invalid_request_error", "parameter_invalid_integer")
		}
		limit = n
	}
	if after := q.Get("starting_after"); after != "" {
		at := slices.IndexFunc(all, func(o Object) bool { return o["id"] == after })
		if at < 0 {
			return http.StatusBadRequest, failure("invalid_request_error", "resource_missing")
		}
		all = all[at+1:]
	}
	page := all[:min(limit, len(all))]
	if page == nil {
		page = []Object{}
	}
	return http.StatusOK, encode(map[string]any{"object": "list", "url": path, "has_more": len(page) < len(all), "data": page})
}

// expanded puts objects where their ids are asked to be expanded.
func (s *Sim) expanded(o Object, paths []string, prefix string) Object {
	for _, path := range paths {
		field, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		id, _ := o[field].(string)
		if whole, known := s.objects[id]; known {
			o = clone(o)
			o[field] = map[string]any(whole)
		}
	}
	return o
}

// Subscription is the smallest subscription that hookkeeper reads, in the shape
// of the present API: one item with its own period.
func Subscription(id, customer, user, status string, start, end time.Time) Object {
	return Object{
		"id": id, "object": "subscription", "customer": customer, "status": status, "created": start.Unix(),
		"cancel_at": nil, "cancel_at_period_end": false, "canceled_at": nil, "ended_at": nil, "trial_end": nil,
		"latest_invoice": nil, "livemode": false, "metadata": map[string]any{"user_id": user},
		"items": map[string]any{"object": "list", "has_more": false, "data": []any{map[string]any{
			"id": "si_" + id, "object": "subscription_item", "quantity": 1,
			"current_period_start": start.Unix(), "current_period_end": end.Unix(),
			"price": map[string]any{"id": "price_1HKtestPro", "object": "price", "lookup_key": "pro_monthly"},
		}}},
	}
}

// Invoice is the smallest invoice that hookkeeper reads, in the shape of the
// present API.
func Invoice(id, subscription, customer, user, status string, amount int64, created time.Time) Object {
	paid := int64(0)
	if status == "paid" {
		paid = amount
	}
	return Object{
		"id": id, "object": "invoice", "customer": customer, "status": status, "created": created.Unix(), "currency": "krw",
		"amount_due": amount, "amount_paid": paid, "attempt_count": 1, "next_payment_attempt": nil, "livemode": false,
		"parent": map[string]any{"type": "subscription_details", "subscription_details": map[string]any{
			"subscription": subscription, "metadata": map[string]any{"user_id": user}}},
	}
}
