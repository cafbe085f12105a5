INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
SELECT at / 86400000000 * 100000000000 + i, CASE WHEN i % 1000 = 7 THEN 'legacy' WHEN i % 10 = 3 THEN 'github' ELSE 'shop' END,
       CASE WHEN i % 1000 = 7 OR i % 10 = 3 THEN '' ELSE 'live' END, 'evt_' || lpad(i::text, 20, '0'), at, sha256(i::text::bytea),
       'signature', 0, CASE WHEN i % 50000 = 1 THEN 'unreadable' ELSE '' END, 1, CASE WHEN i % 50000 = 1 THEN 0 ELSE 1 END
FROM (SELECT i, $FIRST + i * $STEP AS at FROM generate_series($FROM::bigint, $TO::bigint) AS i) n;
INSERT INTO events (seq, type, subject, size, headers)
SELECT at / 86400000000 * 100000000000 + i, CASE WHEN i % 100000 = 11 THEN 'radar.early_fraud_warning.created' WHEN i % 10 = 3 THEN 'push' ELSE 'invoice.kind_' || (i % 20) END,
       CASE WHEN i % 100 = 0 THEN 'sub_heavy' ELSE 'sub_' || lpad((i / 10)::text, 16, '0') END, 300,
       convert_to(E'Content-Type: application/json\nStripe-Signature: t=1700000000,v1=' || encode(sha256(i::text::bytea), 'hex') || E'\n', 'UTF8')
FROM (SELECT i, $FIRST + i * $STEP AS at FROM generate_series($FROM::bigint, $TO::bigint) AS i) n;
INSERT INTO bodies (seq, body)
SELECT at / 86400000000 * 100000000000 + i, convert_to('{"id":"evt_' || lpad(i::text, 20, '0') || '","data":{"object":{"customer":"cus_' || lpad((i / 5)::text, 8, '0')
       || '","status":"' || CASE WHEN i % 2 = 0 THEN 'active' ELSE 'past_due' END || '","n":' || i || '}},"pad":"' || repeat(md5(i::text), 5) || '"}', 'UTF8')
FROM (SELECT i, $FIRST + i * $STEP AS at FROM generate_series($FROM::bigint, $TO::bigint) AS i) n;
INSERT INTO attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at, end_no, ended_at, outcome, error)
SELECT at / 86400000000 * 100000000000 + i, 'log', 1, 1, 2 * $ALL::bigint + i, at + 1000, at + 30000000, 'n', i, at, 4 * $ALL::bigint + i,
       at + 4000, CASE WHEN i % 5000 = 2 THEN 'dead' ELSE 'done' END, CASE WHEN i % 5000 = 2 THEN 'dial tcp: timeout ' || (i % 7) END
FROM (SELECT i, $FIRST + i * $STEP AS at FROM generate_series($FROM::bigint, $TO::bigint) AS i) n WHERE i % 50000 <> 1 AND i % 100000 <> 4;
INSERT INTO jobs (seq, handler, generation, line, place, state, attempt, failed, made_no, made_at, hour, next_at, last_error, waiting_since)
SELECT at / 86400000000 * 100000000000 + i, 'log', 1, '', CASE WHEN i % 5000 = 2 THEN 3 ELSE 2 END, CASE WHEN i % 5000 = 2 THEN 'dead' ELSE 'waiting' END,
       CASE WHEN i % 5000 = 2 THEN 1 ELSE 0 END, 0, i, at, at / 3600000000, 9000000000000000, 'dial tcp: timeout ' || (i % 7), at
FROM (SELECT i, $FIRST + i * $STEP AS at FROM generate_series($FROM::bigint, $TO::bigint) AS i) n WHERE i % 5000 = 2 OR i % 100000 = 4;
-- END
INSERT INTO hours (hour, slot, done)
SELECT received_at / 3600000000, 0, count(*) FILTER (WHERE jobs_total > 0 AND seq NOT IN (SELECT seq FROM jobs))
FROM event_keys GROUP BY received_at / 3600000000;
INSERT INTO counters (hour, slot, source, type, outcome, n)
SELECT k.received_at / 3600000000, 0, k.source, e.type, 'recorded', count(*)
FROM event_keys k JOIN events e ON e.seq = k.seq GROUP BY 1, 3, 4;
SELECT setval('event_seq', $ALL);
SELECT setval('numbers', 8 * $ALL::bigint);
VACUUM (ANALYZE);
CHECKPOINT;
