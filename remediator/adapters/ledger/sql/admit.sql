-- name: take_candidates
-- Leases candidates that are due, the most severe first, then who has been due for the longest time. Of those that were
-- held before at most half of the places: however many come back, and however severe, new ones get the other half.
WITH fresh AS MATERIALIZED (
    SELECT id, severity, not_before
    FROM remediator.candidates
    WHERE state = 'new'
      AND not_before <= clock_timestamp()
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY severity, not_before
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), held AS MATERIALIZED (
    SELECT id, severity, not_before
    FROM remediator.candidates
    WHERE state = 'held'
      AND not_before <= clock_timestamp()
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY severity, not_before
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE remediator.candidates AS candidate
SET lease_until = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT id
    FROM (
        SELECT id, severity, not_before, 0 AS back FROM fresh
        UNION ALL
        SELECT id, severity, not_before, row_number() OVER (ORDER BY severity, not_before, id) FROM held
    ) AS waiting
    ORDER BY back > greatest($1 - (SELECT count(*) FROM fresh), ($1 + 1) / 2), severity, not_before, id
    LIMIT $1
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
    -- incident, fires, and whether all of that is silenced.
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
           ), false) AS firing,
           CASE WHEN EXISTS (SELECT FROM remediator.hushed_alerts)
               THEN remediator.hush_on(candidate.source, candidate.fingerprint, candidate.incident)
           END AS hush
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
    -- The changing actions on these targets, newest first, at most 50 each, as far back as a cooldown can last; among
    -- them the questions of the last day that wait for an answer; and the open one, however old it is.
    SELECT latest.*
    FROM unnest($5::text[]) AS wanted (target_key)
    CROSS JOIN LATERAL (
        SELECT number, incident, action, rule, target_key, namespace, state, admitted_at, ended_at
        FROM remediator.actions AS done
        WHERE done.target_key = wanted.target_key AND done.changes
          AND (done.mode = 'enforce' OR (done.state = 'awaiting_approval'
                                         AND done.admitted_at > statement_timestamp() - interval '24 hours'))
          AND done.admitted_at > statement_timestamp() - interval '31 days'
        ORDER BY done.admitted_at DESC
        LIMIT 50
    ) AS latest
    UNION ALL
    SELECT number, incident, action, rule, target_key, namespace, state, admitted_at, ended_at
    FROM remediator.actions
    WHERE target_key = ANY ($5::text[]) AND changes AND mode = 'enforce'
      AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
      AND admitted_at <= statement_timestamp() - interval '31 days'
), wanted AS (
    SELECT * FROM unnest($7::text[], $8::text[], $9::int[]) WITH ORDINALITY AS given (kind, key, window_s, place)
), counted AS (
    -- How many changing actions each sliding window holds, and the oldest of them; of the kind look, actions that change
    -- nothing. Each kind has an index of its own.
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
    UNION ALL
    SELECT wanted.place, found.*
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT count(*) AS actions, min(admitted_at) AS oldest_at FROM remediator.actions
        WHERE NOT changes AND action = wanted.key
          AND admitted_at > statement_timestamp() - make_interval(secs => wanted.window_s)
    ) AS found
    WHERE wanted.kind = 'look'
), open AS (
    -- Open changing actions by namespace; the sum is the cluster's.
    SELECT namespace, count(*) AS actions
    FROM remediator.actions
    WHERE changes AND mode = 'enforce' AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying')
    GROUP BY namespace
), touched AS (
    -- Which targets were changed lately, each with the last time.
    SELECT target_key, namespace, max(admitted_at) AS admitted_at
    FROM remediator.actions
    WHERE changes AND mode = 'enforce' AND admitted_at > statement_timestamp() - make_interval(secs => $10)
    GROUP BY target_key, namespace
), onset AS (
    -- When incidents began, as far back as a storm is remembered. The newest thousand tell enough.
    SELECT opened_at FROM remediator.incidents
    WHERE opened_at > statement_timestamp() - make_interval(secs => $11)
    ORDER BY opened_at DESC
    LIMIT 1000
), platform AS (
    -- Alerts about the platform itself that fire.
    SELECT labels ->> 'alertname' AS alertname, coalesce(labels ->> 'namespace', '') AS namespace, count(*) AS count
    FROM remediator.alerts
    WHERE CASE WHEN status = 'firing' THEN labels ->> 'alertname' END = ANY ($12::text[])
    GROUP BY 1, 2
), pause AS (
    SELECT number, scope, key, reason, actor, since, until
    FROM remediator.pauses
    WHERE lifted_at IS NULL AND (until IS NULL OR until > statement_timestamp())
)
SELECT statement_timestamp() AS now,
       (SELECT json_agg(undecided) FROM undecided WHERE waits)::text AS undecided,
       (SELECT json_agg(incident) FROM incident)::text AS incidents,
       (SELECT json_agg(past) FROM past)::text AS past,
       (SELECT json_agg(counted) FROM counted)::text AS windows,
       (SELECT json_object_agg(namespace, actions) FROM open)::text AS open,
       (SELECT json_agg(touched) FROM touched)::text AS touched,
       (SELECT json_agg(opened_at) FROM onset)::text AS onsets,
       (SELECT json_agg(platform) FROM platform)::text AS platform,
       (SELECT json_agg(pause) FROM pause)::text AS pauses,
       (SELECT max(admitted_at) FROM remediator.actions WHERE changes AND mode = 'enforce') AS last_admission,
       coalesce(pg_sequence_last_value('remediator.incidents_id_seq'), 0) AS last_incident,
       coalesce(pg_sequence_last_value('remediator.actions_number_seq'), 0) AS last_action;

