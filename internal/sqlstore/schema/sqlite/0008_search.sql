-- What operators look for, newest first. Sources, types and states grow at their
-- right edges only; subjects would be written to at random, so they are in runs
-- of 8192 events, a few pages each.
CREATE INDEX event_keys_source ON event_keys (source);
CREATE INDEX event_keys_quarantine ON event_keys (seq) WHERE jobs_total = 0 AND quarantine <> '';
CREATE INDEX event_keys_unwanted ON event_keys (seq) WHERE jobs_total = 0 AND quarantine = '';
CREATE INDEX events_type ON events (type);
CREATE INDEX events_subject ON events (seq >> 13, subject) WHERE subject <> '';
