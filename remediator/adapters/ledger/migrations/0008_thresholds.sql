-- The threshold table: how each series of each row stands, so that a restart neither forgets nor fires early.

INSERT INTO remediator.duties (name) VALUES ('poller');

-- When Prometheus was last asked for a row, when it last answered, and since when nothing is known.
CREATE TABLE remediator.threshold_rows (
    name          text        PRIMARY KEY,
    looked_at     timestamptz NOT NULL,
    known_at      timestamptz,
    unknown_since timestamptz,
    unknown_why   text        NOT NULL,
    called        boolean     NOT NULL
);

-- How each series stands. The timers are seconds; NULL: it was not so at the last look. What fires is written at every tick.
CREATE TABLE remediator.threshold_series (
    source        text        NOT NULL,
    fingerprint   text        NOT NULL,
    name          text        NOT NULL,
    labels        jsonb       NOT NULL,
    phase         text        NOT NULL CHECK (phase IN ('ok', 'pending', 'firing')),
    level         text        CHECK (level IN ('warning', 'critical')),
    value         float8,
    over_s        float8,
    critical_s    float8,
    eased_s       float8,
    calm_s        float8,
    fired_at      timestamptz,
    level_at      timestamptz,
    calm_since    timestamptz,
    unknown_since timestamptz,
    unknown_why   text        NOT NULL,
    called        boolean     NOT NULL,
    PRIMARY KEY (source, fingerprint),
    CHECK ((phase = 'firing') = (level IS NOT NULL))
) WITH (fillfactor = 60);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON remediator.threshold_rows, remediator.threshold_series
            TO remediator_app;
    END IF;
END
$$;
