-- Puts the head of a line back behind an earlier job, unless a claim or an end has it in
-- hand: then it runs, and stays the head. The caller has the lock of the line, and who
-- has the row may wait for that lock, so nobody may wait here. SKIP LOCKED alone does
-- wait: where the row's version that this statement sees was replaced in the moment in
-- which its lock is asked for, PostgreSQL waits for whoever has the next version.
CREATE FUNCTION give_way(head bigint) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '20ms' AS $$
BEGIN
    UPDATE jobs SET place = 1 WHERE id = (
        SELECT id FROM jobs WHERE id = head AND place = 0 AND state <> 'running' FOR UPDATE SKIP LOCKED);
    RETURN FOUND;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;
