package tosstest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Fault is one thing that goes wrong, once. Which actions a target knows is in
// Targets; an action in capitals at an API is short for the error of that code.
type Fault struct {
	Action string         `json:"action"`
	Code   string         `json:"code,omitempty"`   // of error, refuse, reject, stickyRendered, throwOnInit
	Status int            `json:"status,omitempty"` // of status and error
	MS     int            `json:"ms,omitempty"`     // of slow, drip, delay, and ok of an operation
	N      int            `json:"n,omitempty"`      // of duplicate: deliveries in all, default 2
	Cache  bool           `json:"cache,omitempty"`  // of hang at script: what came may be cached
	Set    map[string]any `json:"set,omitempty"`    // of alter: top-level fields of the answer
}

// Targets names what can go wrong and the actions that each target knows.
// docs/toss-sandbox.md says what they do.
func Targets() map[string][]string {
	operation := []string{"ok", "reject", "throwPlain", "hang"}
	call := []string{"ok", "error", "500", "429", "slow", "drip", "timeoutBeforeCommit", "timeoutAfterCommit",
		"reset", "resetAfterCommit", "garbage", "alter"}
	return map[string][]string{
		"script": {"ok", "status", "reset", "hang", "hangNoHeaders", "slow", "html", "noNamespace", "syntaxError",
			"throwOnInit", "v1"},
		"setAmount":            operation,
		"renderPaymentMethods": append(slices.Clone(operation), "stickyRendered", "frame404"),
		"renderAgreement":      append(slices.Clone(operation), "stickyRendered", "frame404"),
		"requestPayment":       append(slices.Clone(operation), "resolveNoNav"),
		"destroy":              operation,
		"confirm":              append(slices.Clone(call), "refuse"),
		"get":                  call,
		"cancel":               call,
		"transactions":         call,
		"webhook": {"ok", "drop", "duplicate", "delay", "reorder", "beforeConfirmAnswers", "contradict", "staleTime",
			"emptySignature", "missingHeaders", "badSignature", "truncatedBody"},
	}
}

// capitals is the form of an error code.
var capitals = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)

// check makes short forms long, and says what is wrong.
func (f *Fault) check(target string) error {
	actions, ok := Targets()[target]
	if !ok {
		return fmt.Errorf("tosstest: fault target %q: want one of %s", target,
			strings.Join(slices.Sorted(maps.Keys(Targets())), ", "))
	}
	if slices.Contains(actions, "error") && capitals.MatchString(f.Action) {
		f.Action, f.Code = "error", f.Action
	}
	if !slices.Contains(actions, f.Action) {
		return fmt.Errorf("tosstest: fault action %q: %s knows %s", f.Action, target, strings.Join(actions, ", "))
	}
	coded := slices.Contains([]string{"error", "refuse", "reject", "stickyRendered", "throwOnInit"}, f.Action)
	if coded && f.Code == "" {
		return fmt.Errorf("tosstest: fault action %s at %s: needs a code", f.Action, target)
	}
	if f.Action == "status" && (f.Status < 400 || f.Status > 599) {
		return fmt.Errorf("tosstest: fault action status at %s: needs a status from 400 to 599", target)
	}
	if f.MS < 0 || f.MS > 600_000 || f.N < 0 || f.N > 1000 || f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("tosstest: fault action %s at %s: ms up to 600000, n up to 1000, status 200 to 599", f.Action, target)
	}
	return nil
}

// Fault orders what shall go wrong at a target: each fault once, in this order,
// behind those that are already ordered; afterwards all is well again. The
// target webhook counts events, not attempts to deliver them. On an error nothing
// is ordered.
func (s *Sim) Fault(target string, faults ...Fault) error {
	return s.orderFaults(map[string][]Fault{target: faults})
}

func (s *Sim) orderFaults(all map[string][]Fault) error {
	for target, faults := range all {
		for i := range faults {
			if err := faults[i].check(target); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for target, faults := range all {
		s.faults[target] = append(s.faults[target], faults...)
	}
	return nil
}

// Faults returns what is left of the ordered faults, by target.
func (s *Sim) Faults() map[string][]Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := map[string][]Fault{}
	for target, faults := range s.faults {
		if len(faults) > 0 {
			left[target] = slices.Clone(faults)
		}
	}
	return left
}

// ClearFaults forgets the ordered faults. What hangs goes on hanging.
func (s *Sim) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = map[string][]Fault{}
}

// take gives the next fault of a target. The caller holds mu.
func (s *Sim) take(target string) Fault {
	queue := s.faults[target]
	if len(queue) == 0 {
		return Fault{Action: "ok"}
	}
	s.faults[target] = queue[1:]
	return queue[0]
}

// ReleaseHung lets everything go that hangs by a fault: scripts and operations
// go on as if they were only slow, calls of the API end without an answer, and
// deliveries that wait to be reordered are sent.
func (s *Sim) ReleaseHung() {
	s.mu.Lock()
	for c := range s.hung {
		close(c)
	}
	clear(s.hung)
	for id := range s.hangs {
		s.hangs[id] = true
	}
	held := s.held
	s.held = nil
	s.count(held)
	s.mu.Unlock()
	s.launch(held)
}

// Hung is how many connections hang by a fault, and operations in pages.
func (s *Sim) Hung() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.hung)
	for _, released := range s.hangs {
		if !released {
			n++
		}
	}
	return n
}

// hang blocks until ReleaseHung, Close, or the end of ctx; it reports whether it
// was released.
func (s *Sim) hang(ctx context.Context) bool {
	c := make(chan struct{})
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return false
	}
	s.hung[c] = true
	s.mu.Unlock()
	select {
	case <-c:
		return s.ctx.Err() == nil
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.hung, c)
		s.mu.Unlock()
		return false
	}
}

// pause waits on the wall clock, for the faults that order it, and reports
// whether it waited to the end.
func (s *Sim) pause(ctx context.Context, ms int) bool {
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// destroy ends a connection with a reset, so that its caller sees a lost
// connection and not a short answer. It does not return.
func destroy(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // without it the end would be an orderly one
		}
		_ = conn.Close() // the other side sees what it sees
	}
	panic(http.ErrAbortHandler)
}
