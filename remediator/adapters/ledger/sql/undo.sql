-- name: read_former
-- An action that is to be undone, and the action that undoes it, if one does or has.
SELECT former.number, former.id, former.incident, former.rule, former.state, former.target::text AS target,
       former.plan::text AS plan, former.before_image::text AS before_image, former.applied_at,
       (SELECT max(undo.number) FROM remediator.actions AS undo
        WHERE undo.incident = former.incident
          AND (undo.plan -> 'undoes' ->> 'action')::bigint = former.number
          AND undo.state NOT IN ('refused', 'expired', 'observed', 'rejected')) AS undone_by
FROM remediator.actions AS former
WHERE former.number = $1;

-- name: ask_undo
-- A person's wish becomes a candidate, to be decided on fresh facts; it belongs to the incident of what is undone.
INSERT INTO remediator.candidates
    (cause, rule, rung, source, fingerprint, labels, incident, approved_by, severity, priority)
SELECT 'undo', former.rule, -1, 'undo', former.number::text, candidate.labels, former.incident, $2, incident.severity,
       candidate.priority
FROM remediator.actions AS former
JOIN remediator.candidates AS candidate ON candidate.id = former.candidate
JOIN remediator.incidents AS incident ON incident.id = former.incident
WHERE former.number = $1
ON CONFLICT (source, fingerprint, rule) WHERE state <> 'decided' DO NOTHING
RETURNING id;
