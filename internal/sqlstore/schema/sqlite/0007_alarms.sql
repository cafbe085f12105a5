-- What is, or was, not as it should be. raised_at: null while it has not lasted
-- for long enough; calm_since: it is as it should be again, but not for long;
-- told: 1 that it was raised, 2 that it is resolved, and then nothing is left to do.
CREATE TABLE alarms (
    id          TEXT PRIMARY KEY,
    rule        TEXT NOT NULL,
    object      TEXT NOT NULL,
    since       INTEGER NOT NULL,
    raised_at   INTEGER,
    calm_since  INTEGER,
    resolved_at INTEGER,
    moved_at    INTEGER NOT NULL,
    value       INTEGER NOT NULL,
    mark        INTEGER NOT NULL DEFAULT 0,
    told        INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE UNIQUE INDEX alarms_open ON alarms (rule, object) WHERE resolved_at IS NULL;
CREATE INDEX alarms_untold ON alarms (id) WHERE told < 2;
CREATE INDEX alarms_over ON alarms (resolved_at) WHERE told = 2;
