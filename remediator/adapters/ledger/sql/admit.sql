-- name: take_candidates
-- Leases candidates that are due, the most severe first.
UPDATE remediator.candidates AS candidate
SET lease_until = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT id
    FROM remediator.candidates
    WHERE state IN ('new', 'held')
      AND not_before <= clock_timestamp()
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY severity, not_before
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS due
WHERE candidate.id = due.id
RETURNING candidate.id, candidate.cause, candidate.rule, candidate.rung, candidate.source, candidate.fingerprint,
          candidate.labels::text AS labels, candidate.first_seen_at, candidate.tries, candidate.incident,
          candidate.approved_by, candidate.approved_plan;

-- name: lock_admission
-- All decisions of all replicas happen one transaction after the other.
SELECT pg_advisory_xact_lock(hashtextextended('remediator.admission', 0));

-- name: read_admission
-- All that a batch is decided on, in one round trip. It is sent when the lock is held, so it sees every decision that any
-- replica has made; never send it together with the lock, for a statement sees what was committed before it began.
-- What it finds is given as JSON, one column for each kind.
WITH undecided AS MATERIALIZED (
    -- Whether the candidates still wait and still are what was assessed (a ladder or an approval may have given one
    -- another rung meanwhile: then it is not leased, and comes back by itself; and where the server has crashed and lost
    -- its newest candidates, their numbers are given again), and whether their alert, or another alert of their
    -- incident, fires.
    SELECT candidate.id, candidate.last_reasons AS reasons,
           candidate.state <> 'decided' AND candidate.tries = assessed.tries AND candidate.rule = assessed.rule
               AND candidate.fingerprint = assessed.fingerprint AS waits,
           coalesce((
               SELECT alert.status = 'firing' FROM remediator.alerts AS alert
               WHERE alert.source = candidate.source AND alert.fingerprint = candidate.fingerprint
           ), false) OR coalesce((
               SELECT bool_or(alert.status = 'firing')
               FROM remediator.incident_alerts AS tie
               JOIN remediator.alerts AS alert USING (source, fingerprint)
               WHERE tie.incident = candidate.incident
           ), false) AS firing
    FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[]) AS assessed (id, tries, rule, fingerprint)
    JOIN remediator.candidates AS candidate ON candidate.id = assessed.id
    FOR UPDATE OF candidate
), incident AS (
    -- Open incidents of these targets, and the incidents with these numbers; with the rules that have something under
    -- way in them, and those that a person said no to.
    SELECT id, target_key, target, severity, state, rule, title, opened_at, healthy_since, resolved_at,
           ARRAY(
               SELECT rule FROM remediator.actions
               WHERE actions.incident = incidents.id
                 AND actions.state IN ('awaiting_approval', 'admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
               UNION
               SELECT rule FROM remediator.candidates
               WHERE candidates.incident = incidents.id AND candidates.state <> 'decided'
           ) AS working,
           ARRAY(
               SELECT DISTINCT rule FROM remediator.actions
               WHERE actions.incident = incidents.id AND actions.state = 'rejected'
           ) AS rejected
    FROM remediator.incidents
    WHERE (state <> 'resolved' AND target_key = ANY ($5::text[])) OR id = ANY ($6::bigint[])
), past AS (
    -- The changing actions of the last day on these targets, newest first, at most 50 each, questions that wait for an
    -- answer among them; and the open one, however old it is.
    SELECT latest.*
    FROM unnest($5::text[]) AS wanted (target_key)
    CROSS JOIN LATERAL (
        SELECT number, incident, action, rule, target_key, namespace, state, admitted_at, ended_at
        FROM remediator.actions AS done
        WHERE done.target_key = wanted.target_key AND done.changes
          AND (done.mode = 'enforce' OR done.state = 'awaiting_approval')
          AND done.admitted_at > statement_timestamp() - interval '24 hours'
        ORDER BY done.admitted_at DESC
        LIMIT 50
    ) AS latest
    UNION ALL
    SELECT number, incident, action, rule, target_key, namespace, state, admitted_at, ended_at
    FROM remediator.actions
    WHERE target_key = ANY ($5::text[]) AND changes AND mode = 'enforce'
      AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
      AND admitted_at <= statement_timestamp() - interval '24 hours'
), wanted AS (
    SELECT * FROM unnest($7::text[], $8::text[], $9::int[]) WITH ORDINALITY AS given (kind, key, window_s, place)
), counted AS (
    -- How many changing actions each sliding window holds, and the oldest of them. Each kind has an index of its own.
    SELECT wanted.place, found.*
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
        WHERE changes AND mode = 'enforce' AND target_key = wanted.key
          AND admitted_at > statement_timestamp() - make_interval(secs => wanted.window_s)
    ) AS found
    WHERE wanted.kind = 'target'
    UNION ALL
    SELECT wanted.place, found.*
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
        WHERE changes AND mode = 'enforce' AND rule = wanted.key
          AND admitted_at > statement_timestamp() - make_interval(secs => wanted.window_s)
    ) AS found
    WHERE wanted.kind = 'rule'
    UNION ALL
    SELECT wanted.place, found.*
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
        WHERE changes AND mode = 'enforce' AND namespace = wanted.key
          AND admitted_at > statement_timestamp() - make_interval(secs => wanted.window_s)
    ) AS found
    WHERE wanted.kind = 'namespace'
    UNION ALL
    SELECT wanted.place, found.*
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
        WHERE changes AND mode = 'enforce'
          AND admitted_at > statement_timestamp() - make_interval(secs => wanted.window_s)
    ) AS found
    WHERE wanted.kind = 'cluster'
), open AS (
    -- Open changing actions by namespace; the sum is the cluster's.
    SELECT namespace, count(*) AS actions
    FROM remediator.actions
    WHERE changes AND mode = 'enforce' AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
    GROUP BY namespace
)
SELECT statement_timestamp() AS now,
       (SELECT json_agg(undecided) FROM undecided WHERE waits)::text AS undecided,
       (SELECT json_agg(incident) FROM incident)::text AS incidents,
       (SELECT json_agg(past) FROM past)::text AS past,
       (SELECT json_agg(counted) FROM counted)::text AS windows,
       (SELECT json_object_agg(namespace, actions) FROM open)::text AS open,
       (SELECT max(admitted_at) FROM remediator.actions WHERE changes AND mode = 'enforce') AS last_admission;

