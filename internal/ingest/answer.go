package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// reply is the body of every answer on the public listener.
type reply struct {
	Status string `json:"status"`
	Event  string `json:"event,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (d *Door) write(v *visit, code int, r reply) {
	h := v.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	v.w.WriteHeader(code)
	text, err := json.Marshal(r)
	if err == nil {
		_, _ = v.w.Write(append(text, '\n'))
	}
}

func (d *Door) meter(v *visit, o Outcome, reason hook.Reason) {
	if d.cfg.Meter != nil {
		d.cfg.Meter(v.name, o, reason, time.Since(v.began))
	}
}

func (d *Door) accept(v *visit, id hook.Identity, r hook.Receipt) {
	outcome, status := Recorded, "recorded"
	switch {
	case r.Conflict:
		outcome, status = Conflict, "duplicate"
		d.cfg.Logger.Warn("alarm: a known key came with other bytes; both verified, the first stays",
			"source", v.name, "event", r.EventID, "type", safe(id.Type))
	case r.Duplicate:
		outcome, status = Duplicate, "duplicate"
	case r.Quarantine != "":
		outcome = Quarantined
		d.cfg.Logger.Warn("alarm: quarantined, no handler sees it until it is replayed",
			"source", v.name, "event", r.EventID, "type", safe(id.Type), "reason", string(r.Quarantine))
	}
	d.write(v, http.StatusOK, reply{Status: status, Event: r.EventID})
	d.meter(v, outcome, "")
}

// unverified refuses with the sender's own status and keeps a note.
func (d *Door) unverified(v *visit, err error) {
	reason, detail := hook.ReasonBadSignature, ""
	if u, ok := errors.AsType[*hook.UnverifiedError](err); ok {
		reason, detail = u.Reason, u.Detail
	}
	d.cfg.Rejector.Reject(v.d, reason, detail)
	if reason == hook.ReasonBadConfig {
		d.cfg.Logger.Warn("refused: this source is not configured to verify it", "source", v.name, "detail", safe(detail))
	} else {
		d.cfg.Logger.Info("refused", "source", v.name, "reason", string(reason), "detail", safe(detail),
			"remote", v.d.Remote)
	}
	d.refuse(v, v.gate.refusal, reason, "")
}

func (d *Door) refuse(v *visit, code int, reason hook.Reason, why string) {
	if why != "" {
		d.cfg.Logger.Debug("refused", "source", v.name, "status", code, "why", why)
	}
	if code == http.StatusRequestEntityTooLarge {
		v.w.Header().Set("Connection", "close") // do not read what we do not want
	}
	d.write(v, code, reply{Status: "rejected", Reason: string(reason)})
	d.meter(v, Rejected, reason)
}

func (d *Door) busy(v *visit) {
	v.w.Header().Set("Retry-After", "1")
	d.write(v, http.StatusTooManyRequests, reply{Status: "busy", Reason: string(hook.ReasonRate)})
	d.meter(v, Busy, hook.ReasonRate)
}

// unavailable sheds: the sender tries again, and finds a duplicate if the row
// exists after all.
func (d *Door) unavailable(v *visit, err error) {
	level := slog.LevelError
	if errors.Is(err, hook.ErrOverloaded) || d.draining() {
		level = slog.LevelDebug
	}
	d.cfg.Logger.Log(v.r.Context(), level, "not recorded, answered 503", "source", v.name, "error", safe(err.Error()))
	v.w.Header().Set("Retry-After", "2")
	d.write(v, http.StatusServiceUnavailable, reply{Status: "unavailable", Reason: string(hook.ReasonUnavailable)})
	d.meter(v, Unavailable, hook.ReasonUnavailable)
}

// safe makes foreign text fit for one line of a log or terminal.
func safe(s string) string {
	if len(s) > 300 {
		s = s[:300]
	}
	quoted := fmt.Sprintf("%+q", s)
	return quoted[1 : len(quoted)-1]
}

func peer(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	return ap.Addr().Unmap(), err == nil
}
