-- name: limit_tables
-- What the limit writes: the columns of the inbox, and the result of a write to the cluster.
CREATE TABLE IF NOT EXISTS bench_signals (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text        NOT NULL,
    fingerprint   text        NOT NULL,
    status        text        NOT NULL,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz,
    labels        jsonb       NOT NULL,
    annotations   jsonb       NOT NULL,
    generator_url text        NOT NULL,
    group_key     text        NOT NULL,
    receiver      text        NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS bench_signals_by_fingerprint ON bench_signals (fingerprint);
CREATE TABLE IF NOT EXISTS bench_results (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    fingerprint   text        NOT NULL,
    status        int         NOT NULL
);

-- name: limit_fingerprints
-- Everything that the limit has stored.
SELECT fingerprint FROM bench_signals;

-- name: daemon_fingerprints
-- Everything that the daemon has stored.
SELECT fingerprint FROM remediator.signals;

-- name: daemon_behind
-- What the daemon has stored and not looked at yet.
SELECT count(*) FROM remediator.inbox;

-- name: daemon_decisions
-- How actions ended or stand, to explain a write that is missing.
SELECT state, note, count(*) AS actions FROM remediator.actions GROUP BY state, note ORDER BY actions DESC LIMIT 10;

-- name: daemon_reasons
-- Why nothing was done, to explain a write that is missing.
SELECT kind, summary, count(*) AS entries FROM remediator.ledger GROUP BY kind, summary
ORDER BY entries DESC LIMIT 10;

-- name: daemon_rule_loads
-- How often rules came into force.
SELECT count(*) FROM remediator.ledger WHERE kind = 'rules.loaded';

-- name: daemon_rows
-- How many rows the tables have that an alert can write to.
SELECT 'signals' AS name, count(*) FROM remediator.signals
UNION ALL SELECT 'inbox', count(*) FROM remediator.inbox
UNION ALL SELECT 'alerts', count(*) FROM remediator.alerts
UNION ALL SELECT 'ledger', count(*) FROM remediator.ledger
UNION ALL SELECT 'candidates', count(*) FROM remediator.candidates
UNION ALL SELECT 'incidents', count(*) FROM remediator.incidents
UNION ALL SELECT 'outbox', count(*) FROM remediator.outbox
UNION ALL SELECT 'quarantine', count(*) FROM remediator.quarantine;
