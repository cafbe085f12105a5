-- What operators look for, newest first.
CREATE INDEX event_keys_source ON event_keys (source, seq);
CREATE INDEX event_keys_quarantine ON event_keys (seq) WHERE jobs_total = 0 AND quarantine <> '';
CREATE INDEX event_keys_unwanted ON event_keys (seq) WHERE jobs_total = 0 AND quarantine = '';
CREATE INDEX events_type ON events (type, seq);
CREATE INDEX events_subject ON events (subject, seq) WHERE subject <> '';
