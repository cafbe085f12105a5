-- A node that records an event may take its jobs in the same transaction, without a
-- claim; and the end of a job says whether there is a reason to claim.

-- Records events, given as arrays sorted by key, and the jobs of the fresh ones.
-- Gives back, in the same order, what the key stands for: with the number offered,
-- the event is fresh. job_event: the place of a job's event in the arrays, from 1.
-- A job with an end of a lease, job_until, is lent to job_node if it is the head of
-- its line; after the events comes a row for each that was: its event, id, handler.
CREATE FUNCTION record_and_lend(base bigint, now_us bigint, locks bigint[],
    sources text[], modes text[], keys text[], sums bytea[], trusts text[], quarantines text[], delivered bigint[],
    totals bigint[], types text[], subjects text[], occurred bigint[], sizes bigint[],
    headers bytea[], bodies bytea[], job_event bigint[], job_handler text[], job_line text[],
    job_until bigint[], job_node text[],
    OUT seq bigint, OUT fresh boolean, OUT sha256 bytea, OUT trust text, OUT job bigint, OUT handler text)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    offered bigint[];
    taken   bigint[];
    stored  bytea[];
    kept    text[];
    lent    bigint[];
    of_seq  bigint[];
    to_whom text[];
BEGIN
    PERFORM pg_advisory_xact_lock(k) FROM unnest(locks) AS k;
    offered := ARRAY(SELECT base + nextval('event_seq') FROM generate_series(1, cardinality(keys)));

    WITH claimed AS (
        INSERT INTO event_keys AS e (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine,
            deliveries, jobs_total)
        SELECT u.seq, u.source, u.mode, u.key, now_us, u.sum, u.trust, 0, u.quarantine, u.n, u.total
        FROM unnest(offered, sources, modes, keys, sums, trusts, quarantines, delivered, totals)
            AS u (seq, source, mode, key, sum, trust, quarantine, n, total)
        ON CONFLICT (source, mode, key) DO UPDATE SET deliveries = e.deliveries + excluded.deliveries
        RETURNING e.seq, e.sha256, e.trust
    )
    SELECT array_agg(c.seq), array_agg(c.sha256), array_agg(c.trust) INTO taken, stored, kept FROM claimed AS c;

    INSERT INTO events (seq, type, subject, occurred_at, size, headers)
    SELECT u.seq, u.type, u.subject, u.occurred, u.size, u.header
    FROM unnest(offered, taken, types, subjects, occurred, sizes, headers)
        AS u (seq, taken, type, subject, occurred, size, header)
    WHERE u.seq = u.taken;

    INSERT INTO bodies (seq, body)
    SELECT u.seq, u.body FROM unnest(offered, taken, bodies) AS u (seq, taken, body) WHERE u.seq = u.taken;

    IF cardinality(job_event) > 0 THEN
        WITH placed AS (
            SELECT u.handler, offered[u.event] AS seq, u.line, u.until, u.node,
                CASE WHEN u.line = '' THEN 0
                    WHEN row_number() OVER (PARTITION BY u.handler, u.line ORDER BY u.n) > 1 THEN 1
                    WHEN (SELECT h.id FROM jobs h
                        WHERE h.handler = u.handler AND h.line = u.line AND h.place = 0 AND h.line <> '' LIMIT 1) IS NOT NULL THEN 1
                    ELSE 0 END AS place
            FROM unnest(job_event, job_handler, job_line, job_until, job_node) WITH ORDINALITY AS u (event, handler, line, until, node, n)
            WHERE offered[u.event] = taken[u.event]
        ), made AS (
            INSERT INTO jobs (seq, handler, generation, line, place, made_no, made_at, hour, next_at,
                state, attempt, claim_no, started_at, lease_until, lease_by)
            SELECT p.seq, p.handler, 1, p.line, p.place, nextval('numbers'), now_us, now_us / 3600000000, now_us,
                'ready', 0, 0, 0, 0, '' FROM placed p WHERE p.place <> 0 OR p.until = 0
            UNION ALL
            SELECT p.seq, p.handler, 1, p.line, p.place, nextval('numbers'), now_us, now_us / 3600000000, now_us,
                'running', 1, nextval('numbers'), now_us, p.until, p.node FROM placed p WHERE p.place = 0 AND p.until <> 0
            RETURNING id, seq, handler, state
        )
        SELECT array_agg(m.id), array_agg(m.seq), array_agg(m.handler) INTO lent, of_seq, to_whom FROM made AS m WHERE m.state = 'running';
    END IF;

    RETURN QUERY SELECT u.taken, u.taken = u.offered, u.stored, u.kept, NULL::bigint, NULL::text
        FROM unnest(taken, offered, stored, kept) AS u (taken, offered, stored, kept);
    IF lent IS NOT NULL THEN
        RETURN QUERY SELECT u.seq, NULL::boolean, NULL::bytea, NULL::text, u.id, u.handler
            FROM unnest(lent, of_seq, to_whom) AS u (id, seq, handler);
    END IF;
