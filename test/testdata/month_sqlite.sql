WITH RECURSIVE n(i) AS (SELECT $FROM UNION ALL SELECT i + 1 FROM n WHERE i < $TO)
INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
SELECT i, CASE WHEN i % 1000 = 7 THEN 'legacy' WHEN i % 10 = 3 THEN 'github' ELSE 'shop' END,
       CASE WHEN i % 1000 = 7 OR i % 10 = 3 THEN '' ELSE 'live' END, printf('evt_%020d', i), $FIRST + i * $STEP, randomblob(32),
       'signature', 0, CASE WHEN i % 50000 = 1 THEN 'unreadable' ELSE '' END, 1, CASE WHEN i % 50000 = 1 THEN 0 ELSE 1 END
FROM n;
WITH RECURSIVE n(i) AS (SELECT $FROM UNION ALL SELECT i + 1 FROM n WHERE i < $TO)
INSERT INTO events (seq, type, subject, size, headers)
SELECT i, CASE WHEN i % 100000 = 11 THEN 'radar.early_fraud_warning.created' WHEN i % 10 = 3 THEN 'push' ELSE 'invoice.kind_' || (i % 20) END,
       CASE WHEN i % 100 = 0 THEN 'sub_heavy' ELSE printf('sub_%016d', i / 10) END, 300,
       CAST('Content-Type: application/json' || char(10) || 'Stripe-Signature: t=1700000000,v1=' || lower(hex(randomblob(32))) || char(10) AS BLOB)
FROM n;
WITH RECURSIVE n(i) AS (SELECT $FROM UNION ALL SELECT i + 1 FROM n WHERE i < $TO)
INSERT INTO bodies (seq, body)
SELECT i, CAST(printf('{"id":"evt_%020d","data":{"object":{"customer":"cus_%08d","status":"%s","n":%d}},"pad":"%s"}', i, i / 5,
       CASE WHEN i % 2 = 0 THEN 'active' ELSE 'past_due' END, i, hex(randomblob(85))) AS BLOB)
FROM n;
WITH RECURSIVE n(i) AS (SELECT $FROM UNION ALL SELECT i + 1 FROM n WHERE i < $TO)
INSERT INTO attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at, end_no, ended_at, outcome, error)
SELECT i, 'log', 1, 1, 2 * $ALL + i, $FIRST + i * $STEP + 1000, $FIRST + i * $STEP + 30000000, 'n', i, $FIRST + i * $STEP, 4 * $ALL + i,
       $FIRST + i * $STEP + 4000, CASE WHEN i % 5000 = 2 THEN 'dead' ELSE 'done' END, CASE WHEN i % 5000 = 2 THEN 'dial tcp: timeout ' || (i % 7) END
FROM n WHERE i % 50000 <> 1 AND i % 100000 <> 4;
WITH RECURSIVE n(i) AS (SELECT $FROM UNION ALL SELECT i + 1 FROM n WHERE i < $TO)
INSERT INTO jobs (seq, handler, generation, line, place, state, attempt, failed, made_no, made_at, hour, next_at, last_error, waiting_since)
SELECT i, 'log', 1, '', CASE WHEN i % 5000 = 2 THEN 3 ELSE 2 END, CASE WHEN i % 5000 = 2 THEN 'dead' ELSE 'waiting' END,
       CASE WHEN i % 5000 = 2 THEN 1 ELSE 0 END, 0, i, $FIRST + i * $STEP, ($FIRST + i * $STEP) / 3600000000,
       9000000000000000, 'dial tcp: timeout ' || (i % 7), $FIRST + i * $STEP
FROM n WHERE i % 5000 = 2 OR i % 100000 = 4;
-- END
INSERT INTO hours (hour, first_seq, done)
SELECT received_at / 3600000000, min(seq), count(*) FILTER (WHERE jobs_total > 0 AND seq NOT IN (SELECT seq FROM jobs))
FROM event_keys GROUP BY received_at / 3600000000;
INSERT INTO counters (hour, source, type, outcome, n)
SELECT k.received_at / 3600000000, k.source, e.type, 'recorded', count(*)
FROM event_keys k JOIN events e ON e.seq = k.seq GROUP BY 1, 2, 3;
UPDATE meta SET value = value + 8 * $ALL WHERE name = 'numbers';
PRAGMA wal_checkpoint(TRUNCATE);
ANALYZE;
