-- Events $1 to $2 as a month ago, in the partitions of today: no handler wanted
-- them, so nothing is open. Keys rise with time, as Stripe's do.
INSERT INTO event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
SELECT floor(extract(epoch FROM now()) / 86400)::bigint * 100000000000 + i, 'stripe', 'test', 'evt_0stored' || lpad(i::text, 16, '0'),
       (extract(epoch FROM now())::bigint - 2592000) * 1000000 + i, sha256(i::text::bytea), 'signature', 0, '', 1, 0
FROM generate_series($1::bigint, $2::bigint) AS i;
INSERT INTO events (seq, type, subject, size, headers)
SELECT floor(extract(epoch FROM now()) / 86400)::bigint * 100000000000 + i, 'invoice.paid', 'sub_0stored' || lpad(i::text, 16, '0'), 300,
       convert_to(E'Content-Type: application/json\nStripe-Signature: t=1700000000,v1=' || encode(sha256(i::text::bytea), 'hex') || E'\n', 'UTF8')
FROM generate_series($1::bigint, $2::bigint) AS i;
INSERT INTO bodies (seq, body)
SELECT floor(extract(epoch FROM now()) / 86400)::bigint * 100000000000 + i,
       convert_to('{"id":"evt_0stored' || lpad(i::text, 16, '0') || '","pad":"' || repeat(md5(i::text), 8) || '"}', 'UTF8')
FROM generate_series($1::bigint, $2::bigint) AS i;
