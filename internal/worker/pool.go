// Package worker is the back room: it claims jobs, lets handlers work them
// outside any transaction, and ends each with its effect, a retry or a dead
// letter. Every handler has slots, a time limit and a pace of its own, so that
// one's trouble never slows another's. It promises that an attempt which lost
// its lease writes nothing, and that a handler which panics, hangs or fails
// costs its own slot at most. It knows no SQL and no sender.
//
// DESIGN.md tells what happens to an attempt in every case.
package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Config of a Pool. Zero durations and numbers mean the stated default.
type Config struct {
	Queue hook.Queue
	// Recorder is what Record records by; a hook.Lender lends as it does. nil: Record
	// is not called.
	Recorder hook.Recorder
	// Hastener brings jobs forward that failed because nobody answered, when somebody
	// does. nil: they wait for their time.
	Hastener hook.Hastener
	Routes   []hook.Route
	Logger   *slog.Logger
	Node     string

	Lease       time.Duration // 30 s; renewed every third of it
	Limit       time.Duration // 60 s: the longest that one attempt may take
	Grace       time.Duration // 3 s: how long a handler has to heed the end of its context
	Slots       int           // 16 per handler, 1024 for a Batch route
	MaxBytes    int64         // 32 MiB: bodies of the jobs that one handler has at a time, and one more; see Ask
	Attempts    int           // 12: failed and lost ones, then the job is dead
	BackoffBase time.Duration // 10 s
	BackoffMax  time.Duration // 12 h
	MaxWaiting  time.Duration // 72 h, then dead
	Poll        time.Duration // 1 s: how often an idle handler looks for itself

	Meter   Meter
	Tracing hook.Tracing // nil: nothing is traced
	// Jitter returns a number in [0, 1); nil is a random one.
	Jitter func() float64
}

// Meter hears what happens; nil functions hear nothing.
type Meter struct {
	Attempt   func(handler, outcome string, took time.Duration)
	Abandoned func(handler string, now int) // handlers that ignored their end and still run
	Breaker   func(handler string, open bool)
}

// Pool works the jobs of its routes until Run's context ends.
type Pool struct {
	cfg    Config
	lanes  []*lane
	lender hook.Lender // nil: jobs are claimed only
}

// New returns a Pool; it starts nothing.
func New(cfg Config) *Pool {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Lease, 30*time.Second)
	def(&cfg.Limit, time.Minute)
	def(&cfg.Grace, 3*time.Second)
	def(&cfg.BackoffBase, 10*time.Second)
	def(&cfg.BackoffMax, 12*time.Hour)
	def(&cfg.MaxWaiting, 72*time.Hour)
	def(&cfg.Poll, time.Second)
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 32 << 20
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = 12
	}
	if cfg.Jitter == nil {
		cfg.Jitter = randomJitter
	}
	p := &Pool{cfg: cfg}
	p.lender, _ = cfg.Recorder.(hook.Lender)
	for i := range cfg.Routes {
		p.lanes = append(p.lanes, newLane(&p.cfg, &cfg.Routes[i]))
	}
	return p
}

// Wake makes every handler look for work now. It never blocks.
func (p *Pool) Wake() {
	for _, l := range p.lanes {
		l.wake()
	}
}

// Run works until ctx ends. Then it claims no more, gives running handlers the
// grace time, cuts those that do not heed it, releases what they held, and
// returns.
func (p *Pool) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range p.lanes {
		all.Go(func() { l.run(ctx) })
	}
	all.Wait()
}

// A Batch route's jobs are short and share their commits: the more of them at a
// time, the fewer commits.
const (
	defaultSlots      = 16
	defaultBatchSlots = 1024
)

// lane is one handler with its slots.
type lane struct {
	cfg   *Config
	route *hook.Route
	slots int

	woken     chan struct{} // holds at most one signal, as the others
	freed     chan struct{} // a slot is free
	gathered  chan struct{} // as many jobs as a pause is for were handed over
	abandoned atomic.Int64
	look      atomic.Bool    // there is, or may be, something to claim
	keeping   sync.WaitGroup // slots kept

	mu      sync.Mutex            // guards what follows
	running map[*attempt]struct{} // lent to us and not ended
	handed  []*hook.Job           // lent to us and not yet running
	kept    int                   // slots kept for jobs that are being recorded
	asked   int                   // slots that a claim under way may fill
	bytes   int64                 // of the bodies of all these
	open    bool                  // slots may be kept
	behind  bool                  // jobs wait, or may, that were recorded before those that come now
	waiting int                   // jobs that were refused a slot since the last claim began
	breaker breaker
	missed  map[int64]int // attempts that found nobody, by job, since the last that was answered; see heed
}

