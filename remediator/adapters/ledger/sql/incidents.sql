-- name: due_incidents
-- Open incidents whose next look is due.
UPDATE remediator.incidents AS incident
SET check_at = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT id FROM remediator.incidents
    -- The clock at the statement's beginning: one that moves on could not be looked up in an index.
    WHERE state <> 'resolved' AND check_at <= statement_timestamp()
    ORDER BY check_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS found
WHERE incident.id = found.id
RETURNING incident.id, incident.target_key, incident.target::text AS target, incident.severity, incident.state,
          incident.rule, incident.title, incident.opened_at, incident.resolved_at,
          CASE WHEN EXISTS (
              -- An alert that fired and ended between two looks has broken the quiet.
              SELECT
              FROM remediator.incident_alerts AS tie
              JOIN remediator.alerts AS alert USING (source, fingerprint)
              WHERE tie.incident = incident.id AND alert.changed_at > incident.healthy_since
          ) THEN NULL ELSE incident.healthy_since END AS healthy_since,
          clock_timestamp() AS now,
          (SELECT count(*)::int
           FROM remediator.incident_alerts AS tie
           JOIN remediator.alerts AS alert USING (source, fingerprint)
           WHERE tie.incident = incident.id AND alert.status = 'firing') AS firing,
          -- Counted, for EXISTS may be planned as a list of all incidents with an open action, made anew each time.
          (
              SELECT count(*) FROM remediator.actions
              WHERE actions.incident = incident.id
                AND actions.state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
          ) > 0 OR (
              SELECT count(*) FROM remediator.candidates
              WHERE candidates.incident = incident.id AND candidates.state <> 'decided'
          ) > 0 OR (
              -- An alert of it that has just begun anew is not tied to it before it is decided about.
              SELECT count(*)
              FROM remediator.incident_alerts AS tie
              JOIN remediator.candidates AS candidate USING (source, fingerprint)
              WHERE tie.incident = incident.id AND candidate.state <> 'decided'
          ) > 0 AS moving,
          -- All that fires of it is silenced or inhibited: no clock runs against anybody.
          EXISTS (SELECT FROM remediator.hushed_alerts) AND remediator.hush_on('', '', incident.id) IS NOT NULL AS hushed;

-- name: look_again_at_incidents
-- Sets the next look at incidents. (A look that is due by now was hastened while the last one was under way. Nobody is
-- waited for, as at actions.)
WITH mine AS (
    SELECT incident.id, given.check_at, given.healthy_since
    FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS given (id, check_at, healthy_since)
    JOIN remediator.incidents AS incident ON incident.id = ANY ($1::bigint[]) AND incident.id = given.id
    WHERE incident.resolved_at IS NULL
    FOR UPDATE OF incident SKIP LOCKED
)
UPDATE remediator.incidents AS incident
SET check_at = CASE WHEN incident.check_at <= clock_timestamp() THEN incident.check_at ELSE mine.check_at END,
    healthy_since = mine.healthy_since
FROM mine
WHERE incident.id = mine.id;

-- name: resolve_incident
-- Ends an incident, unless an alert of it fires or an action of it is still open.
UPDATE remediator.incidents AS incident
SET state = 'resolved', resolved_at = clock_timestamp()
WHERE incident.id = $1 AND incident.state <> 'resolved'
  AND NOT EXISTS (
      SELECT
      FROM remediator.incident_alerts AS tie
      JOIN remediator.alerts AS alert USING (source, fingerprint)
      WHERE tie.incident = incident.id AND alert.status = 'firing'
  )
  AND NOT EXISTS (
      SELECT FROM remediator.actions
      WHERE actions.incident = incident.id
        AND actions.state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
  )
RETURNING id;

-- name: drop_leftovers
-- What still waited for a resolved incident has no purpose any more; but for a person's wish to undo something.
WITH dropped AS (
    UPDATE remediator.candidates SET state = 'decided', lease_until = NULL
    WHERE incident = $1 AND state <> 'decided' AND cause <> 'undo'
)
UPDATE remediator.actions
SET state = 'expired', ended_at = clock_timestamp(), note = 'the incident was resolved before anybody answered'
WHERE incident = $1 AND state = 'awaiting_approval'
RETURNING number;

-- name: put_outbox
-- Messages to people.
INSERT INTO remediator.outbox (incident, payload)
SELECT incident, payload FROM jsonb_to_recordset($1::jsonb) AS given (incident bigint, payload jsonb);

-- name: take_outbox
-- Leases messages that are due.
UPDATE remediator.outbox AS message
SET not_before = clock_timestamp() + make_interval(secs => $2), attempts = message.attempts + 1
FROM (
    SELECT id FROM remediator.outbox
    WHERE state = 'waiting' AND not_before <= statement_timestamp()
    ORDER BY not_before
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS found
WHERE message.id = found.id
RETURNING message.id, message.incident, message.payload::text AS payload, message.attempts;

-- name: outbox_sent
-- Delivered.
UPDATE remediator.outbox SET state = 'sent', last_error = '' WHERE id = $1;

-- name: outbox_failed
-- Not delivered: try again after $3 seconds, or never if that is null.
UPDATE remediator.outbox
SET last_error = $2,
    state = CASE WHEN $3::float8 IS NULL THEN 'dead' ELSE 'waiting' END,
    not_before = clock_timestamp() + make_interval(secs => coalesce($3::float8, 0))
WHERE id = $1;
