-- Retention: what an incident that is long over leaves behind. The ledger, incidents, actions, approvals and rule sets
-- are kept for ever; evidence goes some time after its incident was resolved, and only then.

-- Asked for each candidate that is to be forgotten: an action keeps its own.
CREATE INDEX actions_by_candidate ON remediator.actions (candidate);

-- Forgets evidence of incidents that were resolved more than keep_s seconds ago, 30 days at the least, among the next
-- ``most`` bundles after a number; tells how far it came and what went. The application role may call this and may not
-- delete evidence in any other way.
CREATE FUNCTION remediator.forget_evidence(after_id bigint, keep_s double precision, most integer)
RETURNS TABLE (upto bigint, gone jsonb)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH slice AS (
        SELECT id, incident FROM remediator.evidence WHERE id > after_id ORDER BY id LIMIT most
    ), forgotten AS (
        DELETE FROM remediator.evidence AS bundle
        USING slice
        JOIN remediator.incidents AS incident ON incident.id = slice.incident
        WHERE bundle.id = slice.id AND incident.state = 'resolved'
          AND incident.resolved_at < clock_timestamp() - make_interval(secs => greatest(keep_s, 30 * 86400))
        RETURNING bundle.id, bundle.incident, bundle.sha256
    )
    SELECT (SELECT max(id) FROM slice),
           (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'incident', incident, 'sha256', sha256)
                                      ORDER BY id), '[]')
            FROM forgotten)
$$;
REVOKE ALL ON FUNCTION remediator.forget_evidence(bigint, double precision, integer) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT EXECUTE ON FUNCTION remediator.forget_evidence(bigint, double precision, integer) TO remediator_app;
    END IF;
END
$$;