func newLane(cfg *Config, route *hook.Route) *lane {
	slots := cfg.Slots
	switch {
	case slots == 0 && route.Batch:
		slots = defaultBatchSlots
	case slots == 0:
		slots = defaultSlots
	}
	return &lane{cfg: cfg, route: route, slots: slots, woken: make(chan struct{}, 1), freed: make(chan struct{}, 1),
		gathered: make(chan struct{}, 1), running: map[*attempt]struct{}{}, breaker: newBreaker(slots, cfg.BackoffBase)}
}

// attempts is how often an attempt may fail before the job is dead.
func (l *lane) attempts() int {
	if l.route.MaxAttempts > 0 {
		return l.route.MaxAttempts
	}
	return l.cfg.Attempts
}

func (l *lane) wake() {
	l.look.Store(true)
	signal(l.woken)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// idle is how many jobs the lane may claim now.
func (l *lane) idle() (room, running int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idleNow(), len(l.running)
}

// idleNow is idle with mu held.
func (l *lane) idleNow() int {
	if l.bytes >= l.cfg.MaxBytes {
		return 0
	}
	return l.room()
}

// room is how many slots are idle; call it with mu held. A handler that has left
// twice its slots hanging has none: the process would fill up with it.
func (l *lane) room() int {
	return min(l.breaker.room(), 2*l.slots-int(l.abandoned.Load())) - len(l.running) - len(l.handed) - l.kept - l.asked
}

func (l *lane) run(ctx context.Context) {
	var attempts sync.WaitGroup
	renewed := make(chan struct{})
	stopRenewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(renewed)
		l.renew(stopRenewing)
	}()
	start := func(job *hook.Job) { l.start(ctx, job, &attempts) }
	l.begin()
	var looked time.Time
	for ctx.Err() == nil {
		l.forget()
		got, all := l.startHanded(start), true
		if time.Since(looked) >= l.cfg.Poll {
			l.look.Store(true) // and it stays so until there is a slot to claim for
		}
		if l.look.Load() {
			var claimed int
			claimed, all = l.claim(ctx, start)
			got, looked = got+claimed, time.Now()
		}
		switch {
		case got == 0:
			l.rest(ctx, time.Until(looked.Add(l.cfg.Poll)))
		case all && l.route.Batch:
			l.linger(ctx, got)
		}
	}
	l.cut()
	l.close()
	l.startHanded(start)
	l.cut() // these too
	attempts.Wait()
	stop()
	<-renewed
}

// forget drops signals: what they tell of is looked at now.
func (l *lane) forget() {
	for _, c := range []chan struct{}{l.woken, l.freed, l.gathered} {
		select {
		case <-c:
		default:
		}
	}
}

// A claim and the commit of its ends cost about the same for one job as for many. So
// a Batch route whose claim found something, and took all there was, lets more come
// in: five milliseconds for each job that it found, which is little where events come
// one by one, and a tenth of a second at most under load. A quarter of the slots that
// are handed over in that time is enough.
const (
	lingerPerJob = 5 * time.Millisecond
	lingerMost   = 100 * time.Millisecond
)

// enough is how many jobs may gather while a Batch route pauses.
func (l *lane) enough() int { return max(l.slots/4, 1) }

func (l *lane) linger(ctx context.Context, jobs int) {
	timer := time.NewTimer(min(time.Duration(jobs)*lingerPerJob, lingerMost))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.gathered:
	case <-timer.C:
	}
}

// rest waits until there is something to do, at most for that time.
func (l *lane) rest(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.woken:
	case <-l.freed:
	case <-timer.C:
	}
}

// begin lets slots be kept.
func (l *lane) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
}

// gatherTime is how long a freed slot may wait for others before the claim: one
// commit then lends many jobs, and a slow handler's slots do not stay empty.
const gatherTime = 2 * time.Millisecond

