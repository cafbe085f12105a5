package sqlstore

import "github.com/hookkeeper/hookkeeper/hook"

// RunsSQL finds the runs that have a subject; it sorts their numbers.
const RunsSQL = runsSQL

// SearchStatements are what lists of events run on SQLite, each with the index
// that it must go by.
func SearchStatements() map[string][]string {
	c := NewCore(nil)
	pick := func(f hook.Filter, way by, more query) string {
		statement, _, err := c.pickSQL(f, way, more, 1, 2, 3)
		if err != nil {
			panic(err)
		}
		return statement
	}
	run := query{}
	run.add(`(e.seq >> 13) = ?`, int64(1))
	all := hook.Filter{Source: "s", State: hook.StateDone, Type: "t"}
	return map[string][]string{
		"event_keys_key": {pick(hook.Filter{Source: "s", Key: "k"}, byKey, modes())},
		"event_keys_source": {pick(hook.Filter{Source: "s"}, bySource, query{}), pick(hook.Filter{Source: "s", Type: "a.*", State: hook.StateDone}, bySource, query{}),
			fewEventsSQL, sourcesSQL},
		"events_type":           {pick(hook.Filter{Type: "t"}, byType, query{}), pick(all, byType, query{}), typesSQL},
		"events_subject":        {pick(hook.Filter{Subject: "x"}, bySubject, run), pick(hook.Filter{Source: "s", Type: "a.*", Subject: "x"}, bySubject, run), runsSQL},
		"event_keys_quarantine": {pick(hook.Filter{State: hook.StateQuarantined, Source: "s"}, byNumber, query{})},
		"event_keys_unwanted":   {pick(hook.Filter{State: hook.StateNoHandler, Type: "a.*"}, byNumber, query{})},
		"jobs_ended":            {pick(hook.Filter{State: hook.StateDead, Source: "s"}, byNumber, query{}), pick(hook.Filter{State: hook.StateDiscarded}, byNumber, query{}), deadJobsSQL},
		"INTEGER PRIMARY KEY":   {pick(hook.Filter{}, byNumber, query{}), pick(hook.Filter{Type: "*", Source: "s"}, byNumber, query{})},
		"PRIMARY KEY":           {activeSQL},
	}
}
