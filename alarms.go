package hookkeeper

import (
	"context"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/alarm"
	"github.com/prometheus/client_golang/prometheus"
)

// AlarmConfig says what is watched, and who is told when it is not as it should
// be. Zero means the stated default: everything is watched, shown to operators
// and in the metrics, and nobody is told. A store that is no hook.Lookout is not
// watched.
type AlarmConfig struct {
	Channels []AlarmChannel

	Every         time.Duration // between two looks; default 30 s
	OldestJob     time.Duration // age of an open job; default 10 min
	BadSignatures int           // deliveries of a source within ten minutes; default 10
	Silence       time.Duration // the least of a source, beyond its habit; default 2 h
	Free          int64         // bytes of the database's disk, or a tenth of it if that is less; default 1 GiB
	Off           []string      // names of rules that are not watched

	Language  string // of what channels are told: en, the default, or ko
	Dashboard string // URL of /dashboard/ as people reach it, for links; empty: none
}

// AlarmChannel is one way to people, with retries of its own.
type AlarmChannel struct {
	Name   string // 1 to 40 of a-z, 0-9 and -; alarm-NAME is the name of its handler
	Sender hook.AlarmSender
}

// alarms are the settings as the watch takes them.
func (c *Config) alarms() alarm.Config {
	a := c.Alarms
	w := alarm.Config{
		Sources: c.Sources, Every: a.Every, OldestJob: a.OldestJob, BadSignatures: a.BadSignatures, Silence: a.Silence,
		Free: a.Free, Off: a.Off, Language: a.Language, Dashboard: a.Dashboard, Now: c.Now, Logger: c.Logger,
	}
	for _, ch := range a.Channels {
		w.Channels = append(w.Channels, alarm.Channel{Name: ch.Name, Sender: ch.Sender})
	}
	for _, d := range c.Departments {
		w.Conditions = append(w.Conditions, d.Alarms...)
	}
	return w
}

func (c *Config) checkAlarms(add func(string, ...any)) {
	w := c.alarms()
	if err := w.Check(); err != nil {
		add("%w", err)
	}
	for _, ch := range c.Alarms.Channels {
		name := alarm.RouteOf(ch.Name)
		if slices.ContainsFunc(c.Handlers, func(r hook.Route) bool { return r.Name == name }) {
			add("alarms: channel %s: there is a handler %s already", ch.Name, name)
		}
	}
	if _, ok := c.Store.(hook.Lookout); !ok && c.Store != nil && len(c.Alarms.Channels) > 0 {
		add("alarms: this store cannot be watched")
	}
}

// watch makes what looks for alarms, and takes its channels in among the
// handlers; nothing where the store cannot be watched.
func (k *Keeper) watch() error {
	store, ok := k.cfg.Store.(alarm.Store)
	if !ok {
		return nil
	}
	c := k.cfg.alarms()
	c.Store, c.Record = store, k.Record
	var err error
	if k.alarms, err = alarm.New(c); err != nil {
		return err
	}
	for _, r := range k.alarms.Routes() {
		r.MaxAttempts = k.cfg.Attempts
		k.cfg.Handlers = append(k.cfg.Handlers, r)
	}
	k.metrics.registry.MustRegister(alarmCollector{k.alarms})
	return nil
}

// alarmBook is where operators look alarms up; nil where there are none.
func (k *Keeper) alarmBook() hook.AlarmBook {
	if k.alarms == nil {
		return nil // not a nil *Watch inside an interface
	}
	return k.alarms
}

// balanced hears the newest check of the ledger.
func (k *Keeper) balanced(off int) {
	k.metrics.balance(off)
	if k.alarms != nil {
		k.alarms.Balance(off)
	}
}

// alarmCollector reads from the store, at each scrape, which alarms are raised:
// every node gives the same.
type alarmCollector struct{ alarms *alarm.Watch }

// Describe sends nothing: which rules there are is known at the scrape.
func (alarmCollector) Describe(chan<- *prometheus.Desc) {}

func (c alarmCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	desc := describe("hookkeeper_alarm", "1 while an alarm of the rule is raised.", "rule")
	raised, err := c.alarms.Raised(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(desc, err)
		return
	}
	for name, is := range raised {
		value := 0.0
		if is {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, name)
	}
}
