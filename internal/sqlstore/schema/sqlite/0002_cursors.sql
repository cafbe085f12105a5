-- Where each reader of a feed stands: the newest event that it has taken.
CREATE TABLE cursors (
    name     TEXT PRIMARY KEY,
    seq      INTEGER NOT NULL,
    moved_at INTEGER NOT NULL
) WITHOUT ROWID;
