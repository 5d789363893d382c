-- name: forget_signals
-- Signals that were matched long ago; the alert's tombstone and the ledger stay. At most $2 rows, oldest first.
DELETE FROM remediator.signals
WHERE id IN (
    SELECT id FROM remediator.signals
    WHERE last_seen_at < clock_timestamp() - make_interval(days => $1)
      AND NOT EXISTS (SELECT FROM remediator.inbox WHERE inbox.signal = signals.id)
    ORDER BY id
    LIMIT $2
)
-- Asked once more of a row that somebody was changing: one that has just come again waits to be judged.
AND last_seen_at < clock_timestamp() - make_interval(days => $1);

-- name: forget_quarantine
-- Alerts that could not be used, once nobody will look at them any more.
DELETE FROM remediator.quarantine
WHERE id IN (
    SELECT id FROM remediator.quarantine
    WHERE at < clock_timestamp() - make_interval(days => $1)
    ORDER BY id
    LIMIT $2
);

-- name: forget_messages
-- Messages that were delivered; the ledger has said so.
DELETE FROM remediator.outbox
WHERE id IN (
    SELECT id FROM remediator.outbox
    WHERE state = 'sent' AND created_at < clock_timestamp() - make_interval(days => $1)
    ORDER BY id
    LIMIT $2
);

-- name: forget_evidence
-- Evidence of incidents that are long resolved, among the next $3 bundles after number $1; what is kept $2 seconds is
-- said by the operator, what is least by the function.
SELECT upto, gone::text AS gone FROM remediator.forget_evidence($1::bigint, $2::double precision, $3::int);

-- name: forget_candidates
-- Decided candidates of incidents that are long resolved, and those of none that are as old, among the next $3 after
-- number $1. One that an action came from stays, for it says who approved it; only its facts go.
WITH slice AS (
    SELECT id, state, incident, first_seen_at FROM remediator.candidates WHERE id > $1::bigint ORDER BY id LIMIT $3::int
), old AS (
    SELECT slice.id, EXISTS (SELECT FROM remediator.actions WHERE actions.candidate = slice.id) AS acted
    FROM slice
    LEFT JOIN remediator.incidents AS incident ON incident.id = slice.incident
    WHERE slice.state = 'decided'
      AND CASE WHEN slice.incident IS NULL THEN slice.first_seen_at WHEN incident.state = 'resolved' THEN
              incident.resolved_at END < clock_timestamp() - make_interval(secs => $2::double precision)
), emptied AS (
    UPDATE remediator.candidates AS candidate
    SET facts = NULL
    FROM old
    WHERE candidate.id = old.id AND old.acted AND candidate.facts IS NOT NULL
    RETURNING candidate.id
), gone AS (
    DELETE FROM remediator.candidates AS candidate
    USING old
    WHERE candidate.id = old.id AND NOT old.acted
    RETURNING candidate.id
)
SELECT (SELECT max(id) FROM slice) AS upto,
       (SELECT count(*) FROM gone)::int + (SELECT count(*) FROM emptied)::int AS gone;

-- name: forget_tombstones
-- Ends of alerts that are so long ago ($3 seconds) that no notification of theirs is still on its way, among the next
-- $4 alerts after ($1, $2); not those of an incident that is not resolved.
WITH slice AS (
    SELECT source, fingerprint, status, changed_at
    FROM remediator.alerts
    WHERE (source, fingerprint) > ($1::text, $2::text)
    ORDER BY source, fingerprint
    LIMIT $4::int
), gone AS (
    DELETE FROM remediator.alerts AS alert
    USING slice
    WHERE alert.source = slice.source AND alert.fingerprint = slice.fingerprint
      AND alert.status = 'resolved'
      AND alert.changed_at < clock_timestamp() - make_interval(secs => $3::double precision)
      AND NOT EXISTS (
          SELECT
          FROM remediator.incident_alerts AS tie
          JOIN remediator.incidents AS incident ON incident.id = tie.incident
          WHERE tie.source = slice.source AND tie.fingerprint = slice.fingerprint AND incident.state <> 'resolved'
      )
    RETURNING alert.fingerprint
), last AS (
    SELECT source, fingerprint FROM slice ORDER BY source DESC, fingerprint DESC LIMIT 1
)
SELECT (SELECT source FROM last) AS source, (SELECT fingerprint FROM last) AS fingerprint,
       (SELECT count(*) FROM gone)::int AS gone;
