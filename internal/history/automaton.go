package history

import (
	"slices"
	"sort"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The causes that the store writes by itself.
const (
	causeLost     = "lost"     // the lease of the last allowed attempt lapsed
	causeReleased = "released" // given back at a drain; counts as no failure
)

// jobHistory is everything that one handler did for one event.
type jobHistory struct {
	handler     string
	transitions []*hook.HistoryLine
	generations []*generation
}

// generation is the folded state of one generation of a job.
type generation struct {
	number  int
	begun   bool       // a transition of it was seen
	state   hook.State // empty: no such job yet
	attempt int
	lease   time.Time // of the present claim, as last renewed
	failed  int       // failed and lost attempts
	waited  time.Time // when it first began to wait
	effects int
}

func (j *jobHistory) generation(number int) *generation {
	for _, g := range j.generations {
		if g.number == number {
			return g
		}
	}
	g := &generation{number: number}
	j.generations = append(j.generations, g)
	return g
}

// checkJobs walks the transitions of each job in commit order (I8, I9) and
// leaves the folded states for the checks that follow.
func (c *checker) checkJobs(e *entry) {
	for _, j := range e.jobs {
		byOrder := func(a, b int) bool { return j.transitions[a].Order < j.transitions[b].Order }
		if !sort.SliceIsSorted(j.transitions, byOrder) {
			sort.SliceStable(j.transitions, byOrder)
		}
		for _, t := range j.transitions {
			g := j.generation(t.Generation)
			if !g.begun {
				c.begin(e, j, g)
			}
			c.step(e, j, g, t)
		}
		for _, g := range j.generations {
			c.checkBounds(e, j, g)
		}
		c.checkFinal(e, j)
	}
	c.checkMissing(e)
}

// begin: a generation starts only when the one before it has ended.
func (c *checker) begin(e *entry, j *jobHistory, g *generation) {
	g.begun = true
	if g.number <= 1 {
		return
	}
	before := j.generation(g.number - 1)
	switch {
	case !before.begun:
		c.raise("gap", e, "%s: generation %d without generation %d", j.handler, g.number, g.number-1)
	case before.state != hook.StateDone && before.state != hook.StateDead && before.state != hook.StateDiscarded:
		c.raise("illegal", e, "%s: generation %d began while generation %d was %s",
			j.handler, g.number, g.number-1, before.state)
	}
}

// step is the automaton: one transition against the state reached so far. After
// a violation it goes on from what the transition says, so that one fault is
// not counted at every later step.
func (c *checker) step(e *entry, j *jobHistory, g *generation, t *hook.HistoryLine) {
	if !g.reached(t.From) {
		c.raise("gap", e, "%s/%d order %d: says from %q, but the job was %q", j.handler, g.number, t.Order, t.From, g.state)
	}
	if !hook.Next(t.From, t.To) {
		c.raise("illegal", e, "%s/%d order %d: %q to %q", j.handler, g.number, t.Order, t.From, t.To)
	}
	if t.To == hook.StateRunning {
		c.claim(e, j, g, t)
	} else if t.From == hook.StateRunning && t.Attempt != g.attempt {
		c.raise("stale-finish", e, "%s/%d order %d: attempt %d ended the job as %s while attempt %d had it",
			j.handler, g.number, t.Order, t.Attempt, t.To, g.attempt)
	}
	c.tally(e, j, g, t)
	g.state = t.To
}

// reached reports whether from is the state that the fold is in. A first
// generation may also be born from what the event was without jobs.
func (g *generation) reached(from hook.State) bool {
	if g.state == "" && g.number <= 1 && (from == hook.StateNoHandler || from == hook.StateQuarantined) {
		return true
	}
	return from == g.state
}

func (c *checker) claim(e *entry, j *jobHistory, g *generation, t *hook.HistoryLine) {
	if t.Attempt != g.attempt+1 {
		c.raise("attempt-jump", e, "%s/%d order %d: attempt %d claimed after attempt %d",
			j.handler, g.number, t.Order, t.Attempt, g.attempt)
	}
	if g.state == hook.StateRunning && t.At != nil && t.At.Before(g.lease) {
		c.raise("claimed-under-live-lease", e, "%s/%d order %d: claimed at %s, the lease lasted until %s",
			j.handler, g.number, t.Order, stamp(*t.At), stamp(g.lease))
	}
	if g.state == hook.StateRunning && t.At != nil && !g.lease.IsZero() {
		c.takeover(e, j, g, t.At.Sub(g.lease))
	}
	if t.LeaseUntil == nil || t.At == nil {
		c.raise("illegal", e, "%s/%d order %d: claimed without a lease", j.handler, g.number, t.Order)
		g.lease = time.Time{}
	} else {
		g.lease = *t.LeaseUntil
	}
	g.attempt = t.Attempt
}

// takeover judges how long a lapsed lease lay about.
func (c *checker) takeover(e *entry, j *jobHistory, g *generation, late time.Duration) {
	n := &c.report.Counts
	n.SlowestTakeover = max(n.SlowestTakeover, late)
	if most := c.opt.TakeoverWithin; most > 0 && late > most {
		c.raise("late-takeover", e, "%s/%d: taken over %s after the end of its lease, at most %s are allowed",
			j.handler, g.number, late, most)
	}
}

// tally counts what became of attempts, and how long the job waited.
func (c *checker) tally(e *entry, j *jobHistory, g *generation, t *hook.HistoryLine) {
	n := &c.report.Counts
	if t.From == hook.StateRunning {
		switch t.To {
		case hook.StateRunning:
			n.TakenOver++
			g.failed++
		case hook.StateDead:
			n.Dead++
			g.failed++
			if t.Cause == causeLost {
				n.TakenOver++
			}
		case hook.StateDone:
			n.Done++
		case hook.StateRetrying:
			if t.Cause == causeReleased {
				n.Released++
				break
			}
			n.Retried++
			g.failed++
		}
	}
	if t.To != hook.StateWaiting {
		return
	}
	n.Waited++
	switch {
	case t.At == nil:
	case g.waited.IsZero():
		g.waited = *t.At
	case c.tooLong(g.waited, *t.At):
		c.raise("attempts-over-max", e, "%s/%d waits again %s after it first did", j.handler, g.number, t.At.Sub(g.waited))
	}
}

func (c *checker) tooLong(from, to time.Time) bool {
	return c.opt.MaxWaiting > 0 && to.Sub(from) > c.opt.MaxWaiting+waitingSlack
}

// checkBounds: attempts and waiting end somewhere (I9).
func (c *checker) checkBounds(e *entry, j *jobHistory, g *generation) {
	if most := c.maxAttempts(e, j, g); most > 0 && g.failed > most {
		c.raise("attempts-over-max", e, "%s/%d: %d attempts failed or were lost, at most %d may", j.handler, g.number, g.failed, most)
	}
	if g.state == hook.StateWaiting && c.tooLong(g.waited, c.last) {
		c.raise("attempts-over-max", e, "%s/%d still waits %s after it first did", j.handler, g.number, c.last.Sub(g.waited))
	}
}

func (c *checker) maxAttempts(e *entry, j *jobHistory, g *generation) int {
	if c.opt.MaxAttempts > 0 {
		return c.opt.MaxAttempts
	}
	if info := jobInfo(e.row(), j.handler); info != nil && info.Generation == g.number {
		return info.MaxAttempts
	}
	return 0
}

func jobInfo(row *hook.HistoryLine, handler string) *hook.JobInfo {
	if row == nil {
		return nil
	}
	for i := range row.Jobs {
		if row.Jobs[i].Handler == handler {
			return &row.Jobs[i]
		}
	}
	return nil
}

// newest is the last generation that the transitions show, or nil.
func (j *jobHistory) newest() *generation {
	var last *generation
	for _, g := range j.generations {
		if g.begun && (last == nil || g.number > last.number) {
			last = g
		}
	}
	return last
}

// checkFinal: the row shows the state that the transitions lead to.
func (c *checker) checkFinal(e *entry, j *jobHistory) {
	g := j.newest()
	if g == nil {
		return // effects only: checkEffects speaks
	}
	info := jobInfo(e.row(), j.handler)
	switch {
	case info == nil:
		c.raise("final", e, "%s/%d: transitions lead to %s and the log shows no such job", j.handler, g.number, g.state)
	case info.Generation != g.number || info.State != g.state:
		c.raise("final", e, "%s: transitions lead to %s in generation %d, the log shows %s in generation %d",
			j.handler, g.state, g.number, info.State, info.Generation)
	}
}

// checkMissing: a job that the row shows has transitions.
func (c *checker) checkMissing(e *entry) {
	row := e.row()
	if row == nil {
		return
	}
	for i := range row.Jobs {
		info := &row.Jobs[i]
		if e.job(info.Handler).newest() == nil {
			c.raise("final", e, "%s/%d is %s and no transition leads there", info.Handler, info.Generation, info.State)
		}
	}
}

// checkEffects: done if and only if there is exactly one effect (I7).
func (c *checker) checkEffects(e *entry) {
	for _, j := range e.jobs {
		if !c.writesEffects(j.handler) {
			continue
		}
		for _, g := range j.generations {
			c.checkEffect(e, j, g)
		}
	}
}

func (c *checker) checkEffect(e *entry, j *jobHistory, g *generation) {
	if g.effects > 1 {
		c.raise("effect-twice", e, "%s/%d: %d effects", j.handler, g.number, g.effects)
	}
	info := jobInfo(e.row(), j.handler)
	state := g.state
	if info != nil && info.Generation == g.number {
		state = info.State
	}
	switch {
	case state == "":
		if g.effects > 0 {
			c.raise("effect-without-row", e, "%s/%d: an effect, but no such job", j.handler, g.number)
		}
	case e.row() == nil && g.effects > 0:
		c.raise("effect-without-row", e, "%s/%d: an effect, but no row", j.handler, g.number)
	case state == hook.StateDone && g.effects == 0:
		c.raise("done-without-effect", e, "%s/%d is done and has no effect", j.handler, g.number)
	case state != hook.StateDone && g.effects > 0:
		c.raise("unfinished-with-effect", e, "%s/%d is %s and has an effect", j.handler, g.number, state)
	}
}

func (c *checker) writesEffects(handler string) bool {
	return len(c.opt.EffectHandlers) == 0 || slices.Contains(c.opt.EffectHandlers, handler)
}

// checkProgress: after the drain everything has ended (L1).
func (c *checker) checkProgress(e *entry) {
	if !c.opt.Drained {
		return
	}
	row := e.row()
	if row == nil {
		return
	}
	for i := range row.Jobs {
		if j := &row.Jobs[i]; !j.State.Final() {
			c.raise("not-final", e, "%s/%d is still %s after the drain", j.Handler, j.Generation, j.State)
			return
		}
	}
	if !row.State.Final() {
		c.raise("not-final", e, "still %q after the drain", row.State)
	}
}
