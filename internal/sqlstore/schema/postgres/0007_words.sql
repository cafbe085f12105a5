-- What bodies can be found by: lower-cased words, and hashes of named paths with
-- their values. Partitioned as bodies are, and dropped with them. Filled in large
-- steps, so that entries need no list to wait in, which every search would read.
CREATE TABLE event_words (
    seq   bigint PRIMARY KEY,
    terms tsvector NOT NULL
) PARTITION BY RANGE (seq);
CREATE TABLE event_words_default PARTITION OF event_words DEFAULT;
CREATE INDEX event_words_terms ON event_words USING gin (terms) WITH (fastupdate = off);

-- How far the index is: everything up to (xid, seq) is in it, by this lexicon.
CREATE TABLE words_state (
    one     integer PRIMARY KEY CHECK (one = 1),
    lexicon bytea NOT NULL,
    about   text NOT NULL,
    xid     bigint NOT NULL,
    seq     bigint NOT NULL
);
