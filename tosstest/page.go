package tosstest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// sdkScript is built from web/sandbox/sdk.ts.
//
//go:embed assets/sdk.js
var sdkScript string

//go:embed assets/window.html
var windowPage string

//go:embed assets/frame.html
var framePage string

// Op is one step of the script in a page: its loading, or a call of a method.
type Op struct {
	At      time.Time `json:"at"`
	Op      string    `json:"op"`              // script, setAmount, renderPaymentMethods, renderAgreement, requestPayment, destroy
	Query   string    `json:"query,omitempty"` // of the script's address
	OrderID string    `json:"orderId,omitempty"`
	Action  string    `json:"action"` // ok or the fault that it met
}

// Ops returns every operation so far, oldest first.
func (s *Sim) Ops() []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ops)
}

// begin notes an operation and takes its fault.
func (s *Sim) begin(op Op) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.take(op.Op)
	op.At, op.Action = s.clock.now(), f.Action
	keep(&s.ops, op)
	return f
}

// script serves the stand-in for js.tosspayments.com/v2/standard.
func (s *Sim) script(w http.ResponseWriter, r *http.Request) {
	f := s.begin(Op{Op: "script", Query: r.URL.RawQuery})
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if f.Cache {
		h.Set("Cache-Control", "max-age=3600")
	}
	body := sdkScript
	switch f.Action {
	case "status":
		http.Error(w, "not now", f.Status)
		return
	case "reset":
		destroy(w)
	case "hang":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // the headers; what follows comes late or never
		if !s.hang(r.Context()) {
			return
		}
	case "hangNoHeaders":
		if !s.hang(r.Context()) {
			destroy(w)
		}
	case "slow":
		if !s.pause(r.Context(), f.MS) {
			return
		}
	case "html":
		h.Set("Content-Type", "text/html; charset=utf-8")
		body = "<!doctype html><title>Wi-Fi</title><p>Please log in to this network."
	case "noNamespace":
		body = "/* nothing here */"
	case "syntaxError":
		body = "var = ;"
	case "throwOnInit":
		body = "window.__hkThrowOnInit=" + string(marshal(f.Code)) + ";" + body
	case "v1":
		body = "window.TossPayments=function(){return{requestPayment:function(){return Promise.reject(new Error('v1'))}}};"
	}
	_, _ = w.Write([]byte(body)) // the page may have gone
}

// crossOrigin lets pages of any shop call what the script calls.
func crossOrigin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Headers", "content-type")
		h.Set("Access-Control-Max-Age", "600")
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next(w, r)
	}
}

// verdict is what the script is told to do in an operation.
type verdict struct {
	Action  string `json:"action"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	MS      int    `json:"ms,omitempty"`
	Hang    string `json:"hang,omitempty"` // ask /sdk/hung/{hang} until it is over
}

// operation is asked by the script before each of its methods does anything.
func (s *Sim) operation(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		OrderID string `json:"orderId"`
	}
	_ = json.NewDecoder(r.Body).Decode(&ask) // only for the log
	name := r.PathValue("op")
	if !slices.Contains([]string{"setAmount", "renderPaymentMethods", "renderAgreement", "requestPayment", "destroy"}, name) {
		http.NotFound(w, r)
		return
	}
	f := s.begin(Op{Op: name, OrderID: ask.OrderID})
	v := verdict{Action: f.Action, Code: f.Code, MS: f.MS}
	if f.Code != "" {
		v.Message = text(f.Code, english(r))
	}
	if f.Action == "hang" {
		s.mu.Lock()
		s.serial++
		v.Hang = fmt.Sprint(s.serial)
		s.hangs[v.Hang] = false
		s.mu.Unlock()
	}
	writeJSON(w, http.StatusOK, v)
}

// hungOperation tells a page whether its operation still hangs. The page asks
// again and again instead of holding a connection, of which a browser has only
// six to one host.
func (s *Sim) hungOperation(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	released, known := s.hangs[r.PathValue("id")]
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]bool{"hangs": known && !released})
}

// frame is the content of the two iframes.
func (s *Sim) frame(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	parent, err := url.Parse(q.Get("parent"))
	kind := q.Get("k")
	if err != nil || parent.Host == "" || kind != "methods" && kind != "agreement" || q.Has("missing") {
		http.NotFound(w, r)
		return
	}
	s.page(w, r, framePage, map[string]any{
		"Methods": kind == "methods", "ID": q.Get("id"), "Parent": parent.Scheme + "://" + parent.Host,
	})
}

// open is called by the script when the buyer wants to pay.
func (s *Sim) open(w http.ResponseWriter, r *http.Request) {
	var o Order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		s.refusePage(w, r, problem("INVALID_PARAMETERS"))
		return
	}
	p, err := s.Open(o)
	if err != nil {
		s.refusePage(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"paymentKey": p.PaymentKey, "url": "/pay/" + p.PaymentKey})
}

func (s *Sim) refusePage(w http.ResponseWriter, r *http.Request, err error) {
	if code := Code(err); code != "" {
		m := meaningOf(code)
		writeJSON(w, m.status, Failure{code, text(code, english(r))})
		return
	}
	writeJSON(w, http.StatusConflict, Failure{"SANDBOX", err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(v)) // whoever asked may have gone
}

// windowView is what the payment window shows.
type windowView struct {
	Payment Payment
	Amount  string
	Text    map[string]string
	Problem string
	Receipt bool
}

// window is the payment window.
func (s *Sim) window(w http.ResponseWriter, r *http.Request) {
	p, ok := s.Payment(r.PathValue("paymentKey"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	v := windowView{Payment: p, Amount: grouped(p.TotalAmount), Text: windowTexts(r), Receipt: strings.HasPrefix(r.URL.Path, "/receipt/")}
	if p.Status != StatusReady && !v.Receipt {
		v.Problem = v.Text["over"]
	}
	s.page(w, r, windowPage, v)
}

// decide is a button of the payment window.
func (s *Sim) decide(w http.ResponseWriter, r *http.Request) {
	key, how := r.PathValue("paymentKey"), r.PathValue("how")
	var to string
	var err error
	if how == "authorize" {
		to, err = s.Authorize(key)
	} else {
		to, err = s.Decline(key, how)
	}
	switch {
	case Code(err) != "":
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// page renders one of our pages in the reader's language.
func (s *Sim) page(w http.ResponseWriter, r *http.Request, source string, v any) {
	t, err := template.New("page").Funcs(consoleFuncs(r)).Parse(source)
	if err != nil {
		panic("tosstest: " + err.Error()) // an embedded page
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_ = t.Execute(w, v) // the reader may have gone
}

// language is ko or en, by the query or the browser's wish.
func language(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); l == "ko" || l == "en" {
		return l
	}
	if english(r) {
		return "en"
	}
	return "ko"
}

func windowTexts(r *http.Request) map[string]string {
	if language(r) == "en" {
		return map[string]string{
			"title": "Sandbox payment window", "note": "No money moves here.", "order": "Order", "amount": "Amount",
			"method": "Method", "authorize": "Approve", "reject": "Card refused", "abort": "Break off", "cancel": "Cancel",
			"close": "Close the window", "over": "This payment cannot be approved any more.", "status": "Status",
		}
	}
	return map[string]string{
		"title": "모의 결제창", "note": "실제 돈은 움직이지 않아요.", "order": "주문", "amount": "금액",
		"method": "결제수단", "authorize": "결제하기", "reject": "카드사 거절", "abort": "결제 중단", "cancel": "취소",
		"close": "창 닫기", "over": "더 이상 결제할 수 없는 상태예요.", "status": "상태",
	}
}

// grouped writes an amount with separators.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
