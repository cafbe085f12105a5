-- A batch of deliveries is recorded by one call, which can go out with the begin: it
-- takes the time by itself, and counts what it has recorded.

-- Records events, given as arrays sorted by key, and the jobs of the fresh ones.
-- now_us: null for the clock of the server. repeats: how many more deliveries of the
-- very same bytes come with each; null to count nothing. job_event: the place of a job's event in the arrays,
-- from 1. A job with a lease, in microseconds, is lent to job_node if it is the head of
-- its line.
--
-- Gives back, in the same order, what the key stands for: with the number offered, the
-- event is fresh. What is fresh, and what has the bytes of the stored event, has been
-- counted; the rest the caller has to look at first. After the events comes a row for
-- each job that was lent: its event, id, handler. at_us is the time of all of it.
CREATE FUNCTION record_batch(now_us bigint, locks bigint[],
    sources text[], modes text[], keys text[], sums bytea[], trusts text[], quarantines text[], delivered bigint[],
    repeats bigint[], totals bigint[], types text[], subjects text[], occurred bigint[], sizes bigint[],
    headers bytea[], bodies bytea[], job_event bigint[], job_handler text[], job_line text[],
    job_lease bigint[], job_node text[],
    OUT at_us bigint, OUT seq bigint, OUT fresh boolean, OUT sha256 bytea, OUT trust text, OUT job bigint, OUT handler text)
RETURNS SETOF record LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    clock   bigint := coalesce(now_us, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    offered bigint[];
    taken   bigint[];
    stored  bytea[];
    kept    text[];
    lent    bigint[];
    of_seq  bigint[];
    to_whom text[];
BEGIN
    PERFORM pg_advisory_xact_lock(k) FROM unnest(locks) AS k;
    offered := ARRAY(SELECT clock / 86400000000 * 100000000000 + nextval('event_seq') FROM generate_series(1, cardinality(keys)));

    WITH claimed AS (
        INSERT INTO event_keys AS e (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine,
            deliveries, jobs_total)
        SELECT u.seq, u.source, u.mode, u.key, clock, u.sum, u.trust, 0, u.quarantine, u.n, u.total
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
            SELECT u.handler, offered[u.event] AS seq, u.line, u.lease, u.node,
                CASE WHEN u.line = '' THEN 0
                    WHEN row_number() OVER (PARTITION BY u.handler, u.line ORDER BY u.n) > 1 THEN 1
                    WHEN (SELECT h.id FROM jobs h
                        WHERE h.handler = u.handler AND h.line = u.line AND h.place = 0 AND h.line <> '' LIMIT 1) IS NOT NULL THEN 1
                    ELSE 0 END AS place
            FROM unnest(job_event, job_handler, job_line, job_lease, job_node) WITH ORDINALITY AS u (event, handler, line, lease, node, n)
            WHERE offered[u.event] = taken[u.event]
        ), made AS (
            INSERT INTO jobs (seq, handler, generation, line, place, made_no, made_at, hour, next_at,
                state, attempt, claim_no, started_at, lease_until, lease_by)
            SELECT p.seq, p.handler, 1, p.line, p.place, nextval('numbers'), clock, clock / 3600000000, clock,
                'ready', 0, 0, 0, 0, '' FROM placed p WHERE p.place <> 0 OR p.lease = 0
            UNION ALL
            SELECT p.seq, p.handler, 1, p.line, p.place, nextval('numbers'), clock, clock / 3600000000, clock,
                'running', 1, nextval('numbers'), clock, clock + p.lease, p.node FROM placed p WHERE p.place = 0 AND p.lease <> 0
            RETURNING id, seq, handler, state
        )
        SELECT array_agg(m.id), array_agg(m.seq), array_agg(m.handler) INTO lent, of_seq, to_whom FROM made AS m WHERE m.state = 'running';
    END IF;

    IF repeats IS NOT NULL THEN
        INSERT INTO counters AS c (hour, source, type, outcome, slot, n)
        SELECT clock / 3600000000, u.source, u.type, u.outcome, pg_backend_pid() % 64, sum(u.n) FROM (
            SELECT v.source, v.type, CASE WHEN v.quarantine = '' THEN 'recorded' ELSE 'quarantined' END AS outcome, 1 AS n
            FROM unnest(offered, taken, sources, types, quarantines) AS v (offered, taken, source, type, quarantine)
            WHERE v.offered = v.taken
            UNION ALL
            SELECT v.source, v.type, 'duplicate', v.n + CASE WHEN v.offered = v.taken OR v.trust = 'sender_api' THEN 0 ELSE 1 END
            FROM unnest(offered, taken, sources, types, trusts, repeats, sums, stored)
                AS v (offered, taken, source, type, trust, n, sum, stored)
            WHERE v.offered = v.taken OR v.sum = v.stored) AS u (source, type, outcome, n)
        WHERE u.n > 0 GROUP BY u.source, u.type, u.outcome ORDER BY u.source, u.type, u.outcome
        ON CONFLICT (hour, source, type, outcome, slot) DO UPDATE SET n = c.n + excluded.n;
    END IF;

    RETURN QUERY SELECT clock, u.taken, u.taken = u.offered, u.stored, u.kept, NULL::bigint, NULL::text
        FROM unnest(taken, offered, stored, kept) AS u (taken, offered, stored, kept);
    IF lent IS NOT NULL THEN
        RETURN QUERY SELECT clock, u.seq, NULL::boolean, NULL::bytea, NULL::text, u.id, u.handler
            FROM unnest(lent, of_seq, to_whom) AS u (id, seq, handler);
    END IF;
END $$;

-- For nodes of the version before, which may run beside, and which count for themselves.
-- base is that of now_us; job_until is the end of a lease, or 0.
CREATE OR REPLACE FUNCTION record_and_lend(base bigint, now_us bigint, locks bigint[],
    sources text[], modes text[], keys text[], sums bytea[], trusts text[], quarantines text[], delivered bigint[],
    totals bigint[], types text[], subjects text[], occurred bigint[], sizes bigint[],
    headers bytea[], bodies bytea[], job_event bigint[], job_handler text[], job_line text[],
    job_until bigint[], job_node text[],
    OUT seq bigint, OUT fresh boolean, OUT sha256 bytea, OUT trust text, OUT job bigint, OUT handler text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT r.seq, r.fresh, r.sha256, r.trust, r.job, r.handler
    FROM record_batch(now_us, locks, sources, modes, keys, sums, trusts, quarantines, delivered, NULL, totals, types,
        subjects, occurred, sizes, headers, bodies, job_event, job_handler, job_line,
        ARRAY(SELECT CASE u.until WHEN 0 THEN 0 ELSE u.until - now_us END FROM unnest(job_until) WITH ORDINALITY AS u (until, n) ORDER BY u.n),
        job_node) AS r;
$$;

DROP FUNCTION record_events(bigint, bigint, bigint[], text[], text[], text[], bytea[], text[], text[], bigint[],
    bigint[], text[], text[], bigint[], bigint[], bytea[], bytea[], bigint[], text[], text[]);
