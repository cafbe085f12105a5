// Package hook holds the words of hookkeeper: what a sender delivers, what we
// record of it, and the small interfaces through which the rooms of the house
// meet. It does no I/O and knows no engine, no sender and no page.
//
// A delivery walks one way: a [Source] verifies and identifies it, a [Recorder]
// writes the event and one job per handler in one transaction, a [Queue] lends
// each job to a worker under a lease, a [Handler] works outside any transaction
// and returns an [Effect], and the store commits the effect together with the
// end of the job.
//
// The states of a job:
//
//	record ──> ready    ──┐
//	           retrying ──┼─ claim: attempt n+1, lease ──> running(n+1) ── finish ──> done
//	           waiting  ──┘                                   │  │  │
//	              ^─── retry: later, with jitter ─────────────┘  │  └──── bury ────> dead ──> discarded, by an operator
//	                                                             └── lease over ──> claimable as n+2; at the last attempt: dead, cause lost
//	dead | done | discarded ── replay, by an operator: generation g+1 ──> ready
//	no_handler | quarantined ── replay ──> ready, generation 1
//
// [Next] is the same picture as a function; a test holds the two together.
package hook
