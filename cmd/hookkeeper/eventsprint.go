package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// shortCell keeps one long value from pushing all columns off the screen.
const shortCell = 44

func eventRow(e *hook.EventInfo) []string {
	mode := e.Mode
	if mode == "" {
		mode = "-"
	}
	return []string{
		e.ID, stamp(e.ReceivedAt), e.Source, mode, shorten(e.Type), shorten(e.Subject),
		string(e.Trust), strconv.FormatInt(e.Deliveries, 10), string(e.State),
	}
}

// shorten cuts a stranger's text after it has been made printable, so that no
// escape is cut in two.
func shorten(s string) string {
	s = printable(s)
	if columns(s) <= shortCell {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && columns(string(runes)) >= shortCell {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func printEvents(a *app, t *table, next string) error {
	if len(t.rows) == 1 {
		_, err := fmt.Fprintln(a.stdout, "no events")
		return err
	}
	t.paint = a.painter(a.stdout)
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if next != "" {
		_, err := fmt.Fprintf(a.stdout, "\nmore: --cursor %s, or --limit 0 for all\n", printable(next))
		return err
	}
	return nil
}

// printEvent shows everything that is known of one event.
func printEvent(w io.Writer, e *hook.EventDetail) error {
	var head table
	head.add("event", e.ID)
	head.add("source", e.Source)
	head.add("mode", orDash(e.Mode))
	head.add("type", orDash(e.Type))
	head.add("key", e.Key)
	head.add("subject", orDash(e.Subject))
	head.add("trust", string(e.Trust))
	head.add("state", string(e.State))
	if e.Quarantine != nil {
		head.add("quarantine", *e.Quarantine)
	}
	if e.SameBodyAs != "" {
		head.add("same body as", e.SameBodyAs)
	}
	if e.OccurredAt != nil {
		head.add("occurred", stamp(*e.OccurredAt))
	}
	head.add("received", stamp(e.ReceivedAt))
	head.add("deliveries", fmt.Sprintf("%d, of them with other bytes %d", e.Deliveries, e.Conflicts))
	body := fmt.Sprintf("%d bytes, sha256 %s", e.Size, e.SHA256)
	if e.BodyGone {
		body += ", no longer kept"
	}
	head.add("body", body)
	if err := head.print(w); err != nil {
		return err
	}
	for _, part := range []*table{jobsTable(e), attemptsTable(e), headersTable(e)} {
		if len(part.rows) < 2 {
			continue
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
		if err := part.print(w); err != nil {
			return err
		}
	}
	return nil
}

func jobsTable(e *hook.EventDetail) *table {
	t := &table{}
	t.add("HANDLER", "STATE", "GENERATION", "ATTEMPT", "NEXT", "LAST ERROR")
	for _, j := range e.Jobs {
		next, cause := "-", "-"
		if j.NextAt != nil {
			next = stamp(*j.NextAt)
		}
		if j.LastError != nil {
			cause = shorten(*j.LastError)
		}
		attempt := strconv.Itoa(j.Attempt)
		if j.MaxAttempts > 0 {
			attempt = fmt.Sprintf("%d of %d", j.Attempt, j.MaxAttempts)
		}
		t.add(j.Handler, string(j.State), strconv.Itoa(j.Generation), attempt, next, cause)
	}
	return t
}

func attemptsTable(e *hook.EventDetail) *table {
	t := &table{}
	t.add("ATTEMPT", "HANDLER", "STARTED", "TOOK", "OUTCOME", "CAUSE")
	for _, at := range e.Attempts {
		took, cause := "-", "-"
		if at.EndedAt != nil {
			took = at.EndedAt.Sub(at.StartedAt).Round(time.Millisecond).String()
		}
		if at.Error != nil {
			cause = *at.Error
		}
		t.add(fmt.Sprintf("%d.%d", at.Generation, at.Attempt), at.Handler, stamp(at.StartedAt), took, at.Outcome, cause)
	}
	return t
}

func headersTable(e *hook.EventDetail) *table {
	t := &table{}
	t.add("HEADER", "VALUE")
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		t.add(name, strings.Join(e.Headers[name], ", "))
	}
	return t
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
