-- The event log, the queue and their history. Times are microseconds since
-- 1970 UTC, modes are '' | 'live' | 'test', states those of package hook.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- What makes two deliveries the same event. Narrow, and kept for ever: it
-- outlives the body, so that a redelivery after years has no second effect.
CREATE TABLE event_keys (
    seq          INTEGER PRIMARY KEY,
    source       TEXT NOT NULL,
    mode         TEXT NOT NULL,
    key          TEXT NOT NULL,
    received_at  INTEGER NOT NULL,
    sha256       BLOB NOT NULL,
    trust        TEXT NOT NULL,
    key_unsigned INTEGER NOT NULL,
    quarantine   TEXT NOT NULL,
    same_body_as INTEGER,
    deliveries   INTEGER NOT NULL,
    conflicts    INTEGER NOT NULL DEFAULT 0,
    jobs_total   INTEGER NOT NULL
);
CREATE UNIQUE INDEX event_keys_key ON event_keys (source, mode, key);
CREATE INDEX event_keys_body ON event_keys (source, sha256) WHERE key_unsigned = 1;

-- Append only.
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    type        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    occurred_at INTEGER,
    size        INTEGER NOT NULL,
    headers     BLOB NOT NULL
);
CREATE TABLE bodies (
    seq  INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- Deliveries of a known key with other bytes, at most 8 a key.
CREATE TABLE conflicts (
    seq         INTEGER NOT NULL,
    sha256      BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    headers     BLOB NOT NULL,
    body        BLOB NOT NULL,
    PRIMARY KEY (seq, sha256)
) WITHOUT ROWID;

-- Everything but done. place: 0 head of its line (only heads are in the due
-- index, so that a claim costs the same however long a line is), 1 in line,
-- 2 aside (waiting, or retrying for longer than it may hold its line), 3 ended.
-- line: source/mode/subject, or '' for events without a subject.
CREATE TABLE jobs (
    id            INTEGER PRIMARY KEY,
    seq           INTEGER NOT NULL,
    handler       TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    line          TEXT NOT NULL,
    place         INTEGER NOT NULL,
    state         TEXT NOT NULL,
    backlog       INTEGER NOT NULL DEFAULT 0,
    attempt       INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    made_no       INTEGER NOT NULL,
    made_at       INTEGER NOT NULL,
    hour          INTEGER NOT NULL,
    next_at       INTEGER NOT NULL,
    hold_until    INTEGER,
    waiting_since INTEGER,
    lease_until   INTEGER NOT NULL DEFAULT 0,
    lease_by      TEXT NOT NULL DEFAULT '',
    last_error    TEXT
);
CREATE UNIQUE INDEX jobs_job ON jobs (seq, handler, generation);
CREATE UNIQUE INDEX jobs_head ON jobs (handler, line) WHERE place = 0 AND line <> '';
CREATE INDEX jobs_line ON jobs (handler, line, seq) WHERE place = 1;
CREATE INDEX jobs_due ON jobs (handler, backlog, next_at) WHERE place = 0 AND state <> 'running';
CREATE INDEX jobs_leased ON jobs (handler, lease_until) WHERE state = 'running';
CREATE INDEX jobs_aside ON jobs (next_at) WHERE place = 2;
CREATE INDEX jobs_hold ON jobs (hold_until) WHERE place = 0 AND hold_until IS NOT NULL;
CREATE INDEX jobs_waiting ON jobs (line) WHERE place = 2 AND state = 'waiting';

-- One row a claim. claim_no, end_no and jobs.made_no come from one sequence,
-- drawn inside the transaction: the history in commit order.
CREATE TABLE attempts (
    seq         INTEGER NOT NULL,
    handler     TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    claim_no    INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    node        TEXT NOT NULL,
    made_no     INTEGER NOT NULL,
    made_at     INTEGER NOT NULL,
    end_no      INTEGER,
    ended_at    INTEGER,
    outcome     TEXT NOT NULL DEFAULT 'running',
    error       TEXT,
    PRIMARY KEY (seq, handler, generation, attempt)
) WITHOUT ROWID;

-- hours: the first event of each hour in which anything was recorded, and how
-- many events of that hour are done. The ledger compares it with the rows.
CREATE TABLE hours (
    hour      INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    done      INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE counters (
    hour    INTEGER NOT NULL,
    source  TEXT NOT NULL,
    type    TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (hour, source, type, outcome)
) WITHOUT ROWID;

-- How many hints of a subject are kept, and when one last woke its jobs.
CREATE TABLE hint_subjects (
    source     TEXT NOT NULL,
    mode       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    n          INTEGER NOT NULL,
    newest_seq INTEGER NOT NULL,
    woken_at   INTEGER NOT NULL,
    again      INTEGER NOT NULL DEFAULT 0, -- a hint came while the newest one's job ran
    PRIMARY KEY (source, mode, subject)
) WITHOUT ROWID;

CREATE TABLE routes (
    name   TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    types  TEXT NOT NULL,
    trust  TEXT NOT NULL,
    since  INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL
) WITHOUT ROWID;

-- A ring: the oldest notes of a source go when it holds more than 16 MiB.
CREATE TABLE rejections (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    source  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    detail  TEXT NOT NULL,
    remote  TEXT NOT NULL,
    size    INTEGER NOT NULL,
    headers BLOB NOT NULL,
    body    BLOB NOT NULL
);
CREATE INDEX rejections_source ON rejections (source, id);

CREATE TABLE audit (
    no         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    seq        INTEGER,
    handler    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    was        TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    reason     TEXT NOT NULL
);

-- For people who query by hand. processed_at is the end of the last job.
CREATE VIEW webhook_events AS
SELECT k.seq AS id,
       k.key AS event_id,
       e.type AS type,
       CASE WHEN json_valid(CAST(b.body AS TEXT)) THEN CAST(b.body AS TEXT) END AS payload,
       CASE WHEN k.jobs_total > 0 AND NOT EXISTS (
                SELECT 1 FROM jobs j WHERE j.seq = k.seq AND j.state NOT IN ('dead', 'discarded'))
            THEN (SELECT max(a.ended_at) FROM attempts a WHERE a.seq = k.seq) END AS processed_at
FROM event_keys k
LEFT JOIN events e ON e.seq = k.seq
LEFT JOIN bodies b ON b.seq = k.seq;