-- name: undecided
-- The moment of this batch, and which of its candidates are still to be decided and still are what was assessed (a
-- ladder or an approval may have given one another rung meanwhile: then it is not leased, and comes back by itself),
-- with whether their alert (or another alert of their incident) fires.
SELECT clock_timestamp() AS now, candidate.id, candidate.last_reasons,
       EXISTS (
           SELECT FROM remediator.alerts AS alert
           WHERE alert.source = candidate.source AND alert.fingerprint = candidate.fingerprint
             AND alert.status = 'firing'
       ) OR EXISTS (
           SELECT
           FROM remediator.incident_alerts AS tie
           JOIN remediator.alerts AS alert USING (source, fingerprint)
           WHERE tie.incident = candidate.incident AND alert.status = 'firing'
       ) AS firing
FROM unnest($1::bigint[], $2::int[]) AS assessed (id, tries)
JOIN remediator.candidates AS candidate ON candidate.id = assessed.id AND candidate.tries = assessed.tries
WHERE candidate.state <> 'decided'
FOR UPDATE OF candidate;

-- name: incidents_of
-- Open incidents of these targets, and the incidents with these numbers; with the rules that have something under way
-- in them, and those that a person said no to.
SELECT id, target_key, target::text AS target, severity, state, rule, title, opened_at, healthy_since, resolved_at,
       ARRAY(
           SELECT rule FROM remediator.actions
           WHERE actions.incident = incidents.id
             AND actions.state IN ('awaiting_approval', 'admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
           UNION
           SELECT rule FROM remediator.candidates
           WHERE candidates.incident = incidents.id AND candidates.state <> 'decided'
       ) AS working,
       ARRAY(
           SELECT DISTINCT rule FROM remediator.actions
           WHERE actions.incident = incidents.id AND actions.state = 'rejected'
       ) AS rejected
FROM remediator.incidents
WHERE (state <> 'resolved' AND target_key = ANY ($1::text[])) OR id = ANY ($2::bigint[]);

-- name: past_actions
-- The changing actions of the last day on these targets, newest first, at most 50 each, questions that wait for an
-- answer among them; and the open one, however old it is.
SELECT past.number, past.incident, past.action, past.rule, past.target_key, past.namespace, past.state, past.admitted_at, past.ended_at
FROM unnest($1::text[]) AS wanted (target_key)
CROSS JOIN LATERAL (
    SELECT *
    FROM remediator.actions AS action
    WHERE action.target_key = wanted.target_key AND action.changes
      AND (action.mode = 'enforce' OR action.state = 'awaiting_approval')
      AND action.admitted_at > clock_timestamp() - interval '24 hours'
    ORDER BY action.admitted_at DESC
    LIMIT 50
) AS past
UNION ALL
SELECT past.number, past.incident, past.action, past.rule, past.target_key, past.namespace, past.state, past.admitted_at, past.ended_at
FROM remediator.actions AS past
WHERE past.target_key = ANY ($1::text[]) AND past.changes AND past.mode = 'enforce'
  AND past.state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
  AND past.admitted_at <= clock_timestamp() - interval '24 hours';

-- name: count_windows
-- How many changing actions each sliding window holds, and the oldest of them.
SELECT wanted.place, counted.actions::int AS actions, counted.oldest_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[]) AS wanted (place, kind, key, window_s)
CROSS JOIN LATERAL (
    SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
    WHERE wanted.kind = 'target' AND changes AND mode = 'enforce' AND target_key = wanted.key
      AND admitted_at > $5::timestamptz - make_interval(secs => wanted.window_s)
) AS counted
WHERE wanted.kind = 'target'
UNION ALL
SELECT wanted.place, counted.actions::int, counted.oldest_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[]) AS wanted (place, kind, key, window_s)
CROSS JOIN LATERAL (
    SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
    WHERE changes AND mode = 'enforce' AND rule = wanted.key
      AND admitted_at > $5::timestamptz - make_interval(secs => wanted.window_s)
) AS counted
WHERE wanted.kind = 'rule'
UNION ALL
SELECT wanted.place, counted.actions::int, counted.oldest_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[]) AS wanted (place, kind, key, window_s)
CROSS JOIN LATERAL (
    SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
    WHERE changes AND mode = 'enforce' AND namespace = wanted.key
      AND admitted_at > $5::timestamptz - make_interval(secs => wanted.window_s)
) AS counted
WHERE wanted.kind = 'namespace'
UNION ALL
SELECT wanted.place, counted.actions::int, counted.oldest_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[]) AS wanted (place, kind, key, window_s)
CROSS JOIN LATERAL (
    SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
    WHERE changes AND mode = 'enforce'
      AND admitted_at > $5::timestamptz - make_interval(secs => wanted.window_s)
) AS counted
WHERE wanted.kind = 'cluster';

