-- name: take_turn
-- Notes a sign of life of this replica, keeps the time without any before it as a gap (if $5: there is somebody to ask
-- what happened in it), and takes the turn: when it is due, or in a hurry ($4) when the last is $6 seconds old. Where the
-- last turn was never ended, nobody has looked since the one before it, however alive others were: that is a gap, too.
WITH beat AS (
    UPDATE remediator.pulse SET before_at = at, at = clock_timestamp() RETURNING before_at, at
), gap AS (
    INSERT INTO remediator.gaps (from_at, to_at)
    SELECT before_at, at FROM beat WHERE $5::bool AND at - before_at > interval '10 seconds'
), broken_off AS (
    SELECT least(began_at, (SELECT max(seen_at) FROM remediator.monitoring)) AS since
    FROM remediator.duties
    WHERE name = $1 AND lease_until < clock_timestamp()
), taken AS (
    UPDATE remediator.duties
    SET turn = turn + 1, owner = $2, began_at = clock_timestamp(),
        lease_until = clock_timestamp() + make_interval(secs => $3)
    WHERE name = $1
      AND (lease_until IS NULL OR lease_until < clock_timestamp() OR owner = $2)
      AND (due_at <= clock_timestamp()
           OR ($4::bool AND (began_at IS NULL OR began_at < clock_timestamp() - make_interval(secs => $6))))
    RETURNING turn
), unseen AS (
    INSERT INTO remediator.gaps (from_at, to_at)
    SELECT since, clock_timestamp() FROM broken_off, taken WHERE $5::bool
)
SELECT turn, clock_timestamp() AS now FROM taken;

-- name: keep_turn
-- Whether the turn is still ours; its row is locked until the end of the transaction.
SELECT true AS ours FROM remediator.duties
WHERE name = $1 AND turn = $2 AND lease_until > clock_timestamp()
FOR UPDATE;

-- name: end_turn
-- The next turn is due in about $3 seconds, a little sooner or later, so that daemons that began together part.
WITH beat AS (
    UPDATE remediator.pulse SET at = clock_timestamp()
)
UPDATE remediator.duties
SET lease_until = NULL, due_at = clock_timestamp() + make_interval(secs => $3 * (0.9 + 0.2 * random()))
WHERE name = $1 AND turn = $2;

-- name: held_alerts
-- What fires here of a source, and what is known of the given alerts. When we were last told of one is looked up only
-- where it matters: for alerts that fire here and are not among those given. (All alerts of the last thirty days are
-- looked at, once a minute by one replica; an index of what fires would cost more at every alert that begins.)
SELECT alert.source, alert.fingerprint, alert.status, alert.starts_at, alert.ends_at, alert.changed_at,
       alert.labels::text AS labels, absent.since AS absent_since,
       CASE WHEN alert.fingerprint <> ALL ($2::text[]) THEN (
           SELECT max(last_seen_at) FROM remediator.signals AS told
           WHERE told.source = alert.source AND told.fingerprint = alert.fingerprint AND told.status = 'firing'
       ) END AS told_at
FROM remediator.alerts AS alert
LEFT JOIN remediator.absent_alerts AS absent USING (source, fingerprint)
WHERE alert.source = $1 AND alert.status = 'firing'
UNION ALL
SELECT alert.source, alert.fingerprint, alert.status, alert.starts_at, alert.ends_at, alert.changed_at,
       alert.labels::text, NULL, NULL
FROM unnest($2::text[]) AS given (fingerprint)
JOIN remediator.alerts AS alert ON alert.source = $1 AND alert.fingerprint = given.fingerprint
WHERE alert.status <> 'firing';

-- name: hushed_of
-- The alerts of a source that were silenced or inhibited at the last look.
SELECT fingerprint FROM remediator.hushed_alerts WHERE source = $1;

-- name: put_absent
-- The alerts of a source that are missing replace those that were.
WITH given AS (
    SELECT * FROM unnest($2::text[], $3::timestamptz[]) AS one (fingerprint, since)
), gone AS (
    DELETE FROM remediator.absent_alerts
    WHERE source = $1 AND fingerprint <> ALL ($2::text[])
)
INSERT INTO remediator.absent_alerts (source, fingerprint, since)
SELECT $1, fingerprint, since FROM given
ON CONFLICT (source, fingerprint) DO UPDATE SET since = excluded.since;

