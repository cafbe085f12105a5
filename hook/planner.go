package hook

import "context"

// PlannedJob is a job that a replay would queue.
type PlannedJob struct {
	Handler    string `json:"handler"`
	Generation int    `json:"generation"` // that it would have
	Was        State  `json:"was"`        // of the handler's job now; empty if it has none

	// Preview is what the job would change; nil where nobody has asked for it.
	Preview *JobPreview `json:"preview,omitempty"`
}

// Planner is an optional role of a store: it says what a replay would do.
type Planner interface {
	// PlanReplay gives the jobs that Replay would queue with the same order, and
	// refuses what Replay would refuse; it changes nothing and needs no reason.
	PlanReplay(ctx context.Context, id string, r Replay) ([]PlannedJob, error)
}
