-- The spine: signals, alerts, candidates, incidents, actions, ledger, outbox, evidence, rule sets.
-- Each stage's state is in a row; a crash leaves the row that says what is next.

-- What came in. One row for each distinct fact; a repeated notification only moves last_seen_at.
CREATE TABLE remediator.signals (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text        NOT NULL,
    fingerprint   text        NOT NULL,
    status        text        NOT NULL CHECK (status IN ('firing', 'resolved')),
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz,
    labels        jsonb       NOT NULL,
    annotations   jsonb       NOT NULL,
    generator_url text        NOT NULL DEFAULT '',
    group_key     text        NOT NULL DEFAULT '',
    receiver      text        NOT NULL DEFAULT '',
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (source, fingerprint, starts_at, status)
);

-- Which signals nobody has judged yet: a narrow table, so that judging one does not rewrite its wide row.
CREATE TABLE remediator.inbox (
    signal bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Alerts of a good body that could not be used, and bodies that said they had left alerts out.
CREATE TABLE remediator.quarantine (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    source      text        NOT NULL,
    path        text        NOT NULL,
    reason      text        NOT NULL,
    raw         text        NOT NULL
);

-- The present state of each fingerprint. A resolved row is a tombstone against late firing signals.
CREATE TABLE remediator.alerts (
    source      text        NOT NULL,
    fingerprint text        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('firing', 'resolved')),
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz,
    labels      jsonb       NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, fingerprint)
);

-- All that fires for one target, until it is healthy. A target has at most one that is not resolved.
CREATE TABLE remediator.incidents (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target_key    text        NOT NULL,
    target        jsonb,
    severity      text        NOT NULL CHECK (severity IN ('P1', 'P2', 'P3', 'P4')),
    state         text        NOT NULL CHECK (state IN ('open', 'escalated', 'resolved')),
    rule          text        NOT NULL,
    title         text        NOT NULL,
    opened_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    check_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    healthy_since timestamptz,
    escalated_at  timestamptz,
    resolved_at   timestamptz
);
CREATE UNIQUE INDEX incidents_one_open ON remediator.incidents (target_key) WHERE state <> 'resolved';
CREATE INDEX incidents_due ON remediator.incidents (check_at) WHERE state <> 'resolved';

-- Which alerts belong to an incident.
CREATE TABLE remediator.incident_alerts (
    incident    bigint      NOT NULL REFERENCES remediator.incidents (id),
    source      text        NOT NULL,
    fingerprint text        NOT NULL,
    added_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (incident, source, fingerprint)
);
CREATE INDEX incident_alerts_by_alert ON remediator.incident_alerts (source, fingerprint);

-- One signal under one rule on its way to a decision. 'held' ones come back at not_before.
CREATE TABLE remediator.candidates (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause         text        NOT NULL,
    rule          text        NOT NULL,
    rung          int         NOT NULL,
    source        text        NOT NULL,
    fingerprint   text        NOT NULL,
    labels        jsonb       NOT NULL,
    incident      bigint REFERENCES remediator.incidents (id),
    approved_by   text        NOT NULL DEFAULT '',
    approved_plan text        NOT NULL DEFAULT '',
    severity      text        NOT NULL,
    priority      int         NOT NULL DEFAULT 0,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state         text        NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'held', 'decided')),
    not_before    timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until   timestamptz,
    facts         jsonb,
    tries         int         NOT NULL DEFAULT 0,
    escalated     boolean     NOT NULL DEFAULT false,
    last_reasons  text[]      NOT NULL DEFAULT '{}'
);
CREATE INDEX candidates_to_assess ON remediator.candidates (severity, not_before) WHERE state IN ('new', 'held');

-- The same alert under the same rule waits at most once: duplicates and repeats cannot pile up.
CREATE UNIQUE INDEX candidates_one_waiting ON remediator.candidates (source, fingerprint, rule)
    WHERE state <> 'decided';

CREATE INDEX candidates_by_incident ON remediator.candidates (incident) WHERE state <> 'decided';

CREATE SEQUENCE remediator.fences AS bigint;

