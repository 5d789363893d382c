-- name: lock_matching
-- One replica matches at a time, so that the signals of one alert are judged in the order in which they came.
SELECT pg_try_advisory_xact_lock(hashtextextended('remediator.matching', 0)) AS mine;

-- name: take_signals
-- The oldest signals that nobody has judged.
SELECT id, source, fingerprint, status, starts_at, ends_at, labels::text AS labels, annotations::text AS annotations,
       generator_url, group_key, receiver, received_at, last_seen_at
FROM (SELECT signal FROM remediator.inbox ORDER BY signal LIMIT $1) AS waiting
JOIN remediator.signals ON signals.id = waiting.signal
ORDER BY id;

-- name: alert_states
-- The present states of the given fingerprints.
SELECT alert.source, alert.fingerprint, alert.status, alert.starts_at, alert.ends_at, alert.changed_at,
       alert.labels::text AS labels
FROM unnest($1::text[], $2::text[]) AS wanted (source, fingerprint)
JOIN remediator.alerts AS alert USING (source, fingerprint);

-- name: put_states
-- The states after this batch.
INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, ends_at, changed_at, labels)
SELECT given.source, given.fingerprint, given.status, given.starts_at, given.ends_at, given.changed_at,
       given.labels::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::text[])
    AS given (source, fingerprint, status, starts_at, ends_at, changed_at, labels)
ON CONFLICT (source, fingerprint) DO UPDATE
    SET status = excluded.status, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
        changed_at = excluded.changed_at, labels = excluded.labels;

-- name: put_candidates
-- A signal under a rule waits at most once.
INSERT INTO remediator.candidates (cause, rule, rung, source, fingerprint, labels, severity, priority)
SELECT 'signal', given.rule, 0, given.source, given.fingerprint, given.labels::jsonb, given.severity, given.priority
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[])
    AS given (rule, source, fingerprint, labels, severity, priority)
ON CONFLICT (source, fingerprint, rule) WHERE state <> 'decided' DO NOTHING;

-- name: hasten_incidents
-- The alerts of these incidents have ended: look at them now.
UPDATE remediator.incidents
SET check_at = clock_timestamp()
WHERE state <> 'resolved'
  AND id IN (
      SELECT tie.incident
      FROM unnest($1::text[], $2::text[]) AS ended (source, fingerprint)
      JOIN remediator.incident_alerts AS tie USING (source, fingerprint)
  );

-- name: hasten_verification
-- The alerts of these incidents have ended: look at their open actions now.
UPDATE remediator.actions
SET check_at = clock_timestamp()
WHERE state = 'verifying'
  AND incident IN (
      SELECT tie.incident
      FROM unnest($1::text[], $2::text[]) AS ended (source, fingerprint)
      JOIN remediator.incident_alerts AS tie USING (source, fingerprint)
  );

-- name: mark_matched
-- These signals have been judged.
DELETE FROM remediator.inbox WHERE signal = ANY ($1::bigint[]);

-- name: firing_alerts
-- Alerts that fire, in the order of their keys, after the given one.
SELECT source, fingerprint, status, starts_at, ends_at, changed_at, labels::text AS labels
FROM remediator.alerts
WHERE status = 'firing' AND (source, fingerprint) > ($1::text, $2::text)
ORDER BY source, fingerprint
LIMIT $3;
