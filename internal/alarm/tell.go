package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// told is the body of an event by which channels are told.
type told struct {
	Alarm  string `json:"alarm"`
	Rule   string `json:"rule"`
	Object string `json:"object"`
	Grave  bool   `json:"grave"`
	Title  string `json:"title"`
	Body   string `json:"text"`
	Link   string `json:"link"`
}

// tell records an event for each alarm that was raised or resolved and is not
// told yet. If we die between the event and the note of it the next look records
// it again, under the same key: a duplicate, which nobody works.
func (w *Watch) tell(ctx context.Context) error {
	var untold []*row
	err := w.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) (err error) {
		untold, err = readRows(ctx, tx, `told < 2 AND raised_at IS NOT NULL AND (told = 0 OR resolved_at IS NOT NULL) ORDER BY raised_at`)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range untold {
		for step := r.told; step == 0 || step == 1 && r.resolve.Valid; step++ {
			if err := w.tellOne(ctx, r, step); err != nil {
				return fmt.Errorf("tell of alarm %s: %w", r.about.rule, err)
			}
		}
	}
	return nil
}

func (w *Watch) tellOne(ctx context.Context, r *row, step int) error {
	kind := TypeRaised
	if step == 1 {
		kind = TypeResolved
	}
	if len(w.cfg.Channels) > 0 {
		body, err := json.Marshal(w.said(r, kind))
		if err != nil {
			return err
		}
		_, err = w.cfg.Record(ctx, hook.Delivery{Source: Source, Body: body},
			hook.Identity{Key: r.id + "/" + kind, Type: kind, Subject: r.id, Trust: hook.TrustInternal})
		if err != nil {
			return err
		}
	}
	return w.cfg.Store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE alarms SET told = $1 WHERE id = $2 AND told = $3`, step+1, r.id, step)
		return err
	})
}

// Routes are the channels as handlers of the queue: each has its own retries, and
// a resolved alarm is told only after its raising was.
func (w *Watch) Routes() []hook.Route {
	var all []hook.Route
	for _, ch := range w.cfg.Channels {
		all = append(all, hook.Route{Name: RouteOf(ch.Name), Source: Source, Types: TypeRaised + "," + TypeResolved, Strict: true,
			Trust: []hook.Trust{hook.TrustInternal}, Handler: hook.HandlerFunc(func(ctx context.Context, e *hook.Event) (hook.Effect, error) {
				return nil, send(ctx, ch, e)
			})})
	}
	return all
}

// RouteOf is the name of the handler that tells a channel.
func RouteOf(channel string) string { return "alarm-" + channel }

// send tells one channel. If we die after it and before the end of the job the
// next attempt tells it again, under the same key.
func send(ctx context.Context, ch Channel, e *hook.Event) error {
	var t told
	if err := json.Unmarshal(e.Body, &t); err != nil {
		return fmt.Errorf("alarm %s: its text cannot be read: %w", e.Key, hook.ErrPermanent)
	}
	text := t.Body
	if t.Link != "" {
		text += "\n" + t.Link
	}
	if err := ch.Sender.SendAlarm(ctx, hook.AlarmNotice{Key: e.Key, Kind: e.Type, Title: t.Title, Body: text}); err != nil {
		return fmt.Errorf("channel %s: %w", ch.Name, err)
	}
	return nil
}

// Alarms implements hook.AlarmBook.
func (w *Watch) Alarms(ctx context.Context, language string, limit int) ([]*hook.Alarm, error) {
	var rows []*row
	err := w.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		open, err := readRows(ctx, tx, `resolved_at IS NULL AND raised_at IS NOT NULL ORDER BY raised_at DESC LIMIT $1`, limit)
		if err != nil {
			return err
		}
		over, err := readRows(ctx, tx, `resolved_at IS NOT NULL ORDER BY resolved_at DESC LIMIT $1`, limit-len(open))
		rows = append(open, over...)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]*hook.Alarm, len(rows))
	for i, r := range rows {
		all[i] = w.shown(r, language)
	}
	return all, nil
}

// Raised tells of every rule that is watched whether an alarm of it is raised.
func (w *Watch) Raised(ctx context.Context) (map[string]bool, error) {
	all := map[string]bool{}
	for _, r := range w.rules {
		all[r.name] = false
	}
	err := w.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		open, err := readRows(ctx, tx, `resolved_at IS NULL AND raised_at IS NOT NULL`)
		for _, r := range open {
			if _, watched := all[r.about.rule]; watched {
				all[r.about.rule] = true
			}
		}
		return err
	})
	return all, err
}

func (w *Watch) shown(r *row, language string) *hook.Alarm {
	a := &hook.Alarm{ID: r.id, Rule: r.about.rule, Object: r.about.object, Since: r.since.Time, RaisedAt: r.raised.Time,
		What: w.text(language, r, ""), Do: w.text(language, r, ".do")}
	if r.resolve.Valid {
		a.ResolvedAt = &r.resolve.Time
	}
	for _, rule := range w.rules {
		if rule.name == r.about.rule {
			a.Grave, a.Page = rule.grave, rule.link(r.about.object)
		}
	}
	return a
}

// said is what channels are told, in the configured language.
func (w *Watch) said(r *row, kind string) told {
	a, texts := w.shown(r, w.cfg.Language), w.texts[w.cfg.Language]
	t := told{Alarm: a.ID, Rule: a.Rule, Object: a.Object, Grave: a.Grave}
	if kind == TypeResolved {
		t.Title = fill(texts["title.resolved"], "what", a.What)
		t.Body = fill(texts["body.resolved"], "what", a.What, "since", w.moment(a.Since), "for", w.span(r.resolve.Time.Sub(a.Since)))
	} else {
		t.Title = fill(texts["title.raised"], "what", a.What)
		t.Body = fill(texts["body.raised"], "what", a.What, "since", w.moment(a.Since), "do", a.Do)
	}
	if w.cfg.Dashboard != "" {
		t.Link = w.cfg.Dashboard + a.Page
	}
	return t
}

// moment writes a time as people of the language read it.
func (w *Watch) moment(at time.Time) string {
	if w.cfg.Language == korean {
		return at.In(time.FixedZone("KST", 9*60*60)).Format("2006-01-02 15:04 MST")
	}
	return at.UTC().Format("2006-01-02 15:04 MST")
}

// span writes a length of time in its largest unit.
func (w *Watch) span(d time.Duration) string {
	texts := w.texts[w.cfg.Language]
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fill(texts["span.s"], "n", fmt.Sprint(int(d.Seconds())))
	case d < 2*time.Hour:
		return fill(texts["span.min"], "n", fmt.Sprint(int(d.Minutes())))
	case d < 48*time.Hour:
		return fill(texts["span.h"], "n", fmt.Sprint(int(d.Hours())))
	}
	return fill(texts["span.d"], "n", fmt.Sprint(int(d.Hours()/24)))
}
