-- name: append_entries
-- The only statement that writes to the ledger.
INSERT INTO remediator.ledger (kind, summary, incident, action, rule, target_key, reasons, data, actor)
SELECT kind, summary, incident, action, coalesce(rule, ''), coalesce(target_key, ''),
       ARRAY(SELECT jsonb_array_elements_text(coalesce(reasons, '[]'))), coalesce(data, '{}'), actor
FROM jsonb_to_recordset($1::jsonb)
    AS given (kind text, summary text, incident bigint, action bigint, rule text, target_key text, reasons jsonb,
              data jsonb, actor text);

-- name: read_entries
-- Entries after a number, since a time, of one incident or one action, oldest first.
SELECT seq, at, kind, summary, incident, action, rule, target_key, reasons, data::text AS data, actor
FROM remediator.ledger
WHERE seq > $1
  AND ($2::timestamptz IS NULL OR at >= $2)
  AND ($3::bigint IS NULL OR incident = $3)
  AND ($4::bigint IS NULL OR action = $4)
ORDER BY seq
LIMIT $5;

-- name: read_last_entries
-- The newest entries, oldest of them first.
SELECT * FROM (
    SELECT seq, at, kind, summary, incident, action, rule, target_key, reasons, data::text AS data, actor
    FROM remediator.ledger
    WHERE ($2::timestamptz IS NULL OR at >= $2)
      AND ($3::bigint IS NULL OR incident = $3)
      AND ($4::bigint IS NULL OR action = $4)
    ORDER BY seq DESC
    LIMIT $1
) AS newest
ORDER BY seq;

-- name: read_incident
-- One incident.
SELECT id, target_key, target::text AS target, severity, state, rule, title, opened_at, healthy_since, resolved_at
FROM remediator.incidents
WHERE id = $1;

-- name: read_incidents
-- Incidents, newest first; only those not resolved if $1.
SELECT id, target_key, target::text AS target, severity, state, rule, title, opened_at, healthy_since, resolved_at
FROM remediator.incidents
WHERE NOT $1 OR state <> 'resolved'
ORDER BY id DESC
LIMIT $2;

-- name: read_asked
-- The actions that wait for a person's answer, as plain data, oldest first. (Those of an incident that is resolved wait
-- no more; by way of the open incidents, few rows are read however many actions there ever were.)
SELECT to_jsonb(whole)::text AS action
FROM remediator.incidents AS incident
JOIN remediator.actions AS whole ON whole.incident = incident.id
WHERE incident.state <> 'resolved' AND whole.state = 'awaiting_approval'
ORDER BY whole.number
LIMIT $1;

-- name: read_action
-- One action as plain data. (The table has a column "action": the alias must not be named like it.)
SELECT to_jsonb(whole)::text AS action FROM remediator.actions AS whole WHERE number = $1;

-- name: read_actions_of_incident
-- The actions of one incident as plain data, oldest first.
SELECT to_jsonb(whole)::text AS action FROM remediator.actions AS whole WHERE incident = $1 ORDER BY number LIMIT 200;

-- name: read_evidence
-- What evidence an incident has, without the content.
SELECT id, incident, action, target_key, captured_at, sha256, size, truncated
FROM remediator.evidence
WHERE incident = $1
ORDER BY id
LIMIT 200;

-- name: read_evidence_content
-- One bundle with its content.
SELECT incident, action, target_key, captured_at, sha256, content::text AS content
FROM remediator.evidence
WHERE id = $1;

-- name: read_counts
-- The figures of the status screen.
SELECT jsonb_build_object(
    'signals_waiting', (SELECT count(*) FROM remediator.inbox),
    'candidates_waiting', (SELECT count(*) FROM remediator.candidates WHERE state = 'new'),
    'candidates_held', (SELECT count(*) FROM remediator.candidates WHERE state = 'held'),
    'alerts_firing', (SELECT count(*) FROM remediator.alerts WHERE status = 'firing'),
    'incidents', (SELECT coalesce(jsonb_object_agg(state, n), '{}')
                  FROM (SELECT state, count(*) AS n FROM remediator.incidents GROUP BY state) AS by_state),
    'actions', (SELECT coalesce(jsonb_object_agg(state, n), '{}')
                FROM (SELECT state, count(*) AS n FROM remediator.actions
                      WHERE admitted_at > clock_timestamp() - interval '24 hours' GROUP BY state) AS by_state),
    'asked_in_all', (SELECT count(*) FROM remediator.incidents AS incident
                     JOIN remediator.actions AS action ON action.incident = incident.id
                     WHERE incident.state <> 'resolved' AND action.state = 'awaiting_approval'),
    'notifications_waiting', (SELECT count(*) FROM remediator.outbox WHERE state = 'waiting'),
    'notifications_dead', (SELECT count(*) FROM remediator.outbox WHERE state = 'dead'),
    'ledger_entries', (SELECT coalesce(max(seq), 0) FROM remediator.ledger),
    'rule_set', (SELECT digest FROM remediator.rule_sets ORDER BY loaded_at DESC LIMIT 1),
    -- What a replica said last; looked for among the later entries only, for there is no index by kind.
    'fences', (SELECT summary FROM remediator.ledger
               WHERE kind = 'fences' AND seq > (SELECT max(seq) FROM remediator.ledger) - 100000
               ORDER BY seq DESC LIMIT 1),
    'database_time', clock_timestamp()
)::text AS counts;

-- name: put_rule_set
-- Every rule set ever loaded is kept.
INSERT INTO remediator.rule_sets (digest, files) VALUES ($1, $2::jsonb)
ON CONFLICT (digest) DO UPDATE SET loaded_at = clock_timestamp();

-- name: database_time
-- The time that decisions are made by.
SELECT clock_timestamp() AS now;

-- name: ping
-- The round trip of the readiness check.
SELECT 1 AS ok;

-- name: lock_alarm
-- Replicas that notice the same thing at once call people one after the other, so that the second sees the first.
SELECT pg_advisory_xact_lock(hashtextextended('remediator.alarm', 0));

-- name: said_lately
-- Whether the ledger has an entry of a kind that is younger than $2 seconds. (Sent when the lock is held.)
SELECT EXISTS (
    SELECT FROM remediator.ledger
    WHERE kind = $1 AND at > clock_timestamp() - make_interval(secs => $2)
) AS said;

-- name: lock_rule_history
-- What became of rule files is written down by one at a time, so that whoever repeats something sees whether it is there.
SELECT pg_advisory_xact_lock(hashtextextended('remediator.rule_history', 0));

-- name: happened_already
-- Whether the last two days of the ledger have an entry of a kind about this moment. (Sent when the lock is held.)
SELECT EXISTS (
    SELECT FROM remediator.ledger
    WHERE kind = $1 AND data ->> 'happened_at' = $2 AND at > statement_timestamp() - interval '2 days'
) AS happened;
