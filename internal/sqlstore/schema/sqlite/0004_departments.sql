-- What departments bring along: the version of each one's tables, the turns of
-- their duties, and what an event causes once for ever (a notice, a refund, a
-- mail) by its own key, so that a replay finds it. scope: source/mode.
CREATE TABLE departments (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE turns (
    name     TEXT PRIMARY KEY,
    taken_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE consequences (
    scope      TEXT NOT NULL,
    handler    TEXT NOT NULL,
    key        TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    result     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (scope, handler, key)
) WITHOUT ROWID;
