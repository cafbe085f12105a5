-- Events $1 to $2 as a month ago: no handler wanted them, so nothing is open.
-- Keys rise with time, as Stripe's do.
WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
SELECT i, 'stripe', 'test', printf('evt_0stored%016d', i),
       (unixepoch() - 2592000) * 1000000 + i, randomblob(32), 'signature', 0, '', 1, 0
FROM n;
WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
INSERT INTO events (seq, type, subject, size, headers)
SELECT i, 'invoice.paid', printf('sub_0stored%016d', i), 300,
       CAST('Content-Type: application/json' || char(10) || 'Stripe-Signature: t=1700000000,v1=' || lower(hex(randomblob(32))) || char(10) AS BLOB)
FROM n;
WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
INSERT INTO bodies (seq, body)
SELECT i, CAST('{"id":"' || printf('evt_0stored%016d', i) || '","pad":"' || hex(randomblob(130)) || '"}' AS BLOB)
FROM n;