-- The durable state machine. Only changing actions that may act (mode enforce) hold a target and count in limits.
-- The partial unique index is the lock on a target.
CREATE TABLE remediator.actions (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            text        NOT NULL UNIQUE,
    incident      bigint      NOT NULL REFERENCES remediator.incidents (id),
    candidate     bigint      NOT NULL REFERENCES remediator.candidates (id),
    rule          text        NOT NULL,
    rung          int         NOT NULL,
    action        text        NOT NULL,
    mode          text        NOT NULL CHECK (mode IN ('observe', 'ask', 'enforce')),
    target_key    text        NOT NULL,
    namespace     text        NOT NULL,
    target        jsonb       NOT NULL,
    plan          jsonb       NOT NULL,
    changes       boolean     NOT NULL,
    state         text        NOT NULL,
    admitted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    good_until    timestamptz NOT NULL,
    owner         text        NOT NULL DEFAULT '',
    lease_until   timestamptz,
    fence         bigint      NOT NULL DEFAULT 0,
    attempts      int         NOT NULL DEFAULT 0,
    before_image  jsonb,
    applied_at    timestamptz,
    check_at      timestamptz,
    quiet_since   timestamptz,
    ended_at      timestamptz,
    note          text        NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX actions_one_open ON remediator.actions (target_key)
    WHERE changes AND mode = 'enforce' AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying');
CREATE INDEX actions_open ON remediator.actions (namespace)
    WHERE changes AND mode = 'enforce' AND state IN ('admitted', 'claimed', 'dispatched', 'in_doubt', 'verifying');
CREATE INDEX actions_to_claim ON remediator.actions (number) WHERE state = 'admitted';
CREATE INDEX actions_leased ON remediator.actions (lease_until) WHERE state IN ('claimed', 'dispatched', 'in_doubt');
CREATE INDEX actions_to_verify ON remediator.actions (check_at) WHERE state = 'verifying';
CREATE INDEX actions_counted ON remediator.actions (admitted_at) WHERE changes AND mode = 'enforce';
CREATE INDEX actions_by_target ON remediator.actions (target_key, admitted_at DESC);
CREATE INDEX actions_by_rule ON remediator.actions (rule, admitted_at) WHERE changes AND mode = 'enforce';
CREATE INDEX actions_by_namespace ON remediator.actions (namespace, admitted_at) WHERE changes AND mode = 'enforce';
CREATE INDEX actions_by_incident ON remediator.actions (incident, number);

-- What was seen before something was changed, redacted and capped, under its own hash.
CREATE TABLE remediator.evidence (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident    bigint      NOT NULL REFERENCES remediator.incidents (id),
    action      bigint REFERENCES remediator.actions (number),
    target_key  text        NOT NULL,
    captured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sha256      text        NOT NULL,
    size        int         NOT NULL,
    truncated   text[]      NOT NULL DEFAULT '{}',
    content     jsonb       NOT NULL
);
CREATE INDEX evidence_by_incident ON remediator.evidence (incident, captured_at DESC);

-- Append-only: the application role may read and insert, no more.
CREATE TABLE remediator.ledger (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text        NOT NULL,
    summary    text        NOT NULL,
    incident   bigint,
    action     bigint,
    rule       text        NOT NULL DEFAULT '',
    target_key text        NOT NULL DEFAULT '',
    reasons    text[]      NOT NULL DEFAULT '{}',
    data       jsonb       NOT NULL DEFAULT '{}',
    actor      text        NOT NULL DEFAULT 'remediator'
);
CREATE INDEX ledger_by_incident ON remediator.ledger (incident, seq) WHERE incident IS NOT NULL;
CREATE INDEX ledger_by_action ON remediator.ledger (action, seq) WHERE action IS NOT NULL;
CREATE INDEX ledger_by_time ON remediator.ledger (at);

-- Messages to people, delivered at least once.
CREATE TABLE remediator.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    incident   bigint REFERENCES remediator.incidents (id),
    payload    jsonb       NOT NULL,
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts   int         NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error text        NOT NULL DEFAULT ''
);
CREATE INDEX outbox_waiting ON remediator.outbox (not_before) WHERE state = 'waiting';

-- Who said yes or no to which action.
CREATE TABLE remediator.approvals (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    action   bigint      NOT NULL REFERENCES remediator.actions (number),
    approved boolean     NOT NULL,
    actor    text        NOT NULL,
    reason   text        NOT NULL DEFAULT ''
);

-- Every rule set ever loaded.
CREATE TABLE remediator.rule_sets (
    digest    text PRIMARY KEY,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    files     jsonb       NOT NULL
);