// gather waits for more slots to come free. It returns false when the time is
// over for claiming at all.
func (l *lane) gather(ctx context.Context) bool {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-l.freed:
			if room, _ := l.idle(); room >= l.slots/2 {
				return true
			}
		}
	}
}

// claim takes as many jobs as there are idle slots and starts them. It returns how
// many, and whether these were fewer than it would have taken; an error is logged and
// tried again at the next poll.
func (l *lane) claim(ctx context.Context, start func(*hook.Job)) (got int, all bool) {
	room, running := l.idle()
	if room <= 0 {
		return 0, false
	}
	if running > 0 && room < l.slots/2 && !l.gather(ctx) {
		return 0, false
	}
	room, bytes := l.ask()
	if room <= 0 {
		return 0, false
	}
	jobs, err := l.cfg.Queue.Claim(ctx, hook.Ask{Handlers: []string{l.route.Name}, Lease: l.cfg.Lease, Max: room, MaxBytes: bytes,
		MaxAttempts: l.attempts(), Node: l.cfg.Node})
	if err != nil && ctx.Err() == nil {
		l.cfg.Logger.Error("claim", "handler", l.route.Name, "error", err)
	}
	all = err == nil && len(jobs) < room
	l.got(room, bytes, all)
	for _, job := range jobs {
		start(job)
	}
	if len(jobs) > 0 {
		l.look.Store(true) // until nothing is found: there may be more than fits at a time
	}
	return len(jobs), all
}

// ask keeps what a claim may fill: at most half of the slots, for while one half works
// and ends the other one is claimed, and half of the bytes, so that jobs can be handed
// over meanwhile; all bytes if none can.
func (l *lane) ask() (room int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room = min(l.idleNow(), max(l.slots/2, 1))
	if room <= 0 {
		return 0, 0
	}
	l.look.Store(false) // before the claim: what comes from now on may not be in it
	bytes = max(l.cfg.MaxBytes-l.bytes, 1)
	if !l.behind {
		bytes = max(bytes/2, 1)
	}
	l.asked, l.waiting = room, 0
	l.bytes += bytes
	return room, bytes
}

// got gives back what ask has kept. A claim that took all there was shows that nobody
// waits but those who have been refused a slot since; see keep.
func (l *lane) got(room int, bytes int64, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked -= room
	l.bytes -= bytes
	l.behind = !all
}

func (l *lane) start(ctx context.Context, job *hook.Job, attempts *sync.WaitGroup) {
	job.Batch, job.Strict = l.route.Batch, l.route.Strict
	a := newAttempt(ctx, l, job)
	l.mu.Lock()
	l.running[a] = struct{}{}
	l.bytes += int64(len(job.Event.Body))
	l.mu.Unlock()
	attempts.Go(func() {
		l.leave(a, a.run())
	})
}

// leave frees the slot of an attempt that ended with err. Only if its job's end has
// made others due, or others wait for the slot, is there something to claim; a job that
// is not done may have left its line to the next one.
func (l *lane) leave(a *attempt, err error) {
	if err != nil || a.job.Next {
		l.look.Store(true)
	}
	l.mu.Lock()
	delete(l.running, a)
	l.bytes -= int64(len(a.job.Event.Body))
	then := l.heed(a.job, err)
	l.mu.Unlock()
	signal(l.freed)
	then()
}

// cut ends the handlers that still run at a drain.
func (l *lane) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := range l.running {
		a.end(errDrained)
	}
}

// renew extends the leases of running jobs every third of their time. A lease
// that is lost ends its job's context: another attempt has the job.
func (l *lane) renew(ctx context.Context) {
	tick := time.NewTicker(l.cfg.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		byJob := make(map[*hook.Job]*attempt, len(l.running))
		jobs := make([]*hook.Job, 0, len(l.running))
		for a := range l.running {
			jobs = append(jobs, a.job)
			byJob[a.job] = a
		}
		l.mu.Unlock()
		if len(jobs) == 0 {
			continue
		}
		lost, err := l.cfg.Queue.Extend(ctx, jobs, l.cfg.Lease)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Error("renew leases", "handler", l.route.Name, "error", err)
		}
		for _, j := range lost {
			byJob[j].end(hook.ErrLeaseLost)
		}
	}
}
