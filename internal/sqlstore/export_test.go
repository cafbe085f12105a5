package sqlstore

// HotStatements are the statements that run for every delivery or claim, each
// with the index that it must use.
func HotStatements() map[string]string {
	c := NewCore(nil)
	return map[string]string{
		"jobs_head":            occupiedSQL(`VALUES ` + values(3, 2)),
		"jobs_line":            promoteSQL,
		"jobs_aside":           asideSQL,
		"jobs_hold":            holdSQL,
		"jobs_job":             fillSQL,
		"PRIMARY KEY x3":       fillSQL,
		"jobs_due":             claimSQL,
		"jobs_leased":          lapsedSQL,
		"jobs_due x2":          dueSQL,
		"jobs_ended":           endedJobsSQL,
		"jobs_ended x2":        causesSQL,
		"audit_pos":            auditHeadSQL,
		"audit_pos x2":         auditWalkSQL,
		"audit_open":           auditOpenSQL,
		"bulk_replays_due":     bulkDueSQL,
		"jobs_line x2":         promoteManySQL(`VALUES ` + values(3, 2)),
		"jobs_head x2":         promoteManySQL(`VALUES ` + values(3, 2)),
		"jobs_waiting":         c.wakeManySQL(`VALUES ` + values(3, 1)),
		"PRIMARY KEY":          fenceSQL(`VALUES ` + values(3, 2)),
		"PRIMARY KEY x2":       lendSQL(`VALUES ` + values(3, 2)),
		"jobs_line x3":         followedSQL,
		"jobs_waiting x3":      followedSQL,
		"event_keys_source":    aheadSQL(classes()[1]),
		"event_keys_source x2": c.lookSQL(),
		"event_keys_hint":      aheadSQL(classes()[0]),
		"rejections_source":    oldNotesSQL,
		"rejections_source x2": noteSourcesSQL,
		"erasures_due":         erasureDueSQL,
		"legal_holds_open":     neededSQL(c),
		"event_keys_key":       `INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total) VALUES ` + values(2, 11) + upsertKeys,
	}
}

// neededSQL asks whether bodies are needed.
func neededSQL(c *Core) string {
	in, _ := c.in([]int64{1, 2})
	return `SELECT k.seq FROM ` + c.joined(byNumber) + ` WHERE k.seq ` + in + ` AND NOT ` + needed
}
