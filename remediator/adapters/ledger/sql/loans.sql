-- name: find_loans
-- What was lent since the last look, as the actions tell: it was stored, so it will go back, whoever did it and died.
INSERT INTO remediator.loans (action, incident, target_key, return_at, check_at, last)
SELECT lending.number, lending.incident, lending.target_key, due.at, due.at, lending.number
FROM remediator.actions AS lending
CROSS JOIN LATERAL (
    SELECT lending.applied_at + make_interval(secs => (lending.plan ->> 'return_after_s')::float8) AS at
) AS due
WHERE lending.plan ->> 'return_after_s' IS NOT NULL AND lending.applied_at IS NOT NULL AND lending.mode = 'enforce'
  AND lending.number > coalesce((SELECT max(action) FROM remediator.loans), 0) - $1
  AND NOT EXISTS (SELECT FROM remediator.loans AS known WHERE known.action = lending.number)
ON CONFLICT (action) DO NOTHING
RETURNING action;

-- name: undone_loans
-- What a person has taken back does not have to go back any more.
UPDATE remediator.loans AS loan
SET state = 'returned', ended_at = clock_timestamp(), note = 'undone by A' || undo.number
FROM remediator.actions AS undo
WHERE loan.state = 'lent' AND undo.incident = loan.incident AND undo.state = 'recovered'
  AND (undo.plan -> 'undoes' ->> 'action')::bigint = loan.last AND undo.plan -> 'undoes' ->> 'loan' IS NULL
RETURNING loan.action, loan.incident, loan.target_key, loan.note;

-- name: steps_of_loans
-- How far the return of each loan has come that was asked for: its candidate, and the action that this became.
SELECT loan.action, loan.incident, loan.target_key, loan.tries, candidate.state AS asked, candidate.last_reasons AS reasons,
       step.number, step.state, step.note, (step.plan -> 'undoes' ->> 'last')::boolean AS final
FROM remediator.loans AS loan
JOIN remediator.candidates AS candidate ON candidate.id = loan.candidate
LEFT JOIN remediator.actions AS step ON step.candidate = loan.candidate
WHERE loan.state = 'returning' AND loan.check_at <= statement_timestamp()
ORDER BY loan.check_at
LIMIT $1
FOR UPDATE OF loan SKIP LOCKED;

-- name: move_loan
-- One step further, or the end of it.
UPDATE remediator.loans
SET state = $2, last = coalesce($3, last), tries = $4, note = $5, check_at = statement_timestamp() + make_interval(secs => $6),
    ended_at = CASE WHEN $2 IN ('returned', 'kept') THEN clock_timestamp() END
WHERE action = $1;

-- name: due_loans
-- What may go back now: it is time, nothing of the target is open, nothing moves it, nothing that was lent upon it is still
-- out; and nothing was so for $2 seconds.
SELECT loan.action, loan.incident, loan.target_key, loan.return_at, lending.rule, candidate.labels::text AS labels,
       incident.severity, candidate.priority
FROM remediator.loans AS loan
JOIN remediator.actions AS lending ON lending.number = loan.action
JOIN remediator.candidates AS candidate ON candidate.id = lending.candidate
JOIN remediator.incidents AS incident ON incident.id = loan.incident
WHERE loan.state = 'lent' AND loan.check_at <= statement_timestamp()
  AND NOT EXISTS (
      SELECT FROM remediator.loans AS upon
      WHERE upon.target_key = loan.target_key AND upon.action > loan.action
        AND (upon.ended_at IS NULL OR upon.ended_at > statement_timestamp() - make_interval(secs => $2))
  )
  AND NOT EXISTS (
      SELECT FROM remediator.incidents AS other
      WHERE other.target_key = loan.target_key
        AND (other.state <> 'resolved' OR other.resolved_at > statement_timestamp() - make_interval(secs => $2))
  )
  AND NOT EXISTS (
      SELECT FROM remediator.actions AS busy
      WHERE busy.target_key = loan.target_key AND busy.changes AND busy.mode = 'enforce'
        AND busy.state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
  )
ORDER BY loan.check_at
LIMIT $1
FOR UPDATE OF loan SKIP LOCKED;

-- name: ask_return
-- The wish to bring it back becomes a candidate, to be decided on fresh facts like every other.
INSERT INTO remediator.candidates
    (cause, rule, rung, source, fingerprint, labels, incident, approved_by, severity, priority)
VALUES ('return', $2, -1, 'return', $1::bigint::text, $3::text::jsonb, $4, 'remediator', $5, $6)
ON CONFLICT (source, fingerprint, rule) WHERE state <> 'decided' DO NOTHING
RETURNING id;

-- name: loan_asked
-- From here on the candidate tells how it goes on.
UPDATE remediator.loans
SET state = 'returning', candidate = $2, check_at = statement_timestamp()
WHERE action = $1;

-- name: written_since
-- What we have written to the object of an action after it, in that order.
SELECT later.number
FROM remediator.actions AS step
JOIN remediator.actions AS later ON later.target_key = step.target_key
WHERE step.number = $1 AND later.number > step.number AND later.changes AND later.mode = 'enforce'
  AND later.applied_at IS NOT NULL
ORDER BY later.number
LIMIT $2;

-- name: read_loan
-- The action whose write stands now.
SELECT last FROM remediator.loans WHERE action = $1;

-- name: uneasy_measures
-- What of the measures that action $1 has lent something for is not known to be well: a row or a series that is unknown or
-- gone, one that nobody has looked at for $3 seconds, one that is over its threshold. $2 begins the source of a row.
SELECT given.name AS measure,
       CASE WHEN given.looked_at < clock_timestamp() - make_interval(secs => $3) THEN 'unknown (nobody has looked)'
            WHEN given.unknown_since IS NOT NULL THEN 'unknown (' || given.unknown_why || ')'
            WHEN series.source IS NULL THEN 'unknown (vanished)'
            WHEN series.unknown_since IS NOT NULL THEN 'unknown (' || series.unknown_why || ')'
            ELSE series.phase END AS why
FROM remediator.loans AS loan
JOIN remediator.incident_alerts AS tie ON tie.incident = loan.incident
JOIN remediator.threshold_rows AS given ON tie.source = $2::text || given.name
LEFT JOIN remediator.threshold_series AS series
    ON series.source = tie.source AND series.fingerprint = tie.fingerprint
WHERE loan.action = $1
  AND (given.looked_at < clock_timestamp() - make_interval(secs => $3) OR given.unknown_since IS NOT NULL
       OR series.source IS NULL OR series.unknown_since IS NOT NULL OR series.phase <> 'ok')
ORDER BY given.name
LIMIT 10;

-- name: lent
-- What is lent now, the first to go back first.
SELECT loan.action, loan.target_key, loan.state, loan.return_at, loan.note, lending.plan ->> 'summary' AS summary
FROM remediator.loans AS loan
JOIN remediator.actions AS lending ON lending.number = loan.action
WHERE loan.state IN ('lent', 'returning')
ORDER BY loan.return_at
LIMIT $1;
