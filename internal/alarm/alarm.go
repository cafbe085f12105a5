// Package alarm watches over the house and tells people when something is not as
// it should be: work that waits too long, dead letters, signatures that do not
// verify, a source that has fallen silent, a ledger that does not balance, a full
// disk, a secret that will lapse, and what departments name.
//
// It promises that an alarm is raised once and resolved once, over any number of
// nodes and restarts: the database keeps what is raised, and each telling is an
// event of ours, recorded under a key of its own and worked by one handler for
// each channel, with that handler's own retries. Nothing flaps: what has been
// raised is resolved only when it has been clearly well for two minutes. It
// refuses rules that it does not know and channels without a name.
package alarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Defaults of Config.
const (
	DefaultEvery         = 30 * time.Second
	DefaultOldestJob     = 10 * time.Minute
	DefaultBadSignatures = 10
	DefaultSilence       = 2 * time.Hour
	DefaultFree          = 1 << 30
)

// Source is the source of the events by which channels are told.
const Source = "hookkeeper"

// The types of those events.
const (
	TypeRaised   = "alarm.raised"
	TypeResolved = "alarm.resolved"
)

// Store is what alarms stand on.
type Store interface {
	hook.Applier
	hook.Lookout
	hook.Ledger
}

// Channel is one way to people. Each is a route of its own, so that one that is
// down holds up no other.
type Channel struct {
	Name   string // 1 to 40 of a-z, 0-9 and -; stored with its jobs
	Sender hook.AlarmSender
}

// Config of a Watch. Zero means the stated default; Store and Record are required.
type Config struct {
	Store Store
	// Record records an event of ours, once by its key.
	Record     func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error)
	Sources    []hook.Source
	Conditions []hook.Condition // of departments
	Channels   []Channel

	Every         time.Duration // between two looks; default 30 s
	OldestJob     time.Duration // age of an open job; default 10 min
	BadSignatures int           // refused within ten minutes; default 10
	Silence       time.Duration // the least of a source; default 2 h
	Free          int64         // bytes, or a tenth of the disk if that is less; default 1 GiB
	Off           []string      // rules that are not watched

	Language  string // of what is told: en or ko; default en
	Dashboard string // URL of /dashboard/ as people reach it, for links; empty: none
	Now       func() time.Time
	Logger    *slog.Logger
}

// Watch looks, raises, resolves and tells. It is safe for concurrent use and
// starts nothing.
type Watch struct {
	cfg     Config
	rules   []rule
	texts   map[string]map[string]string // language, key
	started time.Time

	looking sync.Mutex // one look at a time
	past    pastHours  // guarded by looking
	secrets secretBook // guarded by looking

	mu      sync.Mutex
	balance *balance // guarded by mu; nil: not checked yet
}

// balance is the newest check of the ledger by this node.
type balance struct {
	off int64
	at  time.Time
}

var _ hook.AlarmBook = (*Watch)(nil)

// Check says what is wrong with the settings, all of it.
func (c *Config) Check() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	names := map[string]bool{}
	for _, ch := range c.Channels {
		if !channelName.MatchString(ch.Name) || names[ch.Name] || ch.Sender == nil {
			add("alarms: channel %.60q: wants a name of its own, 1 to 40 of a-z, 0-9 and -, and a sender", ch.Name)
		}
		names[ch.Name] = true
	}
	known := map[string]bool{}
	for _, r := range builtIn() {
		known[r.name] = true
	}
	for _, cond := range c.Conditions {
		if !ruleName.MatchString(cond.Rule) || known[cond.Rule] || cond.Query == "" {
			add("alarms: condition %.60q: wants a name of its own, 1 to 40 of a-z, 0-9 and _, and a query", cond.Rule)
		}
		for _, language := range languages() {
			if text := cond.Texts[language]; text.What == "" || text.Do == "" {
				add("alarms: condition %.60q has no text in the language %s", cond.Rule, language)
			}
		}
		known[cond.Rule] = true
	}
	for _, off := range c.Off {
		if !known[off] {
			add("alarms: off: there is no rule %.60q", off)
		}
	}
	if c.Every < 0 || c.OldestJob < 0 || c.BadSignatures < 0 || c.Silence < 0 || c.Free < 0 {
		add("alarms: a bound is negative")
	}
	if c.Language != "" && !slices.Contains(languages(), c.Language) {
		add("alarms: language: want en or ko, not %.20q", c.Language)
	}
	return errors.Join(problems...)
}

var (
	channelName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	ruleName    = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)
)

// Rules are the names of all that is watched by itself; departments add theirs.
func Rules() []string {
	var names []string
	for _, r := range builtIn() {
		names = append(names, r.name)
	}
	return names
}

// New checks the settings and returns a Watch that does nothing yet.
func New(c Config) (*Watch, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Store == nil || c.Record == nil {
		return nil, errors.New("alarms: no store, or nothing that records")
	}
	texts, err := readTexts()
	if err != nil {
		return nil, err
	}
	c = c.withDefaults()
	w := &Watch{cfg: c, texts: texts, started: c.Now()}
	all := builtIn()
	for _, cond := range c.Conditions {
		all = append(all, ofCondition(cond))
		for _, language := range languages() {
			texts[language][cond.Rule] = cond.Texts[language].What
			texts[language][cond.Rule+".do"] = cond.Texts[language].Do
		}
	}
	for _, r := range all {
		if !slices.Contains(c.Off, r.name) {
			w.rules = append(w.rules, r)
		}
	}
	return w, nil
}

func (c Config) withDefaults() Config {
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.OldestJob == 0 {
		c.OldestJob = DefaultOldestJob
	}
	if c.BadSignatures == 0 {
		c.BadSignatures = DefaultBadSignatures
	}
	if c.Silence == 0 {
		c.Silence = DefaultSilence
	}
	if c.Free == 0 {
		c.Free = DefaultFree
	}
	if c.Language == "" {
		c.Language = english
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Duty is the look as work that comes round: on one node at a time.
func (w *Watch) Duty() hook.Duty {
	return hook.Duty{Name: "alarms", Every: w.cfg.Every, Run: w.Look}
}

// Balance hears the newest check of the ledger on this node.
func (w *Watch) Balance(off int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.balance = &balance{int64(off), w.cfg.Now()}
}

// Look looks once at everything, raises and resolves, and tells. If we die
// anywhere in it the next look, here or on another node, goes on where it was. A
// condition that cannot be asked is an error that comes after all else was done.
func (w *Watch) Look(ctx context.Context) error {
	w.looking.Lock()
	defer w.looking.Unlock()
	found, now, err := w.look(ctx)
	if err != nil {
		return err
	}
	unasked := w.lookAtConditions(ctx, found, now)
	known, err := w.load(ctx)
	if err != nil {
		return err
	}
	if err := w.write(ctx, now, w.decide(found, known, now)); err != nil {
		return err
	}
	return errors.Join(w.tell(ctx), unasked)
}
