package hook

import (
	"context"
	"net/http"
	"time"
)

// Alarm is something that is not as it should be. It is raised once and resolved
// once, however many nodes look and however long it lasts.
type Alarm struct {
	ID         string     `json:"id"`
	Rule       string     `json:"rule"`
	Object     string     `json:"object"` // handler, source …; empty where the rule has one thing to look at
	Grave      bool       `json:"grave"`
	Since      time.Time  `json:"since"` // when it began, as far as that is known
	RaisedAt   time.Time  `json:"raised_at"`
	ResolvedAt *time.Time `json:"resolved_at"`
	What       string     `json:"what"` // one sentence
	Do         string     `json:"do"`   // what to do about it
	Page       string     `json:"page"` // of the dashboard, below /dashboard/
}

// AlarmBook is where operators look alarms up.
type AlarmBook interface {
	// Alarms gives those that are raised, and then the newest resolved ones, at
	// most limit together, in a language: en or ko.
	Alarms(ctx context.Context, language string, limit int) ([]*Alarm, error)
}

// AlarmNotice is what somebody is told of an alarm.
type AlarmNotice struct {
	Key   string // the same for every attempt
	Kind  string // alarm.raised or alarm.resolved
	Title string
	Body  string
}

// AlarmSender tells somebody outside. It is called at least once per notice and
// attempt; an error is tried again, and must hold no secret.
type AlarmSender interface {
	SendAlarm(ctx context.Context, n AlarmNotice) error
}

// Condition is something of a department that must not last, such as money
// without a seat. While anything is in it, its alarm is raised.
type Condition struct {
	Rule  string // 1 to 40 of a-z, 0-9 and _; stored, and a label of the metric
	Grave bool
	// Query gives what is open: a name as text and since when as a time, on both
	// engines, without arguments. It ends in a LIMIT and reads no table from end
	// to end, for it runs twice a minute.
	Query string
	// Lasting leaves out what has been open for less.
	Lasting time.Duration
	Page    string // of the dashboard, below /dashboard/
	Texts   map[string]ConditionText
}

// ConditionText is what a condition says in one language, en or ko. What has one
// %d, the number of things that are open.
type ConditionText struct{ What, Do string }

// Lookout is an optional role of a store: what the rules of alarms look at.
// Without it there are no alarms.
type Lookout interface {
	// Signs reads everything in one snapshot: verified deliveries by the hour
	// from hours on, refused signatures from refused on. It reads no table of
	// events from end to end.
	Signs(ctx context.Context, hours, refused time.Time) (*Signs, error)
}

// Signs are what the rules of alarms look at.
type Signs struct {
	Now     time.Time            // the store's clock
	Oldest  map[string]time.Time // handler: when its oldest open job was queued
	Dead    map[string]DeadSign  // handler
	Refused map[string]int64     // source: deliveries whose signature did not verify
	Hours   map[string][]int64   // source: the hours since 1970 in which it delivered what verified, in order
}

// DeadSign is how a handler's dead letters stand. A new one moves Newest up.
type DeadSign struct{ Jobs, Newest int64 }

// Spacer is an optional role of a store that knows the disk it is on.
type Spacer interface {
	// Space gives the bytes that are free to us, and all, of the file system of
	// the database.
	Space() (free, total int64, err error)
}

// SecretTeller is an optional ability of a Source: to tell which of its secrets
// a recorded delivery was signed with.
type SecretTeller interface {
	// SecretsOf gives the positions of the secrets that verify the delivery as of
	// a time, and how many of its signatures none of ours has made: a sender that
	// rolls its secret signs with both.
	SecretsOf(header http.Header, body []byte, at time.Time) (ours []int, others int)
}
