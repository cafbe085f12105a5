CREATE TABLE inbox (
    id       bigserial PRIMARY KEY,
    event_id text UNIQUE NOT NULL,
    body     bytea NOT NULL,
    tries    integer NOT NULL DEFAULT 0,
    next_at  timestamptz NOT NULL DEFAULT now(),
    done_at  timestamptz
);
CREATE INDEX inbox_open ON inbox (next_at, id) WHERE done_at IS NULL;
CREATE TABLE effects (event_id text NOT NULL);