END $$;

-- For nodes of the version before, which lend nothing here.
CREATE OR REPLACE FUNCTION record_events(base bigint, now_us bigint, locks bigint[],
    sources text[], modes text[], keys text[], sums bytea[], trusts text[], quarantines text[], delivered bigint[],
    totals bigint[], types text[], subjects text[], occurred bigint[], sizes bigint[],
    headers bytea[], bodies bytea[], job_event bigint[], job_handler text[], job_line text[],
    OUT seq bigint, OUT fresh boolean, OUT sha256 bytea, OUT trust text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT r.seq, r.fresh, r.sha256, r.trust
    FROM record_and_lend(base, now_us, locks, sources, modes, keys, sums, trusts, quarantines, delivered, totals, types,
        subjects, occurred, sizes, headers, bodies, job_event, job_handler, job_line,
        array_fill(0::bigint, ARRAY[cardinality(job_event)]), array_fill(''::text, ARRAY[cardinality(job_event)])) AS r;
$$;

-- Locks the jobs that are still running under these attempts, in one order: each is
-- looked up by its id. Left to itself the planner reads all jobs in that order and
-- compares each with every one of the list.
CREATE OR REPLACE FUNCTION lock_jobs(ids bigint[], tries bigint[], OUT id bigint, OUT seq bigint, OUT hour bigint, OUT line text)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT j.id, j.seq, j.hour, j.line
        FROM (SELECT v.id, v.attempt FROM unnest(ids, tries) AS v (id, attempt) ORDER BY v.id) AS u
        CROSS JOIN LATERAL (SELECT k.id, k.seq, k.hour, k.line FROM jobs k
            WHERE k.id = u.id AND k.attempt = u.attempt AND k.state || '' = 'running' FOR UPDATE) AS j; -- not by the index of those that run
END $$;

DROP FUNCTION end_jobs(bigint, bigint, bigint[], bigint[], bigint[], text[], bigint[], bigint[], text[], bigint[]);
DROP FUNCTION end_job(bigint, bigint, bigint, bigint, bigint, text, bigint, bigint, text, bigint);

-- Ends jobs whose rows the transaction has locked and whose effects have run. Says
-- whether that has made others due.
CREATE FUNCTION end_jobs(now_us bigint, slot_no bigint, locks bigint[], ids bigint[], seqs bigint[], handlers text[],
    generations bigint[], tries bigint[], lines text[], hours_of bigint[])
RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    moved boolean := false;
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
        moved := true;
    END IF;
    IF EXISTS (SELECT 1 FROM jobs j WHERE j.line = ANY (lines) AND j.line <> '' AND j.place = 2 AND j.state = 'waiting') THEN
        UPDATE jobs SET next_at = now_us WHERE id IN (
            SELECT j.id FROM jobs j WHERE j.line = ANY (lines) AND j.line <> '' AND j.place = 2 AND j.state = 'waiting'
                AND j.next_at > now_us FOR UPDATE SKIP LOCKED);
        moved := true;
    END IF;

    INSERT INTO hours AS h (hour, slot, done)
    SELECT u.hour, slot_no, count(DISTINCT u.seq) FROM unnest(seqs, hours_of) AS u (seq, hour)
    WHERE (SELECT j.id FROM jobs j WHERE j.seq = u.seq LIMIT 1) IS NULL
    GROUP BY u.hour ORDER BY u.hour
    ON CONFLICT (hour, slot) DO UPDATE SET done = h.done + excluded.done;
    RETURN moved;
END $$;

-- end_jobs for one job: the plans have no lists, and touch one partition.
CREATE FUNCTION end_job(now_us bigint, slot_no bigint, lock_no bigint, job_id bigint, job_seq bigint, job_handler text,
    job_generation bigint, job_attempt bigint, job_line text, job_hour bigint)
RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    next_id bigint;
    moved   boolean := false;
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
            moved := true;
        END IF;
        IF EXISTS (SELECT 1 FROM jobs WHERE line = job_line AND place = 2 AND state = 'waiting') THEN
            UPDATE jobs SET next_at = now_us WHERE id IN (
                SELECT j.id FROM jobs j WHERE j.line = job_line AND j.place = 2 AND j.state = 'waiting'
                    AND j.next_at > now_us FOR UPDATE SKIP LOCKED);
            moved := true;
        END IF;
    END IF;

    IF NOT EXISTS (SELECT 1 FROM jobs WHERE seq = job_seq) THEN
        INSERT INTO hours AS h (hour, slot, done) VALUES (job_hour, slot_no, 1)
        ON CONFLICT (hour, slot) DO UPDATE SET done = h.done + 1;
    END IF;
    RETURN moved;
END $$;
