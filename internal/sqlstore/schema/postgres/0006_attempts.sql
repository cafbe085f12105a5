-- A running attempt is in the row of its job; attempts has those that have ended,
-- written once.
ALTER TABLE jobs ADD COLUMN claim_no bigint NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN started_at bigint NOT NULL DEFAULT 0;

UPDATE jobs j SET claim_no = a.claim_no, started_at = a.started_at
FROM attempts a
WHERE j.state = 'running' AND a.seq = j.seq AND a.handler = j.handler AND a.generation = j.generation
  AND a.attempt = j.attempt;
DELETE FROM attempts WHERE outcome = 'running' AND seq IN (SELECT seq FROM jobs WHERE state = 'running');

-- Both together: what has run, or does.
CREATE VIEW runs AS
SELECT seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at,
       end_no, ended_at, outcome, error
FROM attempts
UNION ALL
SELECT seq, handler, generation, attempt, claim_no, started_at, lease_until, lease_by, made_no, made_at,
       NULL, NULL, 'running', NULL
FROM jobs WHERE state = 'running';

-- Lends jobs that the transaction has locked, and gives them with their events and
-- bodies, in any order.
CREATE OR REPLACE FUNCTION lend_jobs(now_us bigint, until_us bigint, whom text, ids bigint[],
    OUT id bigint, OUT handler text, OUT generation integer, OUT attempt integer, OUT failed integer,
    OUT made_at bigint, OUT waiting_since bigint,
    OUT seq bigint, OUT source text, OUT mode text, OUT trust text, OUT key text, OUT type text, OUT subject text,
    OUT occurred_at bigint, OUT received_at bigint, OUT headers bytea, OUT body bytea)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH lent AS (
        UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, lease_until = until_us, lease_by = whom,
            claim_no = nextval('numbers'), started_at = now_us
        WHERE j.id = ANY (ids)
        RETURNING j.id, j.seq, j.handler, j.generation, j.attempt, j.failed, j.made_at, j.waiting_since
    )
    SELECT l.id, l.handler, l.generation, l.attempt, l.failed, l.made_at, l.waiting_since,
        k.seq, k.source, k.mode, k.trust, k.key, e.type, e.subject, e.occurred_at, k.received_at, e.headers, b.body
    FROM lent l JOIN event_keys k ON k.seq = l.seq JOIN events e ON e.seq = l.seq LEFT JOIN bodies b ON b.seq = l.seq;
END $$;

-- Ends jobs whose rows the transaction has locked and whose effects have run.
CREATE OR REPLACE FUNCTION end_jobs(now_us bigint, slot_no bigint, locks bigint[], ids bigint[], seqs bigint[], handlers text[],
    generations bigint[], tries bigint[], lines text[], hours_of bigint[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(k) FROM unnest(locks) AS k;

    WITH gone AS (DELETE FROM jobs WHERE id = ANY (ids) RETURNING *)
    INSERT INTO attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at, end_no, ended_at, outcome)
    SELECT seq, handler, generation, attempt, claim_no, started_at, lease_until, lease_by, made_no, made_at,
        nextval('numbers'), now_us, 'done'
    FROM gone;

    -- Most lines have nobody else: one look finds that out, and is cheaper than two
    -- updates that change nothing.
    IF EXISTS (SELECT 1 FROM unnest(handlers, lines) AS u (handler, line) WHERE u.line <> ''
            AND (SELECT j.id FROM jobs j WHERE j.handler = u.handler AND j.line = u.line AND j.place = 1 LIMIT 1) IS NOT NULL) THEN
        UPDATE jobs SET place = 0 WHERE id IN (
            SELECT (SELECT j.id FROM jobs j WHERE j.handler = u.handler AND j.line = u.line AND j.place = 1 ORDER BY j.seq LIMIT 1)
            FROM (SELECT DISTINCT v.handler, v.line FROM unnest(handlers, lines) AS v (handler, line) WHERE v.line <> '') AS u
            WHERE (SELECT h.id FROM jobs h
                WHERE h.handler = u.handler AND h.line = u.line AND h.place = 0 AND h.line <> '' LIMIT 1) IS NULL);
    END IF;
    IF EXISTS (SELECT 1 FROM jobs j WHERE j.line = ANY (lines) AND j.line <> '' AND j.place = 2 AND j.state = 'waiting') THEN
        UPDATE jobs SET next_at = now_us WHERE id IN (
            SELECT j.id FROM jobs j WHERE j.line = ANY (lines) AND j.line <> '' AND j.place = 2 AND j.state = 'waiting'
                AND j.next_at > now_us FOR UPDATE SKIP LOCKED);
    END IF;

    INSERT INTO hours AS h (hour, slot, done)
    SELECT u.hour, slot_no, count(DISTINCT u.seq) FROM unnest(seqs, hours_of) AS u (seq, hour)
    WHERE (SELECT j.id FROM jobs j WHERE j.seq = u.seq LIMIT 1) IS NULL
    GROUP BY u.hour ORDER BY u.hour
    ON CONFLICT (hour, slot) DO UPDATE SET done = h.done + excluded.done;
END $$;

-- end_jobs for one job: the plans have no lists, and touch one partition.
CREATE OR REPLACE FUNCTION end_job(now_us bigint, slot_no bigint, lock_no bigint, job_id bigint, job_seq bigint, job_handler text,
    job_generation bigint, job_attempt bigint, job_line text, job_hour bigint)
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    next_id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_no);

    WITH gone AS (DELETE FROM jobs WHERE id = job_id RETURNING *)
    INSERT INTO attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at, end_no, ended_at, outcome)
    SELECT seq, handler, generation, attempt, claim_no, started_at, lease_until, lease_by, made_no, made_at,
        nextval('numbers'), now_us, 'done'
    FROM gone;

    IF job_line <> '' THEN
        SELECT id INTO next_id FROM jobs
        WHERE handler = job_handler AND line = job_line AND place = 1 ORDER BY seq LIMIT 1;
        IF next_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs
                WHERE handler = job_handler AND line = job_line AND place = 0 AND line <> '') THEN
            UPDATE jobs SET place = 0 WHERE id = next_id;
        END IF;
        IF EXISTS (SELECT 1 FROM jobs WHERE line = job_line AND place = 2 AND state = 'waiting') THEN
            UPDATE jobs SET next_at = now_us WHERE id IN (
                SELECT j.id FROM jobs j WHERE j.line = job_line AND j.place = 2 AND j.state = 'waiting'
                    AND j.next_at > now_us FOR UPDATE SKIP LOCKED);
        END IF;
    END IF;

    IF NOT EXISTS (SELECT 1 FROM jobs WHERE seq = job_seq) THEN
        INSERT INTO hours AS h (hour, slot, done) VALUES (job_hour, slot_no, 1)
        ON CONFLICT (hour, slot) DO UPDATE SET done = h.done + 1;
    END IF;
END $$;
