package tosstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// control adds the control API, which has for people and scripts what Sim's
// methods have for Go. Pages of other sites may not call it.
func (s *Sim) control(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	handle := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.Handle(pattern, guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			v, err := f(r)
			if err == nil {
				writeJSON(w, http.StatusOK, v)
				return
			}
			status, code := http.StatusBadRequest, "SANDBOX"
			if c := Code(err); c != "" {
				status, code = meaningOf(c).status, c
			}
			writeJSON(w, status, Failure{code, err.Error()})
		})))
	}
	handle("GET /__sim/faults", func(*http.Request) (any, error) {
		return map[string]any{"faults": s.Faults(), "targets": Targets(), "ops": list(s.Ops()), "calls": list(s.Calls()), "hung": s.Hung()}, nil
	})
	handle("PUT /__sim/faults", s.putFaults)
	handle("DELETE /__sim/faults", func(*http.Request) (any, error) { s.ClearFaults(); return done() })
	handle("POST /__sim/release", func(*http.Request) (any, error) { s.ReleaseHung(); return done() })
	handle("POST /__sim/reset", func(*http.Request) (any, error) { s.Reset(); return done() })
	handle("GET /__sim/payments", func(*http.Request) (any, error) { return list(s.Payments()), nil })
	handle("GET /__sim/payments/{key}", func(r *http.Request) (any, error) {
		if p, ok := s.Payment(r.PathValue("key")); ok {
			return p, nil
		}
		return nil, problem("NOT_FOUND_PAYMENT")
	})
	handle("POST /__sim/payments", s.openByControl)
	handle("POST /__sim/payments/{key}/{what}", s.act)
	handle("GET /__sim/webhooks", func(*http.Request) (any, error) { return list(s.Deliveries()), nil })
	handle("POST /__sim/webhooks", func(r *http.Request) (any, error) {
		var b ByHand
		if err := decode(r, &b); err != nil {
			return nil, err
		}
		if err := s.SendByHand(b); err != nil {
			return nil, err
		}
		return done()
	})
	handle("GET /__sim/clock", func(*http.Request) (any, error) { return map[string]string{"now": stamp(s.Now())}, nil })
	handle("POST /__sim/clock", s.advanceByControl)
}

// done is the answer to what was done and has nothing to tell.
func done() (any, error) { return map[string]bool{"ok": true}, nil }

// list makes an empty list of none, for JSON.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// decode reads a body of JSON in which every field must be known; an empty one
// leaves v as it is.
func decode(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil && err != io.EOF {
		return fmt.Errorf("tosstest: body of %s %s: %v", r.Method, r.URL.Path, err)
	}
	return nil
}

func (s *Sim) putFaults(r *http.Request) (any, error) {
	var all map[string][]Fault
	if err := decode(r, &all); err != nil {
		return nil, err
	}
	if err := s.orderFaults(all); err != nil {
		return nil, err
	}
	return map[string]any{"faults": s.Faults()}, nil
}

// openByControl makes a payment without a page. With ?authorize its buyer has
// approved, and the answer says where the window would send them.
func (s *Sim) openByControl(r *http.Request) (any, error) {
	var o Order
	if err := decode(r, &o); err != nil {
		return nil, err
	}
	if !r.URL.Query().Has("authorize") {
		return s.Open(o)
	}
	key, to, err := s.Pay(o)
	if err != nil {
		return nil, err
	}
	return map[string]string{"paymentKey": key, "successUrl": to}, nil
}

// act does to a payment what the outside world does.
func (s *Sim) act(r *http.Request) (any, error) {
	key := r.PathValue("key")
	var ask struct {
		Status string `json:"status"`
		Amount int64  `json:"amount"`
		Reason string `json:"reason"`
	}
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	switch what := r.PathValue("what"); what {
	case "deposit":
		return s.Deposit(key)
	case "depositError":
		return s.RevertDeposit(key)
	case "expire":
		return s.Expire(key)
	case "capture":
		return s.Capture(key)
	case "refund":
		if ask.Reason == "" {
			ask.Reason = "상점 관리자 취소"
		}
		return s.Refund(key, ask.Amount, ask.Reason)
	case "forceStatus":
		return s.ForceStatus(key, ask.Status)
	case "authorize":
		to, err := s.Authorize(key)
		return map[string]string{"successUrl": to}, err
	case "reject", "abort", "cancel":
		to, err := s.Decline(key, what)
		return map[string]string{"failUrl": to}, err
	default:
		return nil, fmt.Errorf("tosstest: %q: want deposit, depositError, expire, capture, refund, forceStatus, "+
			"authorize, reject, abort or cancel", what)
	}
}

func (s *Sim) advanceByControl(r *http.Request) (any, error) {
	var ask struct {
		Advance string `json:"advance"`
	}
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(ask.Advance)
	if err != nil || d < 0 || d > maxAdvance {
		return nil, fmt.Errorf("tosstest: advance %q: want a time such as 11m, up to a year", ask.Advance)
	}
	s.Advance(d)
	return map[string]string{"now": stamp(s.Now())}, nil
}

// maxAdvance keeps the clock within years that can be written.
const maxAdvance = 366 * 24 * time.Hour
