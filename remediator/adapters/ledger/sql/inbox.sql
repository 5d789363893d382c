-- name: put_signals
-- One row for each distinct fact. A repeat moves last_seen_at, at most once a minute, and writes no row of its own.
INSERT INTO remediator.signals AS known
    (source, fingerprint, status, starts_at, ends_at, labels, annotations, generator_url, group_key, receiver)
SELECT given.source, given.fingerprint, given.status, given.starts_at, given.ends_at,
       given.labels::jsonb, given.annotations::jsonb, given.generator_url, given.group_key, given.receiver
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
            $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
    AS given (source, fingerprint, status, starts_at, ends_at,
              labels, annotations, generator_url, group_key, receiver)
ON CONFLICT (source, fingerprint, starts_at, status) DO UPDATE
    SET last_seen_at = clock_timestamp()
    WHERE known.last_seen_at < clock_timestamp() - interval '1 minute'
RETURNING source, fingerprint, status, starts_at, xmax = 0 AS fresh;

-- name: put_quarantine
-- Alerts that could not be used, so that somebody can see them.
INSERT INTO remediator.quarantine (source, path, reason, raw)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]);

-- name: count_waiting
-- How many signals wait to be matched (counted no further than $1), and for how long the oldest has.
SELECT count(*)::int AS waiting,
       coalesce(extract(epoch FROM clock_timestamp() - min(received_at)), 0)::float8 AS oldest_s
FROM (SELECT received_at FROM remediator.signals WHERE NOT matched ORDER BY id LIMIT $1) AS first;

-- name: wake
-- Tells the other replicas that a stage has work.
SELECT pg_notify('remediator', $1);
