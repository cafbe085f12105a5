-- The hot paths, each one round trip, with plans that the server keeps: a pooler
-- takes prepared statements away, a function it cannot. What is true between the
-- statements is told where they are called from. All of them run in a transaction
-- of ours, READ COMMITTED: each statement sees what was committed before it, and
-- so everything that those had written for whose locks an earlier one waited.

-- Makes the settings of a transaction, all of them local to it, and gives the
-- clock, in microseconds, and the slot, as one text; the limits are in milliseconds. What the
-- role says of synchronous_commit stands unless it would lose what was answered.
CREATE FUNCTION begin_work(locks text, statements text, idle text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    was text;
BEGIN
    was := set_config('jit', 'off', true);
    was := set_config('lock_timeout', locks, true);
    was := set_config('statement_timeout', statements, true);
    was := set_config('idle_in_transaction_session_timeout', idle, true);
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        was := set_config('synchronous_commit', 'on', true);
    END IF;
    was := set_config('search_path', 'hookkeeper, public', true);
    RETURN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint || ' ' || pg_backend_pid() % 64;
END $$;

-- Records events, given as arrays sorted by key, and the jobs of the fresh ones.
-- Gives back, in the same order, what the key stands for: with the number offered,
-- the event is fresh. job_event: the place of a job's event in the arrays, from 1.
CREATE FUNCTION record_events(base bigint, now_us bigint, locks bigint[],
    sources text[], modes text[], keys text[], sums bytea[], trusts text[], quarantines text[], delivered bigint[],
    totals bigint[], types text[], subjects text[], occurred bigint[], sizes bigint[],
    headers bytea[], bodies bytea[], job_event bigint[], job_handler text[], job_line text[],
    OUT seq bigint, OUT fresh boolean, OUT sha256 bytea, OUT trust text)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    offered bigint[];
    taken   bigint[];
    stored  bytea[];
    kept    text[];
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
        INSERT INTO jobs (seq, handler, generation, line, place, made_no, made_at, hour, next_at, state)
        SELECT j.seq, j.handler, 1, j.line,
            CASE WHEN j.line = '' THEN 0
                WHEN row_number() OVER (PARTITION BY j.handler, j.line ORDER BY j.n) > 1 THEN 1
                WHEN (SELECT h.id FROM jobs h
                    WHERE h.handler = j.handler AND h.line = j.line AND h.place = 0 AND h.line <> '' LIMIT 1) IS NOT NULL THEN 1
                ELSE 0 END,
            nextval('numbers'), now_us, now_us / 3600000000, now_us, 'ready'
        FROM (SELECT u.n, u.handler, offered[u.event] AS seq, u.line
            FROM unnest(job_event, job_handler, job_line) WITH ORDINALITY AS u (event, handler, line, n)
            WHERE offered[u.event] = taken[u.event]) AS j;
    END IF;

    RETURN QUERY SELECT u.taken, u.taken = u.offered, u.stored, u.kept
        FROM unnest(taken, offered, stored, kept) AS u (taken, offered, stored, kept);
END $$;

-- Adds to the counters of deliveries, one row of the arrays a total, in their order.
CREATE FUNCTION count_deliveries(hours bigint[], sources text[], types text[], outcomes text[], slots bigint[], ns bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO counters AS c (hour, source, type, outcome, slot, n)
    SELECT * FROM unnest(hours, sources, types, outcomes, slots, ns)
    ON CONFLICT (hour, source, type, outcome, slot) DO UPDATE SET n = c.n + excluded.n;
END $$;

-- Locks the jobs that are still running under these attempts, in one order.
CREATE FUNCTION lock_jobs(ids bigint[], tries bigint[], OUT id bigint, OUT seq bigint, OUT hour bigint, OUT line text)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT j.id, j.seq, j.hour, j.line
        FROM unnest(ids, tries) AS u (id, attempt) JOIN jobs j ON j.id = u.id AND j.attempt = u.attempt
        WHERE j.state = 'running' ORDER BY j.id FOR UPDATE OF j;
END $$;

-- Ends jobs whose rows the transaction has locked and whose effects have run.
CREATE FUNCTION end_jobs(now_us bigint, slot_no bigint, locks bigint[], ids bigint[], seqs bigint[], handlers text[],
    generations bigint[], tries bigint[], lines text[], hours_of bigint[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(k) FROM unnest(locks) AS k;

    DELETE FROM jobs WHERE id = ANY (ids);

    UPDATE attempts a SET end_no = nextval('numbers'), ended_at = now_us, outcome = 'done'
    FROM unnest(seqs, handlers, generations, tries) AS u (seq, handler, generation, attempt)
    WHERE a.seq = u.seq AND a.handler = u.handler AND a.generation = u.generation AND a.attempt = u.attempt;

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
CREATE FUNCTION end_job(now_us bigint, slot_no bigint, lock_no bigint, job_id bigint, job_seq bigint, job_handler text,
    job_generation bigint, job_attempt bigint, job_line text, job_hour bigint)
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    next_id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_no);

    DELETE FROM jobs WHERE id = job_id;

    UPDATE attempts SET end_no = nextval('numbers'), ended_at = now_us, outcome = 'done'
    WHERE seq = job_seq AND handler = job_handler AND generation = job_generation AND attempt = job_attempt;

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

-- Finds due jobs of a handler and locks them, live ones first; a quarter of the room
-- is for the backlog. Passes by what others hold. If look is set and there are jobs
-- that must be moved or taken over before, it says so with one row and finds none.
CREATE FUNCTION find_jobs(now_us bigint, name text, room bigint, look boolean,
    OUT care boolean, OUT id bigint, OUT old boolean, OUT size bigint)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    live bigint[];
    aged bigint[];
BEGIN
    care := look AND (EXISTS (SELECT 1 FROM jobs WHERE place = 2 AND next_at <= now_us)
        OR EXISTS (SELECT 1 FROM jobs WHERE place = 0 AND hold_until IS NOT NULL AND hold_until <= now_us
            AND state = 'retrying' AND next_at > now_us)
        OR EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND handler = name AND lease_until <= now_us));
    IF care THEN
        RETURN NEXT;
        RETURN;
    END IF;
    live := ARRAY(SELECT j.id FROM jobs j
        WHERE j.place = 0 AND j.state <> 'running' AND j.handler = name AND j.backlog = 0 AND j.next_at <= now_us
        ORDER BY j.next_at LIMIT room FOR UPDATE SKIP LOCKED);
    aged := ARRAY(SELECT j.id FROM jobs j
        WHERE j.place = 0 AND j.state <> 'running' AND j.handler = name AND j.backlog = 1 AND j.next_at <= now_us
        ORDER BY j.next_at LIMIT greatest(room - cardinality(live), (room + 3) / 4) FOR UPDATE SKIP LOCKED);
    IF cardinality(live) + cardinality(aged) > 0 THEN
        RETURN QUERY SELECT false, j.id, j.backlog = 1, e.size::bigint
            FROM unnest(live || aged) WITH ORDINALITY AS u (id, n) JOIN jobs j ON j.id = u.id JOIN events e ON e.seq = j.seq
            ORDER BY u.n;
    END IF;
END $$;

-- Lends jobs that the transaction has locked, notes the attempts, and gives the jobs
-- with their events and bodies, in any order.
CREATE FUNCTION lend_jobs(now_us bigint, until_us bigint, whom text, ids bigint[],
    OUT id bigint, OUT handler text, OUT generation integer, OUT attempt integer, OUT failed integer,
    OUT made_at bigint, OUT waiting_since bigint,
    OUT seq bigint, OUT source text, OUT mode text, OUT trust text, OUT key text, OUT type text, OUT subject text,
    OUT occurred_at bigint, OUT received_at bigint, OUT headers bytea, OUT body bytea)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH lent AS (
        UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, lease_until = until_us, lease_by = whom
        WHERE j.id = ANY (ids)
        RETURNING j.id, j.seq, j.handler, j.generation, j.attempt, j.failed, j.made_no, j.made_at, j.waiting_since
    ), noted AS (
        INSERT INTO attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at)
        SELECT l.seq, l.handler, l.generation, l.attempt, nextval('numbers'), now_us, until_us, whom, l.made_no, l.made_at
        FROM lent l
    )
    SELECT l.id, l.handler, l.generation, l.attempt, l.failed, l.made_at, l.waiting_since,
        k.seq, k.source, k.mode, k.trust, k.key, e.type, e.subject, e.occurred_at, k.received_at, e.headers, b.body
    FROM lent l JOIN event_keys k ON k.seq = l.seq JOIN events e ON e.seq = l.seq LEFT JOIN bodies b ON b.seq = l.seq;
END $$;
