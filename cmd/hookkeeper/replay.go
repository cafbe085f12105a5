package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// replayPatience is how long one replay may take once it has begun: an interrupt
// does not cut it, so that it is always known which events were replayed.
const replayPatience = 30 * time.Second

type replayCmd struct {
	IDs []string `arg:"" optional:"" name:"event" help:"Ids of events; or select them with a filter."`
	filterFlags
	Handler []string `help:"Only this handler; may be given again. Default: all that want the event." placeholder:"NAME" sep:"none"`
	Limit   int      `help:"With a filter: at most so many, the newest ones." placeholder:"N"`
	Rate    float64  `help:"How many a second; 0: as fast as it goes." placeholder:"N"`
	Reason  string   `help:"Why; kept in the audit trail. Required unless --dry-run." placeholder:"TEXT"`
	DryRun  bool     `help:"Say what would be queued and which rows would change, and change nothing."`
	Rows    int      `help:"With --dry-run: of how many events the changed rows are shown; 0: of none." default:"20" placeholder:"N"`
	Yes     bool     `help:"Replay everything that the filter selects, without asking."`
	JSON    bool     `name:"json" help:"One JSON object an event."`
	operatorFlags
}

// replayed is one line of the report.
type replayed struct {
	Event       string         `json:"event"`
	Jobs        int            `json:"jobs"`                  // queued
	Handlers    []string       `json:"handlers"`              // the named ones; dry run: those that would get a job
	Generations map[string]int `json:"generations,omitempty"` // dry run: of each handler's job
	DryRun      bool           `json:"dry_run"`
	Error       string         `json:"error"`

	Plan []hook.PlannedJob `json:"plan,omitempty"` // dry run: with what each job would change
}

// chosen is an event that is to be replayed.
type chosen struct {
	id string
	at time.Time // recorded; zero for one named by its id
}

// Run queues recorded events again, oldest first. One that is refused does not
// keep the others back, but the command then fails. An interrupt ends it between
// two events.
func (cmd *replayCmd) Run(ctx context.Context, a *app) error {
	f, err := cmd.check()
	if err != nil {
		return err
	}
	l, err := cmd.open(a, !cmd.DryRun)
	if err != nil {
		return err
	}
	var all []chosen
	for _, id := range cmd.IDs {
		all = append(all, chosen{id: id})
	}
	if len(cmd.IDs) == 0 {
		if all, err = cmd.choose(ctx, a, l, f); err != nil {
			return l.done(err)
		}
	}
	sum, err := cmd.each(ctx, a, l, all)
	if err = l.done(err); err != nil {
		return err
	}
	if err := sum.print(a, cmd); err != nil {
		return err
	}
	if sum.refused > 0 || sum.interrupted {
		return errSaid
	}
	return nil
}

func (cmd *replayCmd) check() (hook.Filter, error) {
	f, err := cmd.filter()
	filtered := cmd.filterFlags != filterFlags{}
	switch {
	case err != nil:
		return f, err
	case len(cmd.IDs) == 0 && !filtered:
		return f, usage("name the events, or select them with a filter such as --state dead; see hookkeeper replay --help")
	case len(cmd.IDs) > 0 && (filtered || cmd.Limit != 0):
		return f, usage("events are named: leave out --limit and the filters")
	case cmd.Limit < 0 || cmd.Rate < 0 || cmd.Rows < 0:
		return f, usage("--limit, --rate and --rows cannot be negative")
	case !cmd.DryRun && strings.TrimSpace(cmd.Reason) == "":
		return f, usage("--reason is required: say why, it is kept in the audit trail")
	}
	return f, nil
}

