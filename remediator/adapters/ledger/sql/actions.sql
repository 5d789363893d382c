-- name: claim_actions
-- Takes admitted actions that nobody has paused (or that are too old to be carried out, and end so), and those whose
-- owner's lease has ended. The fence rises with each claim. (Each kind is found
-- by its own index: asked for both at once, the server reads all actions there ever were, in their order.)
WITH abandoned AS (
    SELECT number, state
    FROM remediator.actions
    -- The clock at the statement's beginning: one that moves on could not be looked up in an index.
    WHERE state IN ('claimed', 'dispatched', 'in_doubt') AND lease_until < statement_timestamp()
    ORDER BY lease_until
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), admitted AS (
    SELECT number, state
    FROM remediator.actions
    WHERE state = 'admitted'
      AND (NOT changes OR good_until < clock_timestamp() OR remediator.pause_on(namespace, rule, target_key) IS NULL)
    ORDER BY number
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), found AS (
    SELECT number, state FROM abandoned UNION ALL SELECT number, state FROM admitted LIMIT $1
)
UPDATE remediator.actions AS action
SET owner = $2, lease_until = clock_timestamp() + make_interval(secs => $3),
    fence = nextval('remediator.fences'), attempts = action.attempts + 1,
    state = CASE WHEN action.state = 'admitted' THEN 'claimed' ELSE action.state END
FROM found
WHERE action.number = found.number
RETURNING action.id, action.number, action.incident, action.rule, action.rung, action.mode,
          action.target::text AS target, action.plan::text AS plan, action.state, action.admitted_at,
          action.good_until, action.attempts, action.fence, action.before_image::text AS before_image,
          action.applied_at, action.note, found.state AS found_in, clock_timestamp() AS now,
          EXISTS (
              SELECT
              FROM remediator.incident_alerts AS tie
              JOIN remediator.alerts AS alert USING (source, fingerprint)
              WHERE tie.incident = action.incident AND alert.status = 'firing'
          ) AS firing,
          EXISTS (
              SELECT FROM remediator.evidence
              WHERE evidence.incident = action.incident AND evidence.target_key = action.target_key
                AND evidence.captured_at > clock_timestamp() - interval '10 minutes'
          ) AS has_evidence,
          EXISTS (
              -- A person's yes is to one plan: the ladder may have made another since.
              SELECT FROM remediator.candidates AS candidate
              WHERE candidate.id = action.candidate AND candidate.approved_by <> ''
                AND candidate.approved_plan = action.plan ->> 'summary'
          ) AS approved,
          (SELECT count(*)::int FROM remediator.actions AS other
           WHERE other.incident = action.incident AND other.rule = action.rule AND other.rung = action.rung) AS tries;

-- name: renew_lease
-- Holds on to an action, if it is still ours, and tells whether there still is a reason for it.
UPDATE remediator.actions AS action
SET lease_until = clock_timestamp() + make_interval(secs => $3)
WHERE number = $1 AND fence = $2 AND ended_at IS NULL
RETURNING clock_timestamp() AS now,
          (SELECT format('paused by %s: %s', actor, reason) FROM remediator.pauses AS pause
           WHERE action.changes
             AND pause.number = remediator.pause_on(action.namespace, action.rule, action.target_key)) AS paused,
          EXISTS (
              SELECT
              FROM remediator.incident_alerts AS tie
              JOIN remediator.alerts AS alert USING (source, fingerprint)
              WHERE tie.incident = action.incident AND alert.status = 'firing'
          ) AS firing;

