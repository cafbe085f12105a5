-- What one operator has asked for and another must approve. body is what was sent,
-- to the byte, until it is decided; sha256 is of it and stays.
CREATE TABLE approvals (
    id         TEXT PRIMARY KEY,
    state      TEXT NOT NULL,               -- waiting, running, done, failed, unknown, refused
    method     TEXT NOT NULL,
    path       TEXT NOT NULL,
    query      TEXT NOT NULL,
    body       BLOB NOT NULL,
    sha256     TEXT NOT NULL,
    summary    TEXT NOT NULL,
    need       TEXT NOT NULL,               -- the least role of who approves
    asked_by   TEXT NOT NULL,
    asked_at   INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_by TEXT NOT NULL DEFAULT '',
    decided_at INTEGER,
    answer     TEXT NOT NULL DEFAULT '',    -- how it ended, or why it was refused
    ended_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX approvals_list ON approvals (asked_at, id);
CREATE INDEX approvals_waiting ON approvals (expires_at) WHERE state = 'waiting';
