package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripe/channel"
)

// alarmsConfig is the section alarms: what is watched, and who is told.
type alarmsConfig struct {
	To            []secret // URLs of channels
	Every         time.Duration
	OldestJob     time.Duration
	BadSignatures int
	Silence       time.Duration
	Free          int64
	Off           []string
	Language      string
	Dashboard     string

	origin string // where it was declared, for messages
}

func defaultAlarms() alarmsConfig {
	return alarmsConfig{Every: 30 * time.Second, OldestJob: 10 * time.Minute, BadSignatures: 10, Silence: 2 * time.Hour,
		Free: 1 << 30, Language: "en"}
}

// alarms reads the section.
func (r *reader) alarms(n ast.Node) {
	a := &r.c.Alarms
	a.origin = fmt.Sprintf("%s:%d", r.file, n.GetToken().Position.Line)
	r.mapping(n, "alarms", keys{
		"to": func(n ast.Node) {
			r.list(n, "alarms.to", func(item ast.Node) {
				if one, ok := r.secret(item, "alarms.to"); ok {
					a.To = append(a.To, one)
				}
			})
		},
		"every":          r.positive("alarms.every", &a.Every),
		"oldest_job":     r.positive("alarms.oldest_job", &a.OldestJob),
		"bad_signatures": r.number("alarms.bad_signatures", 1, &a.BadSignatures),
		"silence":        r.positive("alarms.silence", &a.Silence),
		"disk":           r.size("alarms.disk", &a.Free),
		"off":            r.texts("alarms.off", &a.Off),
		"language":       r.text("alarms.language", &a.Language),
		"dashboard":      r.text("alarms.dashboard", &a.Dashboard),
	})
}

// alarmConfig opens the channels; nothing is sent yet.
func (c *config) alarmConfig(p *problems) hookkeeper.AlarmConfig {
	a := &c.Alarms
	k := hookkeeper.AlarmConfig{Every: a.Every, OldestJob: a.OldestJob, BadSignatures: a.BadSignatures, Silence: a.Silence,
		Free: a.Free, Off: a.Off, Language: a.Language, Dashboard: c.dashboardURL(p)}
	if a.Language != "ko" && a.Language != "en" {
		p.add("alarms: language: want ko or en, not %q (%s)", a.Language, a.origin)
	}
	counts := map[string]int{}
	for i, to := range a.To {
		outlet, kind, err := openAlarmOutlet(to.value)
		if err != nil {
			p.add("alarms.to: number %d: %v (%s)", i+1, err, a.origin)
			continue
		}
		counts[kind]++
		name := kind
		if counts[kind] > 1 {
			name += "-" + strconv.Itoa(counts[kind])
		}
		k.Channels = append(k.Channels, hookkeeper.AlarmChannel{Name: name, Sender: outlet})
	}
	return k
}

// alarmOutlet tells of alarms by a channel that knows notices.
type alarmOutlet struct{ *channel.Outlet }

// SendAlarm implements hook.AlarmSender.
func (o alarmOutlet) SendAlarm(ctx context.Context, n hook.AlarmNotice) error {
	return o.Send(ctx, stripe.Notice{Key: n.Key, Kind: n.Kind, Title: n.Title, Body: n.Body})
}

// openAlarmOutlet opens a channel. kind names it, such as slack; two of a kind
// are told apart by their order.
func openAlarmOutlet(to string) (hook.AlarmSender, string, error) {
	to = strings.TrimSpace(to)
	outlet, err := channel.Open(to)
	if err != nil {
		return nil, "", err
	}
	u, err := url.Parse(to)
	if err != nil {
		return nil, "", fmt.Errorf("not a URL")
	}
	kind, _, _ := strings.Cut(u.Scheme, "+")
	if q := u.Query(); kind == "smtp" && !slices.ContainsFunc([]string{"to", "toaddresses"}, q.Has) {
		return nil, "", fmt.Errorf("channel smtp: it needs to=ADDRESS, for alarms have no customer")
	}
	return alarmOutlet{outlet}, kind, nil
}

// dashboardURL is where people find the pages: as configured, or the operators'
// listener as this machine reaches it.
func (c *config) dashboardURL(p *problems) string {
	given := c.Alarms.Dashboard
	if given == "" {
		if !isLoopback(c.OperatorListen) {
			return "" // how others reach it is not for us to guess
		}
		return "http://" + c.OperatorListen + "/dashboard/"
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		p.add("alarms: dashboard: want a URL such as https://ops.example.com/dashboard/ (%s)", c.Alarms.origin)
		return ""
	}
	return strings.TrimSuffix(given, "/") + "/"
}

func (a *alarmsConfig) printed() yaml.MapSlice {
	out := yaml.MapSlice{}
	if len(a.To) > 0 {
		masked := make([]string, len(a.To))
		for i := range masked {
			masked[i] = mask
		}
		out = append(out, yaml.MapItem{Key: "to", Value: masked})
	}
	out = append(out,
		yaml.MapItem{Key: "every", Value: a.Every.String()}, yaml.MapItem{Key: "oldest_job", Value: a.OldestJob.String()},
		yaml.MapItem{Key: "bad_signatures", Value: a.BadSignatures}, yaml.MapItem{Key: "silence", Value: a.Silence.String()},
		yaml.MapItem{Key: "disk", Value: a.Free}, yaml.MapItem{Key: "language", Value: a.Language})
	if len(a.Off) > 0 {
		out = append(out, yaml.MapItem{Key: "off", Value: a.Off})
	}
	if a.Dashboard != "" {
		out = append(out, yaml.MapItem{Key: "dashboard", Value: a.Dashboard})
	}
	return out
}
