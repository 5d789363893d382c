-- name: look_at_seals
-- How sealing stands: the newest entry, the newest seal, the seal with the number $1, the age of the oldest entry that is
-- not sealed, and who writes to the ledger at this moment. An entry's number is drawn under a lock on the table that its
-- transaction holds to its end, so a number below the newest can only come from one of those that hold it now.
SELECT coalesce((SELECT max(seq) FROM remediator.ledger), 0) AS newest,
       head.number, head.upto, head.hash, head.sealed_at,
       (SELECT hash FROM remediator.seals WHERE number = $1::bigint) AS known_hash,
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT at FROM remediator.ledger WHERE seq > coalesce(head.upto, 0) ORDER BY seq LIMIT 1
       )), 0)::float8 AS waiting_s,
       ARRAY(
           SELECT virtualtransaction
           FROM pg_catalog.pg_locks
           WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
             AND relation = 'remediator.ledger'::regclass
             AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
       ) AS writers
FROM (SELECT) AS one
LEFT JOIN LATERAL (
    SELECT number, upto, hash, sealed_at FROM remediator.seals ORDER BY number DESC LIMIT 1
) AS head ON true;

-- name: lock_sealing
-- One replica seals at a time; the others have better things to do than wait.
SELECT pg_try_advisory_xact_lock(hashtextextended('remediator.sealing', 0)) AS mine;

-- name: read_head
-- The newest seal, and the time. Read under the lock, after whoever held it before has committed.
SELECT clock_timestamp() AS now, head.number, head.upto, head.hash, head.sealed_at
FROM (SELECT) AS one
LEFT JOIN LATERAL (
    SELECT number, upto, hash, sealed_at FROM remediator.seals ORDER BY number DESC LIMIT 1
) AS head ON true;

-- name: read_stored
-- Entries as they are stored, by number: after $1, up to $2.
SELECT seq, at, kind, summary, incident, action, rule, target_key, reasons, data::text AS data, actor
FROM remediator.ledger
WHERE seq > $1 AND seq <= $2
ORDER BY seq
LIMIT $3;

-- name: read_recorded
-- Entries as they are stored, by time: after the place ($1, $2), before the time $3. Numbers alone are no order of time.
SELECT seq, at, kind, summary, incident, action, rule, target_key, reasons, data::text AS data, actor
FROM remediator.ledger
WHERE (at, seq) > ($1, $2)
  AND ($3::timestamptz IS NULL OR at < $3)
ORDER BY at, seq
LIMIT $4;

-- name: put_seal
-- One more link. Two seals with one number cannot be: whoever comes second fails.
INSERT INTO remediator.seals (number, upto, seqs, digests, prev, hash, sealed_at, sealed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: read_seals
-- The chain, from a number on.
SELECT number, upto, seqs, digests, prev, hash, sealed_at, sealed_by
FROM remediator.seals
WHERE number > $1
ORDER BY number
LIMIT $2;

-- name: count_unsealed
-- How many entries no seal covers yet (counted no further than $2), and how old the oldest is.
SELECT count(*)::int AS entries,
       coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8 AS oldest_s
FROM (SELECT at FROM remediator.ledger WHERE seq > $1 ORDER BY seq LIMIT $2) AS waiting;
