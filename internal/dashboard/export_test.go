package dashboard

import (
	"crypto/sha256"
	"reflect"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Row is a row of the table of routes.
type Row struct {
	Pattern string
	Need    hook.Role
	Query   []string
}

// Routes gives the table from which the API is registered.
func Routes() []Row {
	var rows []Row
	for _, r := range routes() {
		rows = append(rows, Row{r.pattern, r.need, r.query})
	}
	return rows
}

// Bodies are the types of what is asked and answered, under their names in
// openapi.json.
func Bodies() map[string]reflect.Type {
	return map[string]reflect.Type{
		"Event": reflect.TypeFor[hook.EventInfo](), "Job": reflect.TypeFor[hook.JobInfo](),
		"Attempt": reflect.TypeFor[hook.AttemptInfo](), "EventDetail": reflect.TypeFor[hook.EventDetail](),
		"ExportedEvent": reflect.TypeFor[exported](), "Counts": reflect.TypeFor[hook.Counts](),
		"Rejection": reflect.TypeFor[hook.Rejection](), "HistoryLine": reflect.TypeFor[hook.HistoryLine](),
		"Source": reflect.TypeFor[SourceInfo](), "Node": reflect.TypeFor[nodeAnswer](), "Token": reflect.TypeFor[hook.TokenInfo](),
		"AuditEntry": reflect.TypeFor[hook.AuditEntry](), "AuditReport": reflect.TypeFor[hook.AuditReport](),
		"PlannedJob": reflect.TypeFor[hook.PlannedJob](), "ReplayOrder": reflect.TypeFor[replayOrder](),
		"DiscardOrder": reflect.TypeFor[discardOrder](), "AdvanceOrder": reflect.TypeFor[advanceOrder](),
		"Approval": reflect.TypeFor[approvalAnswer](), "Refusal": reflect.TypeFor[refusal](), "JobPreview": reflect.TypeFor[hook.JobPreview](), "RowChange": reflect.TypeFor[hook.RowChange](),
		"ColumnChange": reflect.TypeFor[hook.ColumnChange](), "TokenOrder": reflect.TypeFor[tokenOrder](), "Alarm": reflect.TypeFor[hook.Alarm](),
		"QueuedJob": reflect.TypeFor[hook.QueuedJob](), "DeadCause": reflect.TypeFor[hook.DeadCause](),
		"Pause": reflect.TypeFor[hook.Pause](), "PauseOrder": reflect.TypeFor[pauseOrder](),
		"BulkReplay": reflect.TypeFor[bulkReplay](), "BulkReplayOrder": reflect.TypeFor[bulkReplayOrder](),
		"SteerOrder": reflect.TypeFor[steerOrder](),
		"KeptFor":    reflect.TypeFor[keptFor](), "HoldOrder": reflect.TypeFor[holdOrder](), "ReasonOrder": reflect.TypeFor[reasonOrder](),
		"Hold": reflect.TypeFor[hook.Hold](), "ErasureOrder": reflect.TypeFor[erasureOrder](), "Erasure": reflect.TypeFor[hook.Erasure](),
	}
}

// MaxStrangers is how many addresses a gate remembers at once.
const MaxStrangers = maxStrangers

// Strangers is how many addresses a gate remembers now.
func (g *Gate) Strangers() int {
	g.brake.mu.Lock()
	defer g.brake.mu.Unlock()
	return len(g.brake.by)
}

// Sheet is a row of the table of pages.
type Sheet struct {
	Pattern string
	Need    hook.Role
}

// Sheets gives the table of pages.
func Sheets() []Sheet {
	var all []Sheet
	for _, s := range pageRoutes() {
		all = append(all, Sheet{s.pattern, s.need})
	}
	return all
}

// HashOf is the form in which a store keeps a token.
func HashOf(token string) hook.TokenHash { return sha256.Sum256([]byte(token)) }

// Texts are the catalogues by language.
func Texts() map[string]map[string]string {
	f, err := readFrames()
	if err != nil {
		panic(err)
	}
	return f.texts
}
