package alarm

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// secretsEvery is how often the newest delivery of each source is looked at.
const secretsEvery = 10 * time.Minute

// secretBook is what was found of the sources' secrets, and when.
type secretBook struct {
	at    time.Time
	found findings
	event map[string]string // source: the event that was looked at
}

// lookAtSecrets finds out with which secrets each source's newest event was
// signed. What cannot be read says nothing.
func (w *Watch) lookAtSecrets(ctx context.Context, found findings, now time.Time) {
	b := &w.secrets
	if b.found == nil {
		b.found, b.event = findings{}, map[string]string{}
	}
	if b.at.IsZero() || now.Sub(b.at) >= secretsEvery || now.Before(b.at) {
		b.at = now
		for _, s := range w.cfg.Sources {
			if teller, ok := s.(hook.SecretTeller); ok {
				w.lookAtSource(ctx, s.Name(), teller)
			}
		}
	}
	for key, f := range b.found {
		found[key] = f
	}
}

func (w *Watch) lookAtSource(ctx context.Context, name string, teller hook.SecretTeller) {
	page, _, err := w.cfg.Store.Events(ctx, hook.Filter{Source: name, Limit: 5})
	at := slices.IndexFunc(page, func(e *hook.EventInfo) bool { return e.Trust == hook.TrustSignature })
	b := &w.secrets
	if err == nil && at >= 0 && b.event[name] == page[at].ID || err == nil && at < 0 {
		return
	}
	rolling, old := about{ruleRolling, name}, about{ruleOld, name}
	b.found[rolling], b.found[old] = finding{level: unclear}, finding{level: unclear}
	var e *hook.EventDetail
	if err == nil {
		e, err = w.cfg.Store.Event(ctx, page[at].ID)
	}
	if err != nil {
		w.cfg.Logger.Warn("alarms: the newest event of a source cannot be read", "source", name, "error", err)
		return
	}
	if e.BodyGone {
		return
	}
	ours, others := teller.SecretsOf(http.Header(e.Headers), e.Body, e.ReceivedAt)
	b.event[name] = e.ID
	if len(ours) == 0 {
		return // signed with one that has been taken away since
	}
	b.found[rolling], b.found[old] = finding{}, finding{}
	if others > 0 {
		b.found[rolling] = finding{level: bad, value: int64(others), since: e.ReceivedAt}
	}
	if ours[0] > 0 {
		b.found[old] = finding{level: bad, value: int64(ours[0]) + 1, since: e.ReceivedAt}
	}
}
