-- What one operator has asked for and another must approve. body is what was sent,
-- to the byte, until it is decided; sha256 is of it and stays. Times are
-- microseconds since 1970 UTC.
CREATE TABLE approvals (
    id         text PRIMARY KEY,
    state      text NOT NULL,               -- waiting, running, done, failed, unknown, refused
    method     text NOT NULL,
    path       text NOT NULL,
    query      text NOT NULL,
    body       bytea NOT NULL,
    sha256     text NOT NULL,
    summary    text NOT NULL,
    need       text NOT NULL,               -- the least role of who approves
    asked_by   text NOT NULL,
    asked_at   bigint NOT NULL,
    reason     text NOT NULL,
    expires_at bigint NOT NULL,
    decided_by text NOT NULL DEFAULT '',
    decided_at bigint,
    answer     text NOT NULL DEFAULT '',    -- how it ended, or why it was refused
    ended_at   bigint
);
CREATE INDEX approvals_list ON approvals (asked_at, id);
CREATE INDEX approvals_waiting ON approvals (expires_at) WHERE state = 'waiting';

-- What a preview sees: each row that changes is added to settings of the
-- transaction, which end with it. Nothing is written, and outside a preview no
-- trigger calls this. The argument names the columns of the primary key. There are
-- several settings, for each is written anew as a whole.
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n      integer := coalesce(nullif(current_setting('hookkeeper.changed', true), ''), '0')::integer;
    part   text := 'hookkeeper.changes_' || n / 20;
    before json;
    after  json;
BEGIN
    PERFORM set_config('hookkeeper.changed', (n + 1)::text, true);
    IF n >= 400 THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT json_agg(json_build_array(key, left(value, 401))) INTO before FROM json_each_text(row_to_json(OLD));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT json_agg(json_build_array(key, left(value, 401))) INTO after FROM json_each_text(row_to_json(NEW));
    END IF;
    PERFORM set_config(part, coalesce(current_setting(part, true), '') || json_build_object(
        'table', TG_TABLE_NAME, 'key', TG_ARGV[0], 'old', before, 'new', after)::text, true);
    RETURN NULL;
END $$;

CREATE TRIGGER hookkeeper_preview AFTER INSERT OR UPDATE OR DELETE ON consequences FOR EACH ROW
    WHEN (current_setting('hookkeeper.preview', true) = 'on')
    EXECUTE FUNCTION note_change('scope,handler,key');
