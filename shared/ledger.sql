-- name: claim
-- The first writer gets the row. A row that exists is answered by claim_existing.
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[], $7::text[])
        AS t (execution_id, connection_id, revision, action, idempotent, deadline, reply_to)
)
INSERT INTO executions (execution_id, connection_id, revision, action, state, idempotent, attempt,
                        worker, lease_until, deadline, reply_to, claimed_at)
SELECT execution_id, connection_id, revision, action, 'claimed', idempotent, 1, $8,
       clock_timestamp() + $9::interval, deadline, reply_to, clock_timestamp()
FROM asked WHERE clock_timestamp() < deadline
ORDER BY execution_id
ON CONFLICT (execution_id) DO NOTHING
RETURNING execution_id, deadline - clock_timestamp() AS remaining

-- name: claim_existing
UPDATE executions SET attempt = attempt + 1, worker = $2, lease_until = clock_timestamp() + $3::interval,
                      claimed_at = clock_timestamp()
WHERE execution_id = $1 AND state = 'claimed' AND lease_until < clock_timestamp()
  AND idempotent AND clock_timestamp() < deadline AND attempt < $4
RETURNING attempt, deadline - clock_timestamp() AS remaining

-- name: read
SELECT execution_id, state, attempt, worker, idempotent, reply_to, result, deadline, lease_until,
       published_at IS NOT NULL AS published, applied_at IS NOT NULL AS applied,
       lease_until - clock_timestamp() AS lease_left, clock_timestamp() >= deadline AS passed
FROM executions WHERE execution_id = ANY($1::uuid[])

-- name: record
-- Fenced: only the holder of this very claim writes its outcome (I1). A claim is told by its missing
-- outcome, which a CHECK ties to `state`: asked for the state, the planner also reads the index of
-- what is claimed, with every entry that a vacuum has not taken yet, once for each batch.
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::bytea[])
        AS t (execution_id, attempt, outcome, result)
), locked AS (
    SELECT e.execution_id, asked.outcome, asked.result FROM executions e
    JOIN asked ON e.execution_id = asked.execution_id AND e.attempt = asked.attempt
    WHERE e.execution_id = ANY($1::uuid[]) AND e.outcome IS NULL
    ORDER BY e.execution_id FOR UPDATE OF e
), decided AS (
    UPDATE executions e SET state = 'decided', outcome = locked.outcome, result = locked.result,
                            decided_at = clock_timestamp()
    FROM locked WHERE e.execution_id = locked.execution_id AND e.execution_id = ANY($1::uuid[])
    RETURNING e.execution_id, e.connection_id, e.action, e.outcome, e.attempt, e.reply_to
), told AS (
    INSERT INTO events (type, connection_id, data)
    SELECT 'execution.decided', connection_id, jsonb_build_object(
        'execution_id', execution_id, 'action', action, 'outcome', outcome, 'attempt', attempt,
        'origin', CASE WHEN strpos(reply_to, '.') > 0 THEN split_part(reply_to, '.', 1) ELSE 'auth' END)
    FROM decided WHERE $5
)
SELECT execution_id FROM decided

-- name: decide_unrun
-- The tombstone: it was not run, and from now on can't be (I5, I6).
WITH decided AS (
    INSERT INTO executions (execution_id, connection_id, revision, action, state, idempotent, attempt,
                            deadline, reply_to, outcome, result, decided_at)
    VALUES ($1, $2, $3, $4, 'decided', $5, 0, $6, $7, $8, $9, clock_timestamp())
    ON CONFLICT (execution_id) DO NOTHING
    RETURNING execution_id, connection_id, action, outcome, attempt, reply_to
), told AS (
    INSERT INTO events (type, connection_id, data)
    SELECT 'execution.decided', connection_id, jsonb_build_object(
        'execution_id', execution_id, 'action', action, 'outcome', outcome, 'attempt', attempt,
        'origin', CASE WHEN strpos(reply_to, '.') > 0 THEN split_part(reply_to, '.', 1) ELSE 'auth' END)
    FROM decided WHERE $10
)
SELECT 1 FROM decided

-- name: decide_lost
WITH decided AS (
    UPDATE executions SET state = 'decided', outcome = $2, result = $3, decided_at = clock_timestamp()
    WHERE execution_id = $1 AND state = 'claimed' AND lease_until < clock_timestamp()
      AND NOT (idempotent AND clock_timestamp() < deadline AND attempt < $4)
    RETURNING execution_id, connection_id, action, outcome, attempt, reply_to
), told AS (
    INSERT INTO events (type, connection_id, data)
    SELECT 'execution.decided', connection_id, jsonb_build_object(
        'execution_id', execution_id, 'action', action, 'outcome', outcome, 'attempt', attempt,
        'origin', CASE WHEN strpos(reply_to, '.') > 0 THEN split_part(reply_to, '.', 1) ELSE 'auth' END)
    FROM decided WHERE $5
)
SELECT 1 FROM decided

-- name: renew
-- The missing outcome instead of the state: see `record`.
UPDATE executions e SET lease_until = clock_timestamp() + $4::interval
FROM unnest($1::uuid[], $2::smallint[]) AS t (execution_id, attempt)
WHERE e.execution_id = t.execution_id AND e.execution_id = ANY($1::uuid[]) AND e.attempt = t.attempt
  AND e.worker = $3 AND e.outcome IS NULL
RETURNING e.execution_id

-- name: mark_published
WITH locked AS (
    SELECT execution_id FROM executions
    WHERE execution_id = ANY($1::uuid[]) AND published_at IS NULL AND state <> 'claimed'
    ORDER BY execution_id FOR UPDATE
)
UPDATE executions e SET published_at = clock_timestamp(),
                        state = CASE WHEN state = 'decided' THEN 'published' ELSE state END
FROM locked WHERE e.execution_id = locked.execution_id AND e.execution_id = ANY($1::uuid[])

-- name: apply
WITH locked AS (
    SELECT execution_id FROM executions
    WHERE execution_id = ANY($1::uuid[]) AND state IN ('decided', 'published')
    ORDER BY execution_id FOR UPDATE
)
-- What was applied has arrived, so that nobody needs to publish it again: the note that says so
-- comes later, and finds nothing to write.
UPDATE executions e SET applied_at = clock_timestamp(), state = 'applied',
                        published_at = coalesce(published_at, clock_timestamp())
FROM locked WHERE e.execution_id = locked.execution_id AND e.execution_id = ANY($1::uuid[])
RETURNING e.execution_id

-- name: unpublished
SELECT execution_id, reply_to, result FROM executions
WHERE decided_at < clock_timestamp() - $1::interval AND published_at IS NULL
ORDER BY decided_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: lost
-- Claims whose lease is dead and that nobody may repeat (I6).
SELECT execution_id, connection_id, revision, action, attempt, deadline, reply_to FROM executions
WHERE state = 'claimed' AND lease_until < clock_timestamp()
  AND NOT (idempotent AND clock_timestamp() < deadline AND attempt < $1)
ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: counts
SELECT count(*) AS requests, count(outcome) AS outcomes,
       count(*) FILTER (WHERE state = 'claimed') AS undecided,
       count(*) FILTER (WHERE published_at IS NULL AND outcome IS NOT NULL) AS unpublished,
       count(*) FILTER (WHERE applied_at IS NULL AND outcome IS NOT NULL) AS unapplied,
       coalesce(sum(greatest(attempt - 1, 0)), 0) AS repeated
FROM executions

-- name: kinds
SELECT outcome, count(*) AS number FROM executions WHERE outcome IS NOT NULL GROUP BY outcome
