-- The role that the daemon works as: it can do everything that the stages need, and to the ledger it can only add.
-- Where the connecting user may not create roles, the daemon works as that user and says so at every start.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        BEGIN
            CREATE ROLE remediator_app NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role remediator_app was made by somebody else at the same time';
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role remediator_app cannot be made by %: the ledger is not protected from the daemon itself',
                    current_user;
        END;
    END IF;

    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT USAGE ON SCHEMA remediator TO remediator_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA remediator TO remediator_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON
            remediator.signals, remediator.inbox, remediator.quarantine, remediator.alerts, remediator.incidents,
            remediator.incident_alerts, remediator.candidates, remediator.actions, remediator.outbox
            TO remediator_app;
        GRANT SELECT, INSERT, UPDATE ON remediator.rule_sets TO remediator_app;
        GRANT SELECT, INSERT ON remediator.ledger, remediator.evidence, remediator.approvals TO remediator_app;
        -- Since PostgreSQL 16 whoever makes a role is a member of it without the right to become it: granted again.
        BEGIN
            EXECUTE format('GRANT remediator_app TO %I', current_user);
        EXCEPTION
            WHEN insufficient_privilege THEN
                IF NOT pg_catalog.pg_has_role(current_user, 'remediator_app', 'MEMBER') THEN
                    RAISE WARNING 'role remediator_app cannot be granted to %: the ledger is not protected from the daemon itself',
                        current_user;
                END IF;
        END;
    END IF;
END
$$;