-- name: open_actions
-- Open changing actions by namespace; the sum is the cluster's.
SELECT namespace, count(*)::int AS actions
FROM remediator.actions
WHERE changes AND mode = 'enforce' AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
GROUP BY namespace;

-- name: last_admission
-- When the latest changing action was admitted.
SELECT max(admitted_at) AS at FROM remediator.actions WHERE changes AND mode = 'enforce';

-- name: allocate
-- Numbers for new incidents and actions, so that everything of one decision can be written with them in one go.
SELECT array(SELECT nextval('remediator.incidents_id_seq') FROM generate_series(1, $1::int)) AS incidents,
       array(SELECT nextval('remediator.actions_number_seq') FROM generate_series(1, $2::int)) AS actions;

-- name: put_incidents
-- New incidents.
INSERT INTO remediator.incidents (id, target_key, target, severity, state, rule, title, check_at)
OVERRIDING SYSTEM VALUE
SELECT id, target_key, target, severity, 'open', rule, title, clock_timestamp() + interval '15 seconds'
FROM jsonb_to_recordset($1::jsonb)
    AS given (id bigint, target_key text, target jsonb, severity text, rule text, title text);

-- name: tie_alerts
-- Which alerts belong to which incident.
INSERT INTO remediator.incident_alerts (incident, source, fingerprint)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING;

-- name: put_actions
-- New actions. Two decisions with the same id are one decision; the second insert fails the transaction.
INSERT INTO remediator.actions
    (number, id, incident, candidate, rule, rung, action, mode, target_key, namespace, target, plan, changes, state,
     good_until)
OVERRIDING SYSTEM VALUE
SELECT number, id, incident, candidate, rule, rung, action, mode, target_key, namespace, target, plan, changes, state,
       clock_timestamp() + make_interval(secs => shelf_life_s)
FROM jsonb_to_recordset($1::jsonb)
    AS given (number bigint, id text, incident bigint, candidate bigint, rule text, rung int, action text, mode text,
              target_key text, namespace text, target jsonb, plan jsonb, changes boolean, state text, shelf_life_s int);

-- name: settle_candidates
-- What became of each candidate: decided, or held until it is worth asking again.
UPDATE remediator.candidates AS candidate
SET state = given.state,
    not_before = coalesce(given.not_before, candidate.not_before),
    incident = coalesce(given.incident, candidate.incident),
    facts = given.facts,
    last_reasons = ARRAY(SELECT jsonb_array_elements_text(given.reasons)),
    tries = candidate.tries + 1,
    lease_until = NULL
FROM jsonb_to_recordset($1::jsonb)
    AS given (id bigint, state text, not_before timestamptz, incident bigint, facts jsonb, reasons jsonb)
WHERE candidate.id = given.id;

-- name: escalate_incidents
-- People are called for these incidents; tells which of them were not escalated before.
UPDATE remediator.incidents
SET state = 'escalated', escalated_at = clock_timestamp()
WHERE id = ANY ($1::bigint[]) AND state = 'open'
RETURNING id;
