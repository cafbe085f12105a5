package hookkeeper

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/ingest"
)

// Config of a Keeper. Zero means the stated default.
type Config struct {
	// Store keeps the event log and the queue: sqlite.Open. Required. The Keeper
	// does not close it.
	Store hook.Store
	// Sources are the senders that deliver. At least one.
	Sources []hook.Source
	// Handlers work the events; without any, events end as no_handler.
	Handlers []hook.Route
	// Departments add routes, pages, operations and duties of their own. Their
	// Tables must have been given to the store when it was opened.
	Departments []hook.Department

	Logger *slog.Logger     // default: logs nothing; what looks like a card number, an e-mail or a phone number is masked
	Now    func() time.Time // clock of verification; default: the process's
	Node   string           // this process's name in the history; default: host name and a random part
	Roles  []NodeRole       // what this node does; default: everything

	Lease       time.Duration // of a job, renewed every third of it; default 30 s
	Limit       time.Duration // of one attempt; default 60 s
	Grace       time.Duration // for a handler to heed the end of its context; default 3 s
	Slots       int           // jobs that one handler works at a time; default 16, 1024 for a Batch route
	Attempts    int           // failed and lost ones before a job is dead; default 12
	BackoffBase time.Duration // bound of the first pause, times four with each failure; default 10 s
	BackoffMax  time.Duration // default 12 h
	MaxWaiting  time.Duration // for what must exist first, then dead; default 72 h

	// Retention says what is kept how long; default: everything for ever, but bodies
	// of finished hints for 24 h.
	Retention hook.Retention

	// Tracing is told of the steps of deliveries and attempts, such as a
	// tracing.Tracer; nil traces nothing and costs nothing.
	Tracing hook.Tracing

	// Alarms say what is watched and who is told.
	Alarms AlarmConfig

	// MaxBytesInFlight bounds the bodies that are being read or recorded, all
	// together; default 1/8 of the memory limit (cgroup or GOMEMLIMIT), or of
	// the machine's memory.
	MaxBytesInFlight int64

	// Tokens of operators, each with the role admin, besides those that the store
	// keeps (see hook.TokenKeeper). Without any, every request to Operator is
	// refused.
	Tokens []string
	// SecondPerson lets operations of departments that move money wait until an
	// operator with another token has approved them; see hook.Operation. Default:
	// one operator suffices.
	SecondPerson bool
	// OpenMetrics serves /metrics without a token: for a loopback listener.
	OpenMetrics bool
}

// DefaultAttempts is how often an attempt may fail or be lost, over at most 63
// hours of pauses, before its job is dead.
const DefaultAttempts = 12

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = discard()
	}
	c.Logger = slog.New(show.MaskLog(c.Logger.Handler()))
	if c.Now == nil {
		c.Now = fault.Now
	}
	if c.Node == "" {
		c.Node = nodeName()
	}
	if len(c.Roles) == 0 {
		c.Roles = AllRoles()
	}
	if c.Retention.Hints == 0 {
		c.Retention.Hints = 24 * time.Hour
	}
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	c.Handlers = slices.Clone(c.Handlers)
	for _, d := range c.Departments {
		c.Handlers = append(c.Handlers, d.Routes...)
	}
	for i := range c.Handlers {
		if c.Handlers[i].MaxAttempts == 0 {
			c.Handlers[i].MaxAttempts = c.Attempts
		}
	}
	if c.MaxBytesInFlight == 0 {
		c.MaxBytesInFlight = ingest.MemoryLimit() / 8
	}
	return c
}

