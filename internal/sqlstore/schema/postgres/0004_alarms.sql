-- What is, or was, not as it should be. raised_at: null while it has not lasted
-- for long enough; calm_since: it is as it should be again, but not for long;
-- told: 1 that it was raised, 2 that it is resolved, and then nothing is left to do.
CREATE TABLE alarms (
    id          text PRIMARY KEY,
    rule        text NOT NULL,
    object      text NOT NULL,
    since       timestamptz NOT NULL,
    raised_at   timestamptz,
    calm_since  timestamptz,
    resolved_at timestamptz,
    moved_at    timestamptz NOT NULL,
    value       bigint NOT NULL,
    mark        bigint NOT NULL DEFAULT 0,
    told        bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX alarms_open ON alarms (rule, object) WHERE resolved_at IS NULL;
CREATE INDEX alarms_untold ON alarms (id) WHERE told < 2;
CREATE INDEX alarms_over ON alarms (resolved_at) WHERE told = 2;
