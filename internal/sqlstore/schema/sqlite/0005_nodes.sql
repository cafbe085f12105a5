-- Who works with this database; and, of a route, the pairs source:type that it
-- wants, one a line, when a node last had it, and up to which event it was looked
-- whether a receiver that did not know it yet has left out a job.
CREATE TABLE nodes (
    name       TEXT PRIMARY KEY,
    roles      TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) WITHOUT ROWID;

ALTER TABLE routes ADD COLUMN events TEXT NOT NULL DEFAULT '';
ALTER TABLE routes ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE routes ADD COLUMN filled_seq INTEGER NOT NULL DEFAULT 9223372036854775807;
