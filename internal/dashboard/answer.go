package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
)

// actorOf names who asks, for the audit trail.
func actorOf(r *http.Request) string { return visitorOf(r.Context()).name }

// problem writes an error as RFC 9457 asks. The type is about:blank, so the
// title is the status text; detail says what, where and what to do.
func problem(w http.ResponseWriter, status int, detail string) {
	body := marshal(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a peer that has gone needs no answer
}

// answer writes one JSON value.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(marshal(v), '\n')) // as above
}

// badInput is a parameter or field that cannot be used. It is the caller's to
// mend, so its text is shown whole.
type badInput struct{ name, why string }

func (e *badInput) Error() string { return fmt.Sprintf("%s: %s", e.name, e.why) }

// fail answers an error: what the ledger decided by its status, everything else
// as unavailable, with the cause in the log only.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if bad, ok := errors.AsType[*badInput](err); ok {
		problem(w, http.StatusBadRequest, bad.Error())
		return
	}
	if said, ok := errors.AsType[*hook.Problem](err); ok {
		problem(w, said.Status, said.Detail)
		return
	}
	switch {
	case errors.Is(err, hook.ErrBadFilter):
		problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, hook.ErrNotFound):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, hook.ErrRefused):
		problem(w, http.StatusConflict, err.Error())
	case r.Context().Err() != nil:
		// The peer has gone; nobody reads an answer.
	default:
		a.log.Error("operator request", "method", r.Method, "route", r.Pattern, "error", err.Error())
		w.Header().Set("Retry-After", "2")
		problem(w, http.StatusServiceUnavailable, "the event log cannot be read now, the log of hookkeeper says why")
	}
}

// marshal encodes v without a byte that could steer a terminal: encoding/json
// leaves DEL, the C1 controls and the signs that turn the direction of text as
// they are, so they are escaped here. They occur only inside strings.
func marshal(v any) []byte {
	plain, err := json.Marshal(v)
	if err != nil {
		panic("dashboard: encode an answer: " + err.Error()) // only own types come here
	}
	return harmless(plain)
}

// encode is marshal for values of others.
func encode(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return harmless(plain), nil
}

func harmless(plain []byte) []byte {
	if !bytes.ContainsFunc(plain, steers) {
		return plain
	}
	out := make([]byte, 0, len(plain)+32)
	for len(plain) > 0 {
		r, n := utf8.DecodeRune(plain)
		switch {
		case !steers(r):
			out = append(out, plain[:n]...)
		case r > 0xffff:
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		plain = plain[n:]
	}
	return out
}

func steers(r rune) bool {
	return r >= 0x7f && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp))
}
