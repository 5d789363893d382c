-- Which rules everything that fires has been held against, by the hash of what each says: a rule that comes with a
-- restart of the daemon sees what fires already, as one that comes with a reload does.
CREATE TABLE remediator.rules_held (
    rule   text PRIMARY KEY,
    digest text NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON remediator.rules_held TO remediator_app;
    END IF;
END
$$;
