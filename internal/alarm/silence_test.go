package alarm_test

import (
	"context"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/alarm"
	"github.com/hookkeeper/hookkeeper/source"
)

// spoke notes that a source delivered something within each of these hours.
func (p *place) spoke(name string, hours ...time.Time) {
	p.Helper()
	query := `INSERT INTO counters (hour, source, type, outcome, n` + p.slot + `) VALUES ($1, $2, 'x', 'recorded', 1`
	if p.slot != "" {
		query += ", 0"
	}
	err := p.Apply(p.Context(), func(ctx context.Context, tx hook.Tx) error {
		for _, at := range hours {
			if _, err := tx.ExecContext(ctx, query+`) ON CONFLICT DO NOTHING`, at.Unix()/3600, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.Fatal(err)
	}
}

// working are the hours from nine to eighteen of the weekdays of so many days.
func working(until time.Time, days int) (all []time.Time) {
	for at := until.AddDate(0, 0, -days).Truncate(time.Hour); at.Before(until); at = at.Add(time.Hour) {
		if at.Hour() >= 9 && at.Hour() < 18 && at.Weekday() != time.Saturday && at.Weekday() != time.Sunday {
			all = append(all, at)
		}
	}
	return all
}

// TestASourceFallsSilent in the middle of a working day: nights and weekends that
// it always had are no news, a Tuesday morning without anything is.
func TestASourceFallsSilent(t *testing.T) {
	onEach(t, func(p *place) {
		p.clock.Advance(17 * time.Hour) // Monday, 2 March, two in the morning
		monday := p.clock.Now().Truncate(24 * time.Hour)
		p.spoke("stripe", working(monday, 30)...)
		w := p.watch(func(c *alarm.Config) { c.Sources = []hook.Source{source.Stripe("stripe", newSecret)} })
		for hour := range 30 { // until Tuesday, eight in the morning
			at := p.clock.Now()
			if at.Hour() >= 9 && at.Hour() < 18 {
				p.spoke("stripe", at)
			}
			p.looks(w, time.Minute)
			p.clock.Advance(59 * time.Minute)
			if hour > 0 && len(p.told("source_silent")) > 0 {
				p.Fatalf("raised at %s, when it always is silent", at)
			}
		}
		raised := time.Time{}
		for range 16 { // Tuesday without a word
			p.looks(w, time.Minute)
			p.clock.Advance(59 * time.Minute)
			if raised.IsZero() && len(p.told("source_silent")) > 0 {
				raised = p.clock.Now()
			}
		}
		p.want("source_silent", "raised")
		if raised.Hour() < 10 || raised.Hour() > 14 {
			p.Errorf("raised at %s, want it before two in the afternoon", raised)
		}
		p.spoke("stripe", p.clock.Now())
		p.looks(w, 5*time.Minute)
		p.want("source_silent", "raised", "resolved")
	})
}

// TestSilenceNeedsHistory: a source of a few days is not judged, nor one that
// speaks too rarely to have a habit, nor anybody right after a start.
func TestSilenceNeedsHistory(t *testing.T) {
	onEach(t, func(p *place) {
		now := p.clock.Now()
		before := func(hours int) (all []time.Time) {
			for h := range hours {
				all = append(all, now.Add(-time.Duration(h+20)*time.Hour))
			}
			return all
		}
		p.spoke("young", before(12*24)...)
		p.spoke("rare", now.AddDate(0, 0, -33), now.AddDate(0, 0, -17))
		p.spoke("steady", before(30*24)...)
		var sources []hook.Source
		for _, name := range []string{"young", "rare", "steady", "never"} {
			sources = append(sources, source.Stripe(name, newSecret))
		}
		w := p.watch(func(c *alarm.Config) { c.Sources = sources })
		p.looks(w, 30*time.Minute)
		p.want("source_silent") // the senders have an hour to come back
		p.looks(w, time.Hour)
		p.want("source_silent", "raised")
		all, err := w.Alarms(p.Context(), "en", 10)
		if err != nil || len(all) != 1 || all[0].Object != "steady" {
			p.Errorf("raised %+v, %v, want steady alone", all, err)
		}
	})
}
