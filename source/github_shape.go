package source

import (
	"slices"
	"strings"
)

// githubRepository and the two after it are slots of every shape's paths; the
// members that tell shapes apart have the slots behind them.
const (
	githubRepository = iota // repository.id
	githubAction
	githubMembers
)

// shape is what the bodies of one GitHub event look like.
type shape struct {
	event   string
	need    string // members that always are there, null included
	not     string // members that show another event
	actions string // the only actions, if they tell it apart
	bare    bool   // no member of the vocabulary but those in need
	vague   bool   // others look the same: proves nothing about another name

	needMask, notMask uint64
}

func (s *shape) fits(mask uint64, action string) bool {
	if mask&s.needMask != s.needMask || mask&s.notMask != 0 {
		return false
	}
	return s.actions == "" || slices.Contains(strings.Fields(s.actions), action)
}

// shapes is the table of known events and the paths that it reads.
type shapes struct {
	paths  paths
	known  map[string]*shape
	order  []*shape
	zen    uint64
	inputs uint64
	client uint64
}

func newShapes() *shapes {
	t := &shapes{known: map[string]*shape{}}
	read := []string{"repository.id", "action"}
	slots := map[string]int{"action": githubAction}
	mask := func(members string) (m uint64) {
		for name := range strings.FieldsSeq(members) {
			if _, ok := slots[name]; !ok {
				slots[name] = len(read)
				read = append(read, name)
			}
			m |= 1 << slots[name]
		}
		return m
	}
	table := githubTable()
	for i := range table {
		s := &table[i]
		s.needMask, s.notMask = mask(s.need), mask(s.not)
		t.known[s.event] = s
		t.order = append(t.order, s)
	}
	t.zen, t.inputs, t.client = mask("zen"), mask("workflow inputs"), mask("client_payload")
	// Any event of an organization's repository names the organization.
	all := mask(strings.Join(read[githubMembers:], " ")) &^ mask("organization")
	for _, s := range t.order {
		if s.bare {
			s.notMask |= all &^ s.needMask
		}
	}
	t.paths = newPaths(read)
	return t
}

// members is the set of the vocabulary's members that a body has.
func members(p *peek) (m uint64) {
	for slot := githubAction; slot < maxSlots; slot++ {
		if p.has(slot) {
			m |= 1 << slot
		}
	}
	return m
}

// repeats reports whether equal bodies of this shape may be different facts.
func (t *shapes) repeats(p *peek) bool {
	m := members(p)
	return m&t.zen == t.zen || m&t.inputs == t.inputs || m&t.client == t.client
}

// agree reports whether a body may be of that event.
func (t *shapes) agree(p *peek, event string) bool {
	m, action := members(p), p.str(githubAction)
	if s := t.known[event]; s != nil {
		return s.fits(m, action)
	}
	for _, s := range t.order {
		if !s.vague && s.fits(m, action) {
			return false
		}
	}
	return event != ""
}

// guess names an event that has the body's shape, or nothing.
func (t *shapes) guess(p *peek) string {
	m, action := members(p), p.str(githubAction)
	for _, s := range t.order {
		if s.fits(m, action) {
			return s.event
		}
	}
	return ""
}

// githubTable lists the events whose shape we know. Members are top-level ones
// of the body, except for the alerts, which only differ below. Distinct shapes
// come first, so that guess prefers them.
func githubTable() []shape {
	return []shape{
		{event: "ping", need: "zen"},
		{event: "workflow_dispatch", need: "workflow inputs"},
		{event: "repository_dispatch", need: "client_payload"},
		{event: "push", need: "ref", not: "ref_type master_branch workflow inputs"},
		{event: "create", need: "ref ref_type master_branch"},
		{event: "delete", need: "ref ref_type", not: "master_branch"},
		{event: "pull_request", need: "pull_request", not: "review comment thread"},
		{event: "pull_request_review", need: "pull_request review"},
		{event: "pull_request_review_comment", need: "pull_request comment"},
		{event: "pull_request_review_thread", need: "pull_request thread"},
		{event: "issues", need: "issue", not: "comment"},
		{event: "issue_comment", need: "issue comment"},
		{event: "discussion", need: "discussion", not: "comment"},
		{event: "discussion_comment", need: "discussion comment"},
		{event: "commit_comment", need: "comment", not: "issue pull_request discussion"},
		{event: "milestone", need: "milestone", not: "issue pull_request"},
		{event: "label", need: "label", not: "issue pull_request discussion"},
		{event: "check_run", need: "check_run", not: "deployment_status"},
		{event: "check_suite", need: "check_suite", not: "check_run"},
		{event: "status", need: "sha state"},
		{event: "workflow_job", need: "workflow_job"},
		{event: "workflow_run", need: "workflow_run", not: "deployment deployment_status check_run since"},
		{event: "deployment", need: "deployment", not: "deployment_status workflow_job deployment_callback_url"},
		{event: "deployment_status", need: "deployment deployment_status"},
		{event: "deployment_protection_rule", need: "deployment_callback_url"},
		{event: "deployment_review", need: "workflow_run since"},
		{event: "release", need: "release"},
		{event: "star", need: "starred_at"},
		{event: "fork", need: "forkee"},
		{event: "gollum", need: "pages"},
		{event: "page_build", need: "build"},
		{event: "package", need: "package"},
		{event: "registry_package", need: "registry_package"},
		{event: "merge_group", need: "merge_group"},
		{event: "member", need: "member", not: "team scope"},
		{event: "membership", need: "member scope"},
		{event: "team", need: "team", not: "member scope",
			actions: "created deleted edited added_to_repository removed_from_repository"},
		{event: "organization", vague: true, need: "organization", not: "repository team member",
			actions: "deleted renamed member_added member_removed member_invited"},
		{event: "org_block", need: "blocked_user"},
		{event: "deploy_key", need: "key"},
		{event: "branch_protection_rule", need: "rule"},
		{event: "code_scanning_alert", need: "alert.rule"},
		{event: "dependabot_alert", need: "alert.dependency"},
		{event: "secret_scanning_alert", need: "alert.secret_type", not: "location"},
		{event: "secret_scanning_alert_location", need: "alert location"},
		{event: "installation_repositories", need: "repositories_added repositories_removed"},
		{event: "meta", need: "hook hook_id", not: "zen"},
		{event: "watch", bare: true, vague: true, need: "action repository", actions: "started"},
		{event: "repository", bare: true, vague: true, need: "action repository",
			actions: "archived created deleted edited privatized publicized renamed transferred unarchived"},
		{event: "public", bare: true, vague: true, need: "repository", not: "action"},
	}
}