-- name: allocate
-- Numbers for new incidents and actions, for who cannot foresee them.
SELECT array(SELECT nextval('remediator.incidents_id_seq') FROM generate_series(1, $1::int)) AS incidents,
       array(SELECT nextval('remediator.actions_number_seq') FROM generate_series(1, $2::int)) AS actions;

-- name: record_decisions
-- All that comes of a batch of decisions, in one round trip; the arguments are JSON arrays of rows, one for each kind,
-- $5 the incidents known before that people are called for, $8 whether other replicas are woken to share the actions, $9
-- whether this commit waits for the disk (docs/adr/0012).
-- Two decisions with the same id are one decision: the second one's action fails the transaction. What says if_called
-- is only written if its incident is called for now, and was not before. New incidents and actions get their numbers in
-- the order of those that they are referred to by; they are told, and are the same unless somebody else drew one too.
WITH opened AS (
    INSERT INTO remediator.incidents (target_key, target, severity, state, rule, title, check_at, escalated_at)
    SELECT target_key, target, severity, CASE WHEN called THEN 'escalated' ELSE 'open' END, rule, title,
           clock_timestamp() + interval '15 seconds', CASE WHEN called THEN clock_timestamp() END
    FROM jsonb_to_recordset($1::jsonb)
        AS given (id bigint, target_key text, target jsonb, severity text, rule text, title text, called boolean)
    ORDER BY id
    RETURNING id
), tied AS (
    INSERT INTO remediator.incident_alerts (incident, source, fingerprint)
    SELECT incident, source, fingerprint
    FROM jsonb_to_recordset($2::jsonb) AS given (incident bigint, source text, fingerprint text)
    ON CONFLICT DO NOTHING
), admitted AS (
    INSERT INTO remediator.actions
        (id, incident, candidate, rule, rung, action, mode, target_key, namespace, target, plan, changes, state,
         good_until)
    SELECT id, incident, candidate, rule, rung, action, mode, target_key, namespace, target, plan, changes, state,
           clock_timestamp() + make_interval(secs => shelf_life_s)
    FROM jsonb_to_recordset($3::jsonb)
        AS given (number bigint, id text, incident bigint, candidate bigint, rule text, rung int, action text,
                  mode text, target_key text, namespace text, target jsonb, plan jsonb, changes boolean, state text,
                  shelf_life_s int)
    ORDER BY number
    RETURNING number
), settled AS (
    -- What became of each candidate: decided, or held until it is worth asking again.
    UPDATE remediator.candidates AS candidate
    SET state = given.state,
        not_before = coalesce(given.not_before, candidate.not_before),
        incident = coalesce(given.incident, candidate.incident),
        facts = given.facts,
        last_reasons = ARRAY(SELECT jsonb_array_elements_text(given.reasons)),
        tries = candidate.tries + 1,
        lease_until = NULL
    FROM jsonb_to_recordset($4::jsonb)
        AS given (id bigint, state text, not_before timestamptz, incident bigint, facts jsonb, reasons jsonb)
    WHERE candidate.id = given.id
), called AS (
    UPDATE remediator.incidents AS incident
    SET state = 'escalated', escalated_at = clock_timestamp()
    FROM unnest($5::bigint[]) AS given (id)
    WHERE incident.id = given.id AND incident.state = 'open'
    RETURNING incident.id
), told AS (
    INSERT INTO remediator.outbox (incident, payload)
    SELECT incident, payload
    FROM jsonb_to_recordset($6::jsonb) AS given (incident bigint, payload jsonb, if_called boolean)
    WHERE NOT if_called OR EXISTS (SELECT FROM called WHERE called.id = given.incident)
), said AS (
    INSERT INTO remediator.ledger (kind, summary, incident, action, rule, target_key, reasons, data, actor)
    SELECT kind, summary, incident, action, rule, target_key, ARRAY(SELECT jsonb_array_elements_text(reasons)), data,
           actor
    FROM jsonb_to_recordset($7::jsonb)
        AS given (kind text, summary text, incident bigint, action bigint, rule text, target_key text, reasons jsonb,
                  data jsonb, actor text, if_called boolean)
    WHERE NOT if_called OR EXISTS (SELECT FROM called WHERE called.id = given.incident)
)
SELECT ARRAY(SELECT id FROM called) AS called,
       ARRAY(SELECT id FROM opened) AS opened,
       ARRAY(SELECT number FROM admitted) AS admitted,
       CASE WHEN $8::boolean THEN pg_notify('remediator', 'execute')::text END AS woken,
       CASE WHEN NOT $9::boolean THEN set_config('synchronous_commit', 'off', true) END AS unhurried;

-- name: escalate_incidents
-- People are called for these incidents; tells which of them were not escalated before.
UPDATE remediator.incidents
SET state = 'escalated', escalated_at = clock_timestamp()
WHERE id = ANY ($1::bigint[]) AND state = 'open'
RETURNING id;