-- name: put_hushed
-- Alerts that are silenced or inhibited; how long they have been stays.
INSERT INTO remediator.hushed_alerts AS known (source, fingerprint, how, by, since)
SELECT source, fingerprint, how, ARRAY(SELECT jsonb_array_elements_text(given.by)), since
FROM jsonb_to_recordset($1::jsonb) AS given (source text, fingerprint text, how text, by jsonb, since timestamptz)
ON CONFLICT (source, fingerprint) DO UPDATE
    SET how = excluded.how, by = excluded.by, seen_at = clock_timestamp(),
        since = CASE WHEN known.how = excluded.how THEN known.since ELSE excluded.since END;

-- name: lift_hushed
-- Alerts that are silent no more: what waited for that is decided about now.
WITH lifted AS (
    DELETE FROM remediator.hushed_alerts
    WHERE source = $1 AND fingerprint = ANY ($2::text[])
    RETURNING source, fingerprint
)
UPDATE remediator.candidates
SET not_before = clock_timestamp()
WHERE state = 'held' AND last_reasons && '{silenced,inhibited}'
  AND ((source, fingerprint) IN (SELECT source, fingerprint FROM lifted)
       OR incident IN (SELECT tie.incident FROM lifted JOIN remediator.incident_alerts AS tie USING (source, fingerprint)));

-- name: hear_sources
-- These sources were heard ($1), and nobody of those ($2): tells who has just come back after people were called, and
-- who has been silent for so long ($3 seconds) that people are to be called now.
INSERT INTO remediator.monitoring AS known (source)
SELECT unnest($1::text[] || $2::text[])
ON CONFLICT (source) DO UPDATE
    SET was_called = known.called,
        called = excluded.source = ANY ($2::text[])
            AND (known.called OR known.seen_at < clock_timestamp() - make_interval(secs => $3)),
        seen_at = CASE WHEN excluded.source = ANY ($1::text[]) THEN clock_timestamp() ELSE known.seen_at END
RETURNING source, called AND NOT was_called AS lost, was_called AND NOT called AS found, seen_at;

-- name: open_gaps
-- Gaps whose history is still to be looked at, the oldest first.
SELECT id, from_at, to_at, tries FROM remediator.gaps
WHERE settled_at IS NULL AND due_at <= clock_timestamp()
ORDER BY due_at, id
LIMIT $1;

-- name: states_since
-- The alerts that fire, and those whose state has changed since then.
SELECT source, fingerprint, status, starts_at, ends_at, changed_at, labels::text AS labels
FROM remediator.alerts
WHERE status = 'firing' OR changed_at >= $1
ORDER BY changed_at DESC
LIMIT $2;

-- name: settle_gap
-- Its history was looked at; tells whether nobody else has done it.
UPDATE remediator.gaps SET settled_at = clock_timestamp() WHERE id = $1 AND settled_at IS NULL RETURNING id;

-- name: postpone_gap
-- Its history could not be looked at: again in $2 seconds.
UPDATE remediator.gaps SET tries = tries + 1, due_at = clock_timestamp() + make_interval(secs => $2)
WHERE id = $1 AND settled_at IS NULL;

-- name: put_missed_incidents
-- Incidents of alerts that began and ended while nobody listened, each with its alert.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb)
        AS one (id bigint, source text, fingerprint text, severity text, rule text, title text, opened_at timestamptz,
                resolved_at timestamptz)
), tie AS (
    INSERT INTO remediator.incident_alerts (incident, source, fingerprint)
    SELECT id, source, fingerprint FROM given
)
INSERT INTO remediator.incidents
    (id, target_key, severity, state, rule, title, opened_at, check_at, resolved_at)
OVERRIDING SYSTEM VALUE
SELECT id, 'alert/' || source || '/' || fingerprint, severity, 'resolved', rule, title, opened_at, resolved_at, resolved_at
FROM given;
