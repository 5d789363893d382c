-- Loans: pods, or bounds of whatever scales a workload, that go back when they have not been needed for a while.

-- What each action has lent, and how far it is on its way back.
CREATE TABLE remediator.loans (
    action     bigint      PRIMARY KEY REFERENCES remediator.actions (number),
    incident   bigint      NOT NULL REFERENCES remediator.incidents (id),
    target_key text        NOT NULL,
    state      text        NOT NULL DEFAULT 'lent' CHECK (state IN ('lent', 'returning', 'returned', 'kept')),
    return_at  timestamptz NOT NULL,
    check_at   timestamptz NOT NULL,
    -- The action whose write stands: the one that lent, then each step of the return.
    last       bigint      NOT NULL REFERENCES remediator.actions (number),
    candidate  bigint      REFERENCES remediator.candidates (id) ON DELETE SET NULL,
    tries      int         NOT NULL DEFAULT 0,
    note       text        NOT NULL DEFAULT '',
    ended_at   timestamptz
) WITH (fillfactor = 70);

CREATE INDEX loans_due ON remediator.loans (check_at) WHERE state IN ('lent', 'returning');
CREATE INDEX actions_lending ON remediator.actions (number)
    WHERE plan ->> 'return_after_s' IS NOT NULL AND applied_at IS NOT NULL AND mode = 'enforce';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT SELECT, INSERT, UPDATE ON remediator.loans TO remediator_app;
    END IF;
END
$$;
