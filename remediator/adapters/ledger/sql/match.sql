-- name: lock_matching
-- One replica matches at a time, so that the signals of one alert are judged in the order in which they came. Whoever
-- comes second waits: what it stored may have come too late for the one that is matching.
SELECT pg_advisory_xact_lock(hashtextextended('remediator.matching', 0));

-- name: take_signals
-- The oldest signals that nobody has judged, each beside the present state of its alert. For a few of them the lock of
-- the admission is taken on the way, if nobody has it: most make candidates, they are through in a moment, and it saves a
-- round trip. What is read here does not depend on decisions; what does is read by a later statement.
WITH waiting AS MATERIALIZED (
    SELECT signal FROM remediator.inbox ORDER BY signal LIMIT $1
)
SELECT signals.id, signals.source, signals.fingerprint, signals.status, signals.starts_at, signals.ends_at,
       signals.labels::text AS labels, signals.annotations::text AS annotations, signals.generator_url,
       signals.group_key, signals.receiver, signals.confirmed_at, signals.received_at, signals.last_seen_at,
       alert.status AS state, alert.starts_at AS state_starts_at, alert.ends_at AS state_ends_at,
       alert.changed_at AS state_changed_at, alert.labels::text AS state_labels,
       (SELECT CASE WHEN count(*) <= $2 THEN pg_try_advisory_xact_lock(hashtextextended('remediator.admission', 0)) END
        FROM waiting) AS alone
FROM waiting
JOIN remediator.signals ON signals.id = waiting.signal
LEFT JOIN remediator.alerts AS alert USING (source, fingerprint)
ORDER BY signals.id;

-- name: record_matched
-- All that comes of a batch of signals, in one round trip: JSON arrays of the alerts' states ($1), of new candidates ($2)
-- and of entries ($3), and the signals that have been judged ($4). A signal under a rule waits at most once. Who matches
-- may assess at once what it has made: then the candidates are leased for $5 seconds, and told; else ($5 is 0) others are
-- woken to take them. (An index has the names of alerts, and takes none that is longer than 2,700 bytes.)
WITH present AS (
    INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, ends_at, changed_at, labels)
    SELECT source, fingerprint, status, starts_at, ends_at, changed_at,
           CASE WHEN octet_length(labels ->> 'alertname') > 2000
                THEN labels || jsonb_build_object('alertname', left(labels ->> 'alertname', 500)) ELSE labels END
    FROM jsonb_to_recordset($1::jsonb)
        AS given (source text, fingerprint text, status text, starts_at timestamptz, ends_at timestamptz,
                  changed_at timestamptz, labels jsonb)
    ON CONFLICT (source, fingerprint) DO UPDATE
        SET status = excluded.status, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
            changed_at = excluded.changed_at, labels = excluded.labels
), made AS (
    INSERT INTO remediator.candidates (cause, rule, rung, source, fingerprint, labels, severity, priority, lease_until)
    SELECT 'signal', rule, 0, source, fingerprint, labels, severity, priority,
           CASE WHEN $5::float8 > 0 THEN clock_timestamp() + make_interval(secs => $5::float8) END
    FROM jsonb_to_recordset($2::jsonb)
        AS given (rule text, source text, fingerprint text, labels jsonb, severity text, priority int)
    ON CONFLICT (source, fingerprint, rule) WHERE state <> 'decided' DO NOTHING
    RETURNING id, rule, source, fingerprint, first_seen_at
), said AS (
    INSERT INTO remediator.ledger (kind, summary, incident, action, rule, target_key, reasons, data, actor)
    SELECT kind, summary, incident, action, rule, target_key, ARRAY(SELECT jsonb_array_elements_text(reasons)), data,
           actor
    FROM jsonb_to_recordset($3::jsonb)
        AS given (kind text, summary text, incident bigint, action bigint, rule text, target_key text, reasons jsonb,
                  data jsonb, actor text)
), judged AS (
    DELETE FROM remediator.inbox WHERE signal = ANY ($4::bigint[])
)
SELECT (SELECT json_agg(made) FROM made WHERE $5::float8 > 0)::text AS leased,
       CASE WHEN $5::float8 = 0 AND EXISTS (SELECT FROM made)
            THEN pg_notify('remediator', 'assess')::text END AS woken;

-- name: put_signal_aside
-- A signal that cannot be judged leaves the inbox, so that it is in nobody's way; tells what it was, if it was there.
WITH gone AS (
    DELETE FROM remediator.inbox WHERE signal = $1 RETURNING signal
), kept AS (
    INSERT INTO remediator.quarantine (source, path, reason, raw)
    SELECT source, 'signal ' || id, $2, left(labels::text, 4096)
    FROM gone JOIN remediator.signals ON signals.id = gone.signal
)
SELECT source, fingerprint, status, left(labels ->> 'alertname', 200) AS name
FROM gone JOIN remediator.signals ON signals.id = gone.signal;

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

-- name: firing_alerts
-- Alerts that fire, in the order of their keys, after the given one.
SELECT source, fingerprint, status, starts_at, ends_at, changed_at, labels::text AS labels
FROM remediator.alerts
WHERE status = 'firing' AND (source, fingerprint) > ($1::text, $2::text)
ORDER BY source, fingerprint
LIMIT $3;

-- name: rules_held
-- The rules that everything that fires has been held against, each with the hash of what it said.
SELECT rule, digest FROM remediator.rules_held;

-- name: hold_rules
-- Everything that fires has been held against these rules ($1, each with its hash in $2); what others were is forgotten.
WITH gone AS (
    DELETE FROM remediator.rules_held WHERE rule <> ALL ($1::text[])
)
INSERT INTO remediator.rules_held AS held (rule, digest)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (rule) DO UPDATE SET digest = excluded.digest WHERE held.digest <> excluded.digest;