// check returns every problem, not only the first.
func (c *Config) check() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Store == nil {
		add("no store: open one with sqlite.Open")
	}
	if len(c.Sources) == 0 {
		add("no sources: nothing could be received")
	}
	names := map[string]bool{}
	for _, s := range c.Sources {
		name := s.Name()
		if !sourceName.MatchString(name) {
			add("source %.80q: a name has 1 to 64 of a-z, 0-9, _ and -", name)
		}
		if names[name] {
			add("source %s: configured twice", name)
		}
		names[name] = true
		if v, ok := s.(hook.Validator); ok {
			if err := v.Validate(); err != nil {
				problems = append(problems, err)
			}
		}
	}
	for _, role := range c.Roles {
		if !slices.Contains(AllRoles(), role) {
			add("role %.40q: there are receive, work and operate", string(role))
		}
	}
	if _, ok := c.Store.(hook.ApprovalKeeper); c.SecondPerson && c.Store != nil && !ok {
		add("SecondPerson: this store keeps no approvals")
	}
	c.checkHandlers(add)
	c.checkDepartments(add)
	c.checkAlarms(add)
	c.checkRetention(add)
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"Lease", c.Lease}, {"Limit", c.Limit}, {"Grace", c.Grace}, {"BackoffBase", c.BackoffBase},
		{"BackoffMax", c.BackoffMax}, {"MaxWaiting", c.MaxWaiting}} {
		if d.v < 0 {
			add("%s is negative: %s", d.name, d.v)
		}
	}
	if c.Slots < 0 || c.Attempts < 0 {
		add("Slots and Attempts cannot be negative")
	}
	for _, t := range c.Tokens {
		if len(t) < 16 {
			add("an operator token has fewer than 16 characters: use a long random one")
		}
	}
	return errors.Join(problems...)
}

func (c *Config) checkDepartments(add func(string, ...any)) {
	names, duties, pages, metrics := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range c.Departments {
		if !sourceName.MatchString(d.Name) || names[d.Name] {
			add("department %.80q: a name has 1 to 64 of a-z, 0-9, _ and -, and is given once", d.Name)
		}
		names[d.Name] = true
		for _, e := range d.Operations {
			if err := dashboard.CheckOperation(e); err != nil {
				add("department %s: %v", d.Name, err)
			}
		}
		for _, duty := range d.Duties {
			if !sourceName.MatchString(duty.Name) || duties[duty.Name] || duty.Every <= 0 || duty.Run == nil {
				add("department %s: duty %.80q: wants a name of its own, a positive Every and a Run", d.Name, duty.Name)
			}
			duties[duty.Name] = true
		}
		for _, m := range d.Metrics {
			if !metricName.MatchString(m.Name) || metrics[m.Name] || m.Help == "" || m.Read == nil ||
				m.Counter != strings.HasSuffix(m.Name, "_total") {
				add("department %s: metric %.80q: wants a name of its own such as hookkeeper_orders, a Help and a Read; "+
					"a counter's name, and no other, ends in _total", d.Name, m.Name)
			}
			metrics[m.Name] = true
		}
		for prefix, h := range d.Pages {
			if !pagePrefix.MatchString(prefix) || ownPath(prefix) || pages[prefix] || h == nil {
				add("department %s: page %.80q: wants a path of its own, such as /checkout/, and a handler", d.Name, prefix)
			}
			pages[prefix] = true
		}
	}
}

// metricName begins as all names of ours do.
var metricName = regexp.MustCompile(`^hookkeeper_[a-z][a-z0-9_]*$`)

// pagePrefix is one path segment between slashes.
var pagePrefix = regexp.MustCompile(`^/[a-z0-9_-]{1,64}/$`)

// ownPath reports paths of the public listener that are ours.
func ownPath(prefix string) bool {
	return prefix == "/hooks/" || prefix == "/healthz/" || prefix == "/readyz/"
}

func (c *Config) checkHandlers(add func(string, ...any)) {
	names := map[string]bool{}
	for _, r := range c.Handlers {
		switch {
		case !sourceName.MatchString(r.Name):
			add("handler %.80q: a name has 1 to 64 of a-z, 0-9, _ and -", r.Name)
		case names[r.Name]:
			add("handler %s: configured twice", r.Name)
		case r.Handler == nil:
			add("handler %s: has no Handler", r.Name)
		}
		names[r.Name] = true
	}
}