-- name: move_actions
-- Moves actions to their next state, each only if its fence is still the owner's, with the ledger's entry about it; tells
-- which moved. An intent to write (dispatched) also needs a reason for it in this very moment: the alert fires, the
-- decision is fresh, and nobody has paused it. (An undo is a person's wish, whatever fires; the rest holds for it too.)
-- And the object's mark, if it has one, must be that of an action in this ledger: one that lost its end when a standby or
-- a backup took over has forgotten what was done, and with it cooldowns and limits.
-- (The first look at what was applied: while the alert fires nothing can be proven, and the alert's end hastens the look.)
WITH given AS MATERIALIZED (
    SELECT place, number, fence, state, before_image, note, ended, entry
    FROM jsonb_to_recordset($1::jsonb)
        AS given (place int, number bigint, fence bigint, state text, before_image jsonb, note text, ended boolean,
                  entry jsonb)
), moved AS (
    UPDATE remediator.actions AS action
    SET state = given.state,
        before_image = coalesce(given.before_image, action.before_image),
        applied_at = CASE WHEN given.state = 'verifying' THEN clock_timestamp() ELSE action.applied_at END,
        check_at = CASE WHEN given.state = 'verifying' THEN clock_timestamp() + interval '5 seconds' END,
        lease_until = CASE WHEN given.state = 'verifying' THEN NULL ELSE action.lease_until END,
        ended_at = CASE WHEN given.ended THEN clock_timestamp() ELSE NULL END,
        note = coalesce(given.note, action.note)
    FROM given
    -- The numbers are asked for twice, so that no plan can begin with all actions there are.
    WHERE action.number = ANY (ARRAY(SELECT number FROM given))
      AND action.number = given.number AND action.fence = given.fence AND action.ended_at IS NULL
      -- A server that crashed, or a standby that lagged, may give number and fence again, to another action.
      AND coalesce(given.entry #>> '{data,action_id}', action.id) = action.id
      AND (given.state <> 'dispatched'
           OR (clock_timestamp() <= action.good_until
               AND (coalesce(given.before_image #>> '{object,metadata,annotations,remediator.io/action}', '') = '' OR (
                   SELECT count(*) > 0 FROM remediator.actions AS known
                   WHERE known.id = given.before_image #>> '{object,metadata,annotations,remediator.io/action}'
               ))
               AND remediator.pause_on(action.namespace, action.rule, action.target_key) IS NULL
               AND (action.plan -> 'undoes' ->> 'action' IS NOT NULL OR (
                   -- As a value, for EXISTS may be planned as a list of all incidents with an alert that fires.
                   SELECT count(*) > 0
                   FROM remediator.incident_alerts AS tie
                   JOIN remediator.alerts AS alert USING (source, fingerprint)
                   WHERE tie.incident = action.incident AND alert.status = 'firing'
               ))))
    RETURNING given.place, action.incident, action.rule, action.rung, action.candidate
), said AS (
    INSERT INTO remediator.ledger (kind, summary, incident, action, rule, target_key, reasons, data, actor)
    SELECT said.kind, said.summary, said.incident, said.action, coalesce(said.rule, ''), coalesce(said.target_key, ''),
           ARRAY(SELECT jsonb_array_elements_text(coalesce(said.reasons, '[]'))), coalesce(said.data, '{}'), said.actor
    FROM moved
    JOIN given USING (place)
    CROSS JOIN LATERAL jsonb_to_record(given.entry)
        AS said (kind text, summary text, incident bigint, action bigint, rule text, target_key text, reasons jsonb,
                 data jsonb, actor text)
    WHERE given.entry IS NOT NULL
    ORDER BY place
)
SELECT place, incident, rule, rung, candidate FROM moved;

-- name: know_action
-- Whether a mark on an object is that of an action here.
SELECT EXISTS (SELECT FROM remediator.actions WHERE id = $1) AS known;

-- name: due_actions
-- Applied actions whose next look is due; each is looked at by one replica at a time.
UPDATE remediator.actions AS action
SET check_at = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT number FROM remediator.actions
    WHERE state = 'verifying' AND check_at <= statement_timestamp()
    ORDER BY check_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS found
WHERE action.number = found.number
RETURNING action.id, action.number, action.incident, action.rule, action.rung, action.mode,
          action.target::text AS target, action.plan::text AS plan, action.state, action.admitted_at,
          action.good_until, action.attempts, action.fence, action.applied_at, action.note,
          CASE WHEN EXISTS (
              -- An alert that fired and ended between two looks has broken the quiet.
              SELECT
              FROM remediator.incident_alerts AS tie
              JOIN remediator.alerts AS alert USING (source, fingerprint)
              WHERE tie.incident = action.incident AND alert.changed_at > action.quiet_since
          ) THEN NULL ELSE action.quiet_since END AS quiet_since,
          clock_timestamp() AS now,
          (SELECT count(*)::int
           FROM remediator.incident_alerts AS tie
           JOIN remediator.alerts AS alert USING (source, fingerprint)
           WHERE tie.incident = action.incident AND alert.status = 'firing') AS firing,
          (SELECT count(*)::int FROM remediator.actions AS other
           WHERE other.incident = action.incident AND other.rule = action.rule AND other.rung = action.rung) AS tries,
          (SELECT (candidate.facts -> 'workload' ->> 'ready')::int FROM remediator.candidates AS candidate
           WHERE candidate.id = action.candidate) AS ready_before;

-- name: look_again_at_actions
-- Sets the next look at applied actions, each only if its fence is still the owner's; tells which were set. (A look that
-- is due by now was hastened while the last one was under way. "Not ended" and not "verifying", and the numbers twice: so
-- that no plan goes through all that is being verified. Who waited for many rows in whatever order would deadlock with
-- others who do: what is locked is being hastened or ended, and else comes back when its lease is over.)
WITH mine AS (
    SELECT action.number, given.check_at, given.quiet_since
    FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[])
        AS given (number, fence, check_at, quiet_since)
    JOIN remediator.actions AS action
      ON action.number = ANY ($1::bigint[]) AND action.number = given.number AND action.fence = given.fence
    WHERE action.ended_at IS NULL
    FOR UPDATE OF action SKIP LOCKED
)
UPDATE remediator.actions AS action
SET check_at = CASE WHEN action.check_at <= clock_timestamp() THEN action.check_at ELSE mine.check_at END,
    quiet_since = mine.quiet_since
FROM mine
WHERE action.number = mine.number
RETURNING action.number;

-- name: fires_again
-- Whether an alert of this incident fires, and no people have been called for it.
SELECT EXISTS (
    SELECT
    FROM remediator.incidents AS incident
    JOIN remediator.incident_alerts AS tie ON tie.incident = incident.id
    JOIN remediator.alerts AS alert USING (source, fingerprint)
    WHERE incident.id = $1 AND incident.state = 'open' AND alert.status = 'firing'
);

-- name: put_next_rung
-- The ladder goes on: a candidate like the one before, one rung higher.
INSERT INTO remediator.candidates
    (cause, rule, rung, source, fingerprint, labels, incident, severity, priority)
SELECT 'next_rung', rule, $2, source, fingerprint, labels, $3, severity, priority
FROM remediator.candidates
WHERE id = $1
ON CONFLICT (source, fingerprint, rule) WHERE state <> 'decided' DO UPDATE
    SET cause = 'next_rung', rung = excluded.rung, incident = excluded.incident, approved_by = '', approved_plan = '',
        state = 'new', tries = candidates.tries + 1, last_reasons = '{}', not_before = clock_timestamp(),
        lease_until = NULL;

-- name: put_evidence
-- One bundle of evidence, once for an action and its target: whoever takes the action over looks again, and what was
-- seen first stays. Tells the hash of what is kept, and whether that is new.
WITH known AS (
    SELECT sha256 FROM remediator.evidence WHERE incident = $1 AND action = $2 AND target_key = $3 LIMIT 1
), kept AS (
    INSERT INTO remediator.evidence (incident, action, target_key, sha256, size, truncated, content)
    SELECT $1::bigint, $2::bigint, $3::text, $4::text, $5::int, $6::text[], $7::jsonb
    WHERE NOT EXISTS (SELECT FROM known)
    RETURNING sha256
)
SELECT sha256, true AS fresh FROM kept UNION ALL SELECT sha256, false FROM known;

-- name: put_approval
-- A person's word about an action that waits for it; the action leaves its waiting state.
WITH said AS (
    UPDATE remediator.actions
    SET state = CASE WHEN $2 THEN 'done' ELSE 'rejected' END, ended_at = clock_timestamp(),
        note = CASE WHEN $2 THEN 'approved by ' || $3 || '; decided anew' ELSE 'rejected by ' || $3 END
    WHERE number = $1 AND state = 'awaiting_approval'
    RETURNING number, incident, candidate, rule, rung, target_key, plan ->> 'summary' AS summary
), kept AS (
    INSERT INTO remediator.approvals (action, approved, actor, reason)
    SELECT number, $2, $3, $4 FROM said
)
SELECT number, incident, candidate, rule, rung, target_key, summary FROM said;

-- name: put_approved
-- The approved rung comes back as a candidate, to be decided on fresh facts.
INSERT INTO remediator.candidates
    (cause, rule, rung, source, fingerprint, labels, incident, approved_by, approved_plan, severity, priority)
SELECT 'approved', rule, rung, source, fingerprint, labels, $2, $3, $4, severity, priority
FROM remediator.candidates
WHERE id = $1
ON CONFLICT (source, fingerprint, rule) WHERE state <> 'decided' DO UPDATE
    SET cause = 'approved', rung = excluded.rung, incident = excluded.incident,
        approved_by = excluded.approved_by, approved_plan = excluded.approved_plan,
        state = 'new', tries = candidates.tries + 1, last_reasons = '{}', not_before = clock_timestamp(),
        lease_until = NULL;