// choose lists what the filter selects, oldest first, before anything is
// changed: a replay moves events out of the filter, and new ones come in.
func (cmd *replayCmd) choose(ctx context.Context, a *app, l *ledger, f hook.Filter) ([]chosen, error) {
	var all []chosen
	_, err := eachEvent(ctx, l, f, cmd.Limit, func(e *hook.EventInfo) error {
		all = append(all, chosen{e.ID, e.ReceivedAt})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	if cmd.DryRun || cmd.Yes || cmd.Limit > 0 || len(all) == 0 {
		return all, nil
	}
	if !a.ask("replay %s?", events(len(all))) {
		return nil, fmt.Errorf("replay: the filter selects %s: repeat with --yes, bound it with --limit, or look first with --dry-run",
			events(len(all)))
	}
	return all, nil
}

func events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

// summary is what came of the whole.
type summary struct {
	of, done, jobs, refused int
	interrupted             bool
	next                    chosen // the first one that was left out
}

func (cmd *replayCmd) each(ctx context.Context, a *app, l *ledger, all []chosen) (summary, error) {
	s := summary{of: len(all)}
	progress := a.progress(len(all))
	defer progress.clear()
	begun := time.Now()
	for i, c := range all {
		if !paced(ctx, begun, i, cmd.Rate) {
			s.interrupted, s.next = true, c
			return s, nil
		}
		r, err := cmd.one(ctx, l, c.id, i < cmd.Rows)
		if err != nil && !errors.Is(err, hook.ErrNotFound) && !errors.Is(err, hook.ErrRefused) {
			if ctx.Err() != nil && cmd.DryRun {
				s.interrupted, s.next = true, c
				return s, nil
			}
			return s, fmt.Errorf("%w; %s of %d were replayed before, the next one is %s", err, events(s.done), s.of, c.id)
		}
		if err != nil {
			s.refused++
			r.Error = err.Error()
		} else {
			s.done++
		}
		s.jobs += r.Jobs
		progress.giveWay()
		if err := cmd.report(a, r); err != nil {
			return s, err
		}
		progress.show(i + 1)
	}
	return s, nil
}

// paced waits for the turn of event number i; false means that it is interrupted.
func paced(ctx context.Context, begun time.Time, i int, rate float64) bool {
	if rate <= 0 || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	turn := time.NewTimer(time.Until(begun.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
	defer turn.Stop()
	select {
	case <-turn.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// previewer is what the command needs to show rows: a running hookkeeper, which has
// the handlers. A database alone has none.
type previewer interface {
	PreviewReplay(ctx context.Context, id string, r hook.Replay) ([]hook.PlannedJob, error)
}

func (cmd *replayCmd) one(ctx context.Context, l *ledger, id string, rows bool) (replayed, error) {
	r := replayed{Event: id, Handlers: append([]string{}, cmd.Handler...), DryRun: cmd.DryRun}
	order := hook.Replay{Handlers: cmd.Handler, Reason: cmd.Reason, Actor: tokenActor}
	if !cmd.DryRun {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replayPatience)
		defer cancel()
		var err error
		r.Jobs, err = l.Replay(ctx, id, order)
		return r, err
	}
	planner, ok := l.Ledger.(hook.Planner)
	if !ok {
		return r, errors.New("this store makes no plans: leave out --dry-run")
	}
	ask := planner.PlanReplay
	if p, ok := l.Ledger.(previewer); ok && rows {
		ask = p.PreviewReplay
	}
	plan, err := ask(ctx, id, order)
	if err != nil {
		return r, err
	}
	r.Plan, r.Handlers, r.Generations = plan, []string{}, map[string]int{}
	for _, p := range plan {
		r.Handlers = append(r.Handlers, p.Handler)
		r.Generations[p.Handler] = p.Generation
	}
	return r, nil
}

func (cmd *replayCmd) report(a *app, r replayed) error {
	if cmd.JSON {
		return printJSON(a.stdout, r)
	}
	text := fmt.Sprintf("queued again, jobs: %d", r.Jobs)
	switch {
	case r.Error != "":
		text = r.Error
	case r.DryRun:
		var jobs []string
		for _, h := range slices.Sorted(maps.Keys(r.Generations)) {
			jobs = append(jobs, fmt.Sprintf("%s (generation %d)", h, r.Generations[h]))
		}
		text = "would be queued for " + strings.Join(jobs, ", ")
	}
	if _, err := fmt.Fprintf(a.stdout, "%s  %s\n", printable(r.Event), printable(text)); err != nil {
		return err
	}
	for _, job := range r.Plan {
		if err := printPreview(a.stdout, job); err != nil {
			return err
		}
	}
	return nil
}

// print writes the summary: where it is in nobody's way.
func (s summary) print(a *app, cmd *replayCmd) error {
	w := a.stdout
	if cmd.JSON {
		w = a.stderr
	}
	did, jobs := "replayed", fmt.Sprintf("%d jobs queued", s.jobs)
	if cmd.DryRun {
		did, jobs = "would replay", "nothing was changed"
	}
	line := fmt.Sprintf("%s %s of %d, %s", did, events(s.done), s.of, jobs)
	if s.refused > 0 {
		line += fmt.Sprintf(", %d refused", s.refused)
	}
	if s.interrupted {
		line += "; interrupted before " + s.next.id
		if !s.next.at.IsZero() {
			line += ", go on with --since " + s.next.at.UTC().Format(time.RFC3339Nano)
		}
	}
	_, err := fmt.Fprintln(w, printable(line))
	return err
}
