-- What is kept how long, what must be kept, and what was removed on request.

-- erased_at: body, headers and other bytes were removed on request, for good.
ALTER TABLE event_keys ADD COLUMN erased_at INTEGER;
CREATE INDEX event_keys_hint ON event_keys (source, seq) WHERE trust = 'hint';

-- How far each rule has come in each source: events up to seq were looked at, and
-- those that something needed are in kept_back, to be looked at again.
CREATE TABLE retention_marks (
    class  TEXT NOT NULL,
    source TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (class, source)
) WITHOUT ROWID;
CREATE TABLE kept_back (
    class TEXT NOT NULL,
    seq   INTEGER NOT NULL,
    PRIMARY KEY (class, seq)
) WITHOUT ROWID;

-- The end of jobs whose attempts are no longer kept: the newest of each handler.
CREATE TABLE ended_jobs (
    seq        INTEGER NOT NULL,
    handler    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    PRIMARY KEY (seq, handler)
) WITHOUT ROWID;

-- Of one event (seq), of one subject, or of a source, recorded from since until before until.
CREATE TABLE legal_holds (
    id             INTEGER PRIMARY KEY,
    source         TEXT NOT NULL,
    subject        TEXT NOT NULL,
    seq            INTEGER,
    since          INTEGER NOT NULL,
    until          INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    actor          TEXT NOT NULL,
    made_at        INTEGER NOT NULL,
    released_at    INTEGER,
    released_by    TEXT NOT NULL DEFAULT '',
    release_reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX legal_holds_open ON legal_holds (source) WHERE released_at IS NULL;

-- Orders to remove what one customer has left. mark: the event up to which it has
-- looked, of those up to bound. customer is emptied once it is not needed.
CREATE TABLE erasures (
    id              INTEGER PRIMARY KEY,
    source          TEXT NOT NULL,
    customer        TEXT NOT NULL,
    customer_sha256 BLOB NOT NULL,
    reason          TEXT NOT NULL,
    actor           TEXT NOT NULL,
    dry_run         INTEGER NOT NULL,
    state           TEXT NOT NULL,
    bound           INTEGER NOT NULL,
    mark            INTEGER NOT NULL DEFAULT 0,
    total           INTEGER NOT NULL DEFAULT 0,
    seen            INTEGER NOT NULL DEFAULT 0,
    found           INTEGER NOT NULL DEFAULT 0,
    erased          INTEGER NOT NULL DEFAULT 0,
    held            INTEGER NOT NULL DEFAULT 0,
    notes           INTEGER NOT NULL DEFAULT 0,
    changed         INTEGER NOT NULL DEFAULT 0,
    made_at         INTEGER NOT NULL,
    moved_at        INTEGER NOT NULL,
    next_at         INTEGER NOT NULL
);
CREATE INDEX erasures_due ON erasures (next_at) WHERE state IN ('running', 'waiting', 'cleaning');

-- The events of an order that wait for their work to end, or for a hold's end.
CREATE TABLE erasure_events (
    erasure INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (erasure, seq)
) WITHOUT ROWID;

DROP VIEW webhook_events;
CREATE VIEW webhook_events AS
SELECT k.seq AS id,
       k.key AS event_id,
       e.type AS type,
       CASE WHEN json_valid(CAST(b.body AS TEXT)) THEN CAST(b.body AS TEXT) END AS payload,
       CASE WHEN k.jobs_total > 0 AND NOT EXISTS (
                SELECT 1 FROM jobs j WHERE j.seq = k.seq AND j.state NOT IN ('dead', 'discarded'))
            THEN coalesce((SELECT max(a.ended_at) FROM attempts a WHERE a.seq = k.seq),
                (SELECT max(d.ended_at) FROM ended_jobs d WHERE d.seq = k.seq)) END AS processed_at
FROM event_keys k
LEFT JOIN events e ON e.seq = k.seq
LEFT JOIN bodies b ON b.seq = k.seq;
