package history

import "fmt"

// count adds one key to the totals, in the categories of a set checker.
func (c *checker) count(e *entry) {
	n := &c.report.Counts
	n.Events += len(e.rows)
	n.Conflicts += len(e.conflicts)
	for _, j := range e.jobs {
		n.Transitions += len(j.transitions)
		for _, g := range j.generations {
			n.Effects += g.effects
		}
	}
	attempted, acknowledged := c.countDeliveries(e)
	stored := len(e.rows) > 0
	for _, f := range []struct {
		when bool
		n    *int
	}{
		{attempted, &n.Attempted},
		{acknowledged, &n.Acknowledged},
		{stored && attempted && !acknowledged, &n.Recovered},
		{!stored && acknowledged, &n.Lost},
		{stored && !attempted, &n.Unexpected},
		{len(e.rows) > 1, &n.Duplicated},
	} {
		if f.when {
			*f.n++
		}
	}
}

func (c *checker) countDeliveries(e *entry) (attempted, acknowledged bool) {
	n := &c.report.Counts
	var head *Delivery // the first one sent
	for _, d := range e.deliveries {
		n.Deliveries++
		attempted = attempted || d.Valid
		if head == nil || d.T0.Before(head.T0) {
			head = d
		}
		switch {
		case d.Status == 0:
			n.Unknown++
		case acked(d):
			n.Acks++
			acknowledged = true
			if d.Answer == "duplicate" {
				n.Duplicates++
			}
		case d.Status == 429, d.Status == 503:
			n.Shed++
		case !d.Valid && d.Status >= 400 && d.Status < 500:
			n.Refused++
		}
	}
	if attempted && !head.Valid {
		n.ForgedFirst++
	}
	return attempted, acknowledged
}

// judge gives the verdict: what broke is broken; what held is held only if the
// run shows that its load and its faults hit (reliability §4.4).
func (c *checker) judge() {
	n := &c.report.Counts
	n.Faults = len(c.in.Faults)
	for i := range c.in.Faults {
		f := &c.in.Faults[i]
		if f.Landed && f.Kind == c.opt.Fault {
			n.Landed++
			n.InFlight += f.InFlight
		}
		switch {
		case f.Kind != FaultCut || !f.Landed:
		case f.Committed:
			n.HadCommitted++
		default:
			n.HadNotCommitted++
		}
		if f.Away != nil {
			c.report.Away = append(c.report.Away, *f.Away)
		}
	}
	if c.opt.Load {
		c.wantLoad()
	}
	c.wantFault()
	if (c.opt.Load || c.opt.Fault != "") && !c.opt.Drained {
		c.lacks("the drain was not granted its time: progress was not judged")
	}
	switch {
	case len(c.report.Violations) > 0:
		c.report.Verdict = Broken
	case len(c.report.Lacking) > 0:
		c.report.Verdict = Inconclusive
	default:
		c.report.Verdict = Held
	}
}

func (c *checker) lacks(format string, args ...any) {
	c.report.Lacking = append(c.report.Lacking, fmt.Sprintf(format, args...))
}

func (c *checker) want(n int, what string) {
	if n == 0 {
		c.lacks("no %s", what)
	}
}

func (c *checker) wantLoad() {
	n := &c.report.Counts
	c.want(n.Duplicates, "delivery was answered duplicate")
	c.want(n.Refused, "delivery was refused")
	c.want(n.Retried, "attempt was retried")
	c.want(n.Dead, "job ended dead")
	c.want(n.ForgedFirst, "key had a forged copy first")
}

func (c *checker) wantFault() {
	n := &c.report.Counts
	switch c.opt.Fault {
	case "", FaultNone:
		return
	case FaultKill:
		c.want(n.Unknown, "answer was unknown")
		c.want(n.TakenOver, "lease was taken over")
	case FaultStop:
		c.want(n.TakenOver, "lease was taken over")
		c.want(c.in.Metrics.StaleFinishes, "stale finish was refused")
	case FaultTerm:
		c.want(n.InFlight, "request was in flight at the signal")
	case FaultCut:
		c.want(n.HadCommitted, "unknown commit had committed")
		c.want(n.HadNotCommitted, "unknown commit had not committed")
		c.want(n.Shed, "delivery was answered that it could not be taken")
	case FaultDatabaseStop, FaultDatabaseFreeze:
		c.wantAway()
	default:
		c.lacks("fault %q has no rule by which to judge that it hit", c.opt.Fault)
	}
	if n.Landed < c.opt.MinLanded {
		c.lacks("%d faults landed with a delivery in flight, at least %d must", n.Landed, c.opt.MinLanded)
	}
}

// wantAway: each time that the database was away some were told to come later,
// and others were acknowledged before and after.
func (c *checker) wantAway() {
	for i := range c.in.Faults {
		f := &c.in.Faults[i]
		if f.Kind != c.opt.Fault {
			continue
		}
		var before, during, after int
		for j := range c.in.Deliveries {
			switch d := &c.in.Deliveries[j]; {
			case acked(d) && d.T1.Before(f.At):
				before++
			case acked(d) && d.T0.After(f.Until):
				after++
			case d.Status == 503 && d.T1.After(f.At) && d.T0.Before(f.Until):
				during++
			}
		}
		c.want(before, "delivery was acknowledged before the database went away at "+stamp(f.At))
		c.want(during, "delivery was answered 503 while the database was away at "+stamp(f.At))
		c.want(after, "delivery was acknowledged after the database was back at "+stamp(f.Until))
	}
}

// checkDatabase: what the runs on a database server add. No deadlock, and while
// it is away every node says that it lives and is not ready.
func (c *checker) checkDatabase() {
	if n := c.in.Metrics.Deadlocks; n > 0 {
		c.report.raise("deadlock", fmt.Sprintf("the database server broke up %d deadlocks", n))
	}
	for i := range c.in.Faults {
		f := &c.in.Faults[i]
		if f.Away == nil {
			continue
		}
		if f.Away.FalseReady > 0 {
			c.report.raise("false-ready", fmt.Sprintf("away from %s: said ready %d times", stamp(f.At), f.Away.FalseReady))
		}
		if f.Away.Dead > 0 {
			c.report.raise("dead-while-away", fmt.Sprintf("away from %s: %d times a node did not say that it lives",
				stamp(f.At), f.Away.Dead))
		}
	}
}
