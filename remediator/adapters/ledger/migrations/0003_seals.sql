-- What was recorded cannot be changed unseen: seals over the ledger, a guard against its own owner's slips, and fewer
-- rights for the application role. docs/reference/ledger.md describes the chain.

-- One link of the chain: the entries up to a number with a digest of each, tied to the link before by its hash.
CREATE TABLE remediator.seals (
    number    bigint      PRIMARY KEY CHECK (number > 0),
    upto      bigint      NOT NULL UNIQUE,
    seqs      bigint[]    NOT NULL,
    digests   bytea       NOT NULL CHECK (octet_length(digests) = 32 * cardinality(seqs)),
    prev      bytea       NOT NULL UNIQUE,
    hash      bytea       NOT NULL UNIQUE,
    sealed_at timestamptz NOT NULL,
    sealed_by text        NOT NULL
);

-- The application role has no right to any of this. Whoever owns the tables has, and is stopped by this until he takes
-- the trigger off, which nobody does by a slip.
CREATE FUNCTION remediator.refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% of %.%: what was recorded is only ever added to', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON remediator.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION remediator.refuse_change();
ALTER TABLE remediator.ledger ENABLE ALWAYS TRIGGER only_added_to;
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON remediator.seals
    FOR EACH STATEMENT EXECUTE FUNCTION remediator.refuse_change();
ALTER TABLE remediator.seals ENABLE ALWAYS TRIGGER only_added_to;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT SELECT, INSERT ON remediator.seals TO remediator_app;
        -- Number and time of what is recorded are the database's: the role can give neither.
        REVOKE INSERT ON remediator.ledger, remediator.evidence, remediator.approvals FROM remediator_app;
        GRANT INSERT (kind, summary, incident, action, rule, target_key, reasons, data, actor)
            ON remediator.ledger TO remediator_app;
        GRANT INSERT (incident, action, target_key, sha256, size, truncated, content)
            ON remediator.evidence TO remediator_app;
        GRANT INSERT (action, approved, actor, reason) ON remediator.approvals TO remediator_app;
        -- A user who is nothing but this role can see that the schema is the one that its program knows.
        GRANT SELECT ON remediator.schema_migrations TO remediator_app;
    END IF;
END
$$;
