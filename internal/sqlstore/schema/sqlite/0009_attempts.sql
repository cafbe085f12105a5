-- A running attempt is in the row of its job; attempts has those that have ended,
-- written once.
ALTER TABLE jobs ADD COLUMN claim_no INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN started_at INTEGER NOT NULL DEFAULT 0;

UPDATE jobs SET claim_no = a.claim_no, started_at = a.started_at
FROM attempts a
WHERE jobs.state = 'running' AND a.seq = jobs.seq AND a.handler = jobs.handler AND a.generation = jobs.generation
  AND a.attempt = jobs.attempt;
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
