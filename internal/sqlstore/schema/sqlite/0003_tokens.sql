-- Operator tokens. Only the SHA-256 of one is kept; a revoked one keeps its
-- name, which the audit trail may hold.
CREATE TABLE tokens (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    made_at    INTEGER NOT NULL,
    revoked_at INTEGER
) WITHOUT ROWID;
