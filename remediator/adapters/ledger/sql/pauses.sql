-- name: put_pause
-- Pauses a scope, for $5 seconds or until it is lifted.
INSERT INTO remediator.pauses (scope, key, reason, actor, until)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5::float8))
RETURNING number, scope, key, reason, actor, since, until;

-- name: pauses_in_force
-- All pauses that stop something now, the oldest first.
SELECT number, scope, key, reason, actor, since, until
FROM remediator.pauses
WHERE lifted_at IS NULL AND (until IS NULL OR until > clock_timestamp())
ORDER BY number;

-- name: lift_pauses
-- Lifts the pauses of one scope ($1, $2), or the one with the number $3, and returns those that were in force.
UPDATE remediator.pauses
SET lifted_at = clock_timestamp(), lifted_by = $4
WHERE lifted_at IS NULL AND (until IS NULL OR until > clock_timestamp())
  AND CASE WHEN $3::bigint IS NULL THEN scope = $1 AND key = $2 ELSE number = $3 END
RETURNING number, scope, key, reason, actor, since, until;

-- name: hasten_paused
-- Candidates that were held for a pause are due now.
UPDATE remediator.candidates
SET not_before = clock_timestamp()
WHERE state = 'held' AND 'paused' = ANY (last_reasons) AND not_before > clock_timestamp();
