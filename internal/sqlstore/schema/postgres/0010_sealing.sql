-- The keys that seal bodies, headers and personal columns, each wrapped with a key
-- of the operator's that is not kept here. seals: how many values processes have
-- reserved to seal with it. Sealed headers begin with the byte 1, which no headers
-- do; the body beside them is then sealed too.
CREATE TABLE data_keys (
    id      bigint PRIMARY KEY,
    made_at bigint NOT NULL,
    seals   bigint NOT NULL DEFAULT 0,
    master  text NOT NULL,
    wrapped bytea NOT NULL
);
