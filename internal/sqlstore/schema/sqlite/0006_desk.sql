-- What operators work with. Dead and discarded jobs in an index of their own, so
-- that a list of them never walks through a backlog.
CREATE INDEX jobs_ended ON jobs (id) WHERE place = 3;

-- The audit trail becomes a chain: each sealed entry has a position and the hash
-- of itself and of the one before it.
ALTER TABLE audit ADD COLUMN object TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN pos INTEGER;
ALTER TABLE audit ADD COLUMN hash BLOB;
CREATE UNIQUE INDEX audit_pos ON audit (pos) WHERE pos IS NOT NULL;
CREATE INDEX audit_open ON audit (no) WHERE pos IS NULL;

CREATE TABLE paused (
    handler TEXT PRIMARY KEY,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL
) WITHOUT ROWID;

-- Sessions of operators' browsers, by the SHA-256 of their secret, with that of
-- the token that each was opened with.
CREATE TABLE sessions (
    hash  BLOB PRIMARY KEY,
    token BLOB NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;

-- Bulk replays. mark: the number of the event, or of the dead job, down to which
-- it has come; it goes down, so that what a replay makes is never met again.
CREATE TABLE bulk_replays (
    id       INTEGER PRIMARY KEY,
    state    TEXT NOT NULL,
    ordered  TEXT NOT NULL,
    total    INTEGER NOT NULL,
    seen     INTEGER NOT NULL DEFAULT 0,
    jobs     INTEGER NOT NULL DEFAULT 0,
    left_out INTEGER NOT NULL DEFAULT 0,
    mark     INTEGER NOT NULL,
    made_at  INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    next_at  INTEGER NOT NULL
);
CREATE INDEX bulk_replays_due ON bulk_replays (next_at) WHERE state = 'running';
