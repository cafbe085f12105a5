package alarm

import (
	"time"
)

// How a source's habit is learnt: by the hour, over four weeks, from what the
// counters keep anyway.
const (
	week      = 7 * 24 // hours
	weeks     = 4
	leastWeek = 2 // weeks that must be known before anything is said
	around    = 2 // hours before and after the same time of the week that count too
	startRest = time.Hour
)

// pastHours are the hours in which each source delivered something.
type pastHours struct {
	active map[string]map[int64]bool
	until  int64 // read up to this hour
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// from is the time from which the hours are to be read: everything at first, and
// then what may have changed.
func (p *pastHours) from(now time.Time) time.Time {
	hour := hourOf(now) - weeks*week - week
	if p.active != nil {
		hour = max(hour, p.until-1)
	}
	return time.Unix(hour*3600, 0)
}

func (p *pastHours) add(hours map[string][]int64, now time.Time) {
	if p.active == nil {
		p.active = map[string]map[int64]bool{}
	}
	p.until = hourOf(now)
	oldest := p.until - weeks*week - week
	for source, list := range hours {
		if p.active[source] == nil {
			p.active[source] = map[int64]bool{}
		}
		for _, h := range list {
			p.active[source][h] = true
		}
	}
	for _, all := range p.active {
		for h := range all {
			if h < oldest {
				delete(all, h)
			}
		}
	}
}

// pause counts the hours without anything right before an hour. known is false
// where nothing came before them at all.
func pause(active map[int64]bool, before, first int64) (n int64, known bool) {
	for h := before - 1; h >= first; h-- {
		if active[h] {
			return before - 1 - h, true
		}
	}
	return 0, false
}

// usualPause is the longest pause around the same time of the weeks before;
// known is false without two weeks of history.
func usualPause(active map[int64]bool, hour int64) (longest int64, known bool) {
	first := hour
	for h := range active {
		first = min(first, h)
	}
	seen := 0
	for back := int64(1); back <= weeks; back++ {
		whole := true
		most := int64(0)
		for d := int64(-around); d <= around; d++ {
			n, ok := pause(active, hour-back*week+d, first)
			whole = whole && ok
			most = max(most, n)
		}
		if whole {
			seen++
			longest = max(longest, most)
		}
	}
	return longest, seen >= leastWeek
}

// silence compares the present pause of a source with its habit. It is bad from
// twice the longest one on, and an hour more: what comes irregularly has longer
// pauses to be compared with. It ends only when the source speaks again.
func (w *Watch) silence(source string, now, mine time.Time) (finding, bool) {
	active, hour := w.past.active[source], hourOf(now)
	if len(active) == 0 {
		return finding{}, false
	}
	if active[hour] || active[hour-1] {
		return finding{level: calm}, true
	}
	usual, known := usualPause(active, hour)
	quiet, spoken := pause(active, hour, hour-weeks*week)
	least := int64((w.cfg.Silence + time.Hour - 1) / time.Hour)
	// While we were not there ourselves nobody could deliver: after a start the
	// senders get an hour to try again.
	fresh := mine.Sub(w.started) < startRest
	f := finding{level: unclear, value: quiet, since: time.Unix((hour-quiet)*3600, 0)}
	if known && spoken && !fresh && quiet >= max(2*usual+2, least) {
		f.level = bad
	}
	return f, true
}
