-- The kill switch, and what the guards of storms and of the platform look at.

-- Nothing is changed within the scope of a pause until it is lifted, or until it ends by itself.
CREATE TABLE remediator.pauses (
    number    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope     text        NOT NULL CHECK (scope IN ('global', 'namespace', 'rule', 'target')),
    key       text        NOT NULL DEFAULT '',
    reason    text        NOT NULL,
    actor     text        NOT NULL,
    since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    until     timestamptz,
    lifted_at timestamptz,
    lifted_by text        NOT NULL DEFAULT '',
    CHECK ((scope = 'global') = (key = ''))
);
CREATE INDEX pauses_not_lifted ON remediator.pauses (number) WHERE lifted_at IS NULL;

-- The number of the pause in force that lasts longest, of those that stop a rule on a target; null: none does.
CREATE FUNCTION remediator.pause_on(of_namespace text, of_rule text, of_target text) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT number
    FROM remediator.pauses
    WHERE lifted_at IS NULL AND (until IS NULL OR until > clock_timestamp())
      AND CASE scope
          WHEN 'global' THEN true
          WHEN 'namespace' THEN key = of_namespace
          WHEN 'rule' THEN key = of_rule
          ELSE key = of_target
      END
    ORDER BY until DESC NULLS FIRST
    LIMIT 1
$$;

-- How many incidents began lately, and which alerts about the platform fire.
CREATE INDEX incidents_by_onset ON remediator.incidents (opened_at);
-- (An index of those that fire, by a predicate alone, would be taken for every question about those that fire.)
CREATE INDEX alerts_firing_by_name ON remediator.alerts ((CASE WHEN status = 'firing' THEN labels ->> 'alertname' END))
    WHERE CASE WHEN status = 'firing' THEN labels ->> 'alertname' END IS NOT NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT SELECT, INSERT, UPDATE (lifted_at, lifted_by) ON remediator.pauses TO remediator_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA remediator TO remediator_app;
    END IF;
END
$$;
