-- name: put_signals
-- One row for each distinct fact of $1, and its place in the inbox. A repeat moves last_seen_at, at most once a minute,
-- and writes no row of its own; one that says more (a later end, or that it was asked for and is so) always counts.
-- Tells how many were new, and which, if some were ($2 is how many were given).
WITH put AS (
    INSERT INTO remediator.signals AS known
        (source, fingerprint, status, starts_at, ends_at, labels, annotations, generator_url, group_key, receiver,
         confirmed_at)
    SELECT given.source, given.fingerprint, given.status, given.starts_at, given.ends_at,
           given.labels, given.annotations, given.generator_url, given.group_key, given.receiver, given.confirmed_at
    FROM jsonb_to_recordset($1::jsonb) AS given (
        source text, fingerprint text, status text, starts_at timestamptz, ends_at timestamptz,
        labels jsonb, annotations jsonb, generator_url text, group_key text, receiver text, confirmed_at timestamptz
    )
    ON CONFLICT (source, fingerprint, starts_at, status) DO UPDATE
        SET last_seen_at = clock_timestamp(),
            ends_at = greatest(known.ends_at, excluded.ends_at),
            confirmed_at = greatest(known.confirmed_at, excluded.confirmed_at)
        WHERE known.last_seen_at < clock_timestamp() - interval '1 minute'
           OR excluded.ends_at > known.ends_at OR excluded.confirmed_at IS NOT NULL
    RETURNING id, source, fingerprint, status, starts_at, ends_at, xmax = 0 AS fresh
), queued AS (
    INSERT INTO remediator.inbox (signal)
    SELECT id FROM put
    WHERE fresh
       OR EXISTS (
              -- It speaks against what we hold: its sender says that what it called resolved still fires, or that
              -- what was opened again has ended. It is judged, and the ledger says so.
              SELECT FROM remediator.alerts AS alert
              WHERE alert.source = put.source AND alert.fingerprint = put.fingerprint AND alert.status <> put.status
                AND (put.status = 'firing' OR put.ends_at >= alert.starts_at)
          )
    ON CONFLICT DO NOTHING
)
SELECT count(*)::int AS fresh,
       count(*) BETWEEN 1 AND $2::int - 1 AS some,
       CASE WHEN count(*) BETWEEN 1 AND $2::int - 1 THEN array_agg(source) END AS sources,
       CASE WHEN count(*) BETWEEN 1 AND $2::int - 1 THEN array_agg(fingerprint) END AS fingerprints,
       CASE WHEN count(*) BETWEEN 1 AND $2::int - 1 THEN array_agg(status) END AS statuses,
       CASE WHEN count(*) BETWEEN 1 AND $2::int - 1 THEN array_agg(starts_at) END AS starts
FROM put
WHERE fresh;

-- name: put_quarantine
-- Alerts that could not be used, so that somebody can see them.
INSERT INTO remediator.quarantine (source, path, reason, raw)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]);

-- name: count_waiting
-- How many signals wait to be matched (counted no further than $1), and for how long the oldest has.
SELECT count(*)::int AS waiting,
       coalesce(
           extract(epoch FROM clock_timestamp() - (
               SELECT received_at FROM remediator.signals WHERE id = min(first.signal)
           )), 0
       )::float8 AS oldest_s
FROM (SELECT signal FROM remediator.inbox ORDER BY signal LIMIT $1) AS first;

-- name: wake
-- Tells the other replicas that a stage has work.
SELECT pg_notify('remediator', $1);
