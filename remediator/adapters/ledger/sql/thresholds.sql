-- name: take_poll
-- Becomes or stays the poller ($1 is the duty): when it is, or when nobody is. Where a tick is due, it is ours, and the
-- next is due in about $4 seconds, a little sooner or later, so that daemons that began together part.
WITH mine AS (
    SELECT name, due_at <= clock_timestamp() AS due
    FROM remediator.duties
    WHERE name = $1 AND (owner = $2 OR lease_until IS NULL OR lease_until < clock_timestamp())
    FOR UPDATE SKIP LOCKED
)
UPDATE remediator.duties AS duty
SET owner = $2, lease_until = clock_timestamp() + make_interval(secs => $3),
    turn = duty.turn + mine.due::int,
    began_at = CASE WHEN mine.due THEN clock_timestamp() ELSE duty.began_at END,
    due_at = CASE WHEN mine.due THEN clock_timestamp() + make_interval(secs => $4 * (0.9 + 0.2 * random()))
                  ELSE duty.due_at END
FROM mine
WHERE duty.name = mine.name
RETURNING duty.turn, mine.due, clock_timestamp() AS now;

-- name: keep_poll
-- Whether the tick is still ours; its row is locked until the end of the transaction.
SELECT true AS ours FROM remediator.duties
WHERE name = $1 AND owner = $2 AND turn = $3 AND lease_until > clock_timestamp()
FOR UPDATE;

-- name: held_thresholds
-- All state of the threshold table as two JSON texts: thousands of rows are read beside the event loop.
SELECT (SELECT coalesce(json_agg(json_build_object(
                   'row', name, 'looked_at', looked_at, 'known_at', known_at, 'unknown_since', unknown_since,
                   'unknown_why', unknown_why, 'called', called)), '[]')
        FROM remediator.threshold_rows)::text AS rows,
       (SELECT coalesce(json_agg(json_build_object(
                   'row', name, 'fingerprint', fingerprint, 'labels', labels, 'phase', phase, 'level', level,
                   'value', value, 'over_s', over_s, 'critical_s', critical_s, 'eased_s', eased_s, 'calm_s', calm_s,
                   'fired_at', fired_at, 'level_at', level_at, 'calm_since', calm_since,
                   'unknown_since', unknown_since, 'unknown_why', unknown_why, 'called', called)), '[]')
        FROM remediator.threshold_series)::text AS series;

-- name: put_threshold_rows
-- How the rows stand after a tick.
INSERT INTO remediator.threshold_rows (name, looked_at, known_at, unknown_since, unknown_why, called)
SELECT "row", looked_at, known_at, unknown_since, unknown_why, called
FROM jsonb_to_recordset($1::jsonb)
    AS given ("row" text, looked_at timestamptz, known_at timestamptz, unknown_since timestamptz, unknown_why text,
              called boolean)
ON CONFLICT (name) DO UPDATE
    SET looked_at = excluded.looked_at, known_at = excluded.known_at, unknown_since = excluded.unknown_since,
        unknown_why = excluded.unknown_why, called = excluded.called;

-- name: put_threshold_series
-- The series whose state has changed, thousands at once.
INSERT INTO remediator.threshold_series
    (source, fingerprint, name, labels, phase, level, value, over_s, critical_s, eased_s, calm_s, fired_at, level_at,
     calm_since, unknown_since, unknown_why, called)
SELECT $2::text || "row", fingerprint, "row", labels, phase, level, value, over_s, critical_s, eased_s, calm_s, fired_at,
       level_at, calm_since, unknown_since, unknown_why, called
FROM jsonb_to_recordset($1::jsonb)
    AS given ("row" text, fingerprint text, labels jsonb, phase text, level text, value float8, over_s float8,
              critical_s float8, eased_s float8, calm_s float8, fired_at timestamptz, level_at timestamptz,
              calm_since timestamptz, unknown_since timestamptz, unknown_why text, called boolean)
ON CONFLICT (source, fingerprint) DO UPDATE
    SET phase = excluded.phase, level = excluded.level, value = excluded.value, over_s = excluded.over_s,
        critical_s = excluded.critical_s, eased_s = excluded.eased_s, calm_s = excluded.calm_s,
        fired_at = excluded.fired_at, level_at = excluded.level_at, calm_since = excluded.calm_since,
        unknown_since = excluded.unknown_since, unknown_why = excluded.unknown_why, called = excluded.called;

-- name: forget_threshold_series
-- Series that have gone and were well: people were told.
DELETE FROM remediator.threshold_series AS known
USING unnest($1::text[], $2::text[]) AS gone (source, fingerprint)
WHERE known.source = gone.source AND known.fingerprint = gone.fingerprint;

-- name: retire_threshold_rows
-- Rows that no rule speaks of any more, and their series.
WITH gone AS (
    DELETE FROM remediator.threshold_rows WHERE name = ANY ($1::text[])
)
DELETE FROM remediator.threshold_series WHERE source = ANY ($2::text[]);

-- name: measures_of
-- How the series of these incidents' alerts stand; one that nobody has looked at for $2 seconds is unknown.
SELECT tie.incident, series.name, series.phase, series.level, series.level_at, series.calm_since, series.value,
       CASE WHEN given.looked_at IS NULL OR given.looked_at < clock_timestamp() - make_interval(secs => $2)
            THEN 'nobody has looked'
            WHEN given.unknown_since IS NOT NULL THEN given.unknown_why
            WHEN series.unknown_since IS NOT NULL THEN series.unknown_why
            ELSE '' END AS unknown
FROM unnest($1::bigint[]) AS wanted (incident)
JOIN remediator.incident_alerts AS tie ON tie.incident = wanted.incident
LEFT JOIN remediator.threshold_series AS series
    ON series.source = tie.source AND series.fingerprint = tie.fingerprint
LEFT JOIN remediator.threshold_rows AS given ON given.name = series.name;

-- name: summarize_thresholds
-- Each row of the table, and how many of its series stand how: what is unknown counts as nothing else.
SELECT given.name AS "row", given.looked_at, given.unknown_since, given.unknown_why,
       (count(*) FILTER (WHERE known AND phase = 'ok'))::int AS ok,
       (count(*) FILTER (WHERE known AND phase = 'pending'))::int AS pending,
       (count(*) FILTER (WHERE known AND level = 'warning'))::int AS warning,
       (count(*) FILTER (WHERE known AND level = 'critical'))::int AS critical,
       (count(*) FILTER (WHERE NOT known))::int AS unknown
FROM remediator.threshold_rows AS given
LEFT JOIN LATERAL (
    SELECT series.phase, series.level, series.unknown_since IS NULL AND given.unknown_since IS NULL AS known
    FROM remediator.threshold_series AS series
    WHERE series.name = given.name
) AS one ON true
GROUP BY given.name, given.looked_at, given.unknown_since, given.unknown_why
ORDER BY given.name;
