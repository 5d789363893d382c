-- The lookout: asking Alertmanager and Prometheus what webhooks did not tell.

-- When it was so that an alert fires, where it was asked for; NULL for what was posted.
ALTER TABLE remediator.signals ADD COLUMN confirmed_at timestamptz;

-- Work that one replica does at a time, and when it is due.
CREATE TABLE remediator.duties (
    name        text        PRIMARY KEY,
    turn        bigint      NOT NULL DEFAULT 0,
    owner       text        NOT NULL DEFAULT '',
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    began_at    timestamptz,
    lease_until timestamptz
);
INSERT INTO remediator.duties (name) VALUES ('lookout');

-- The last sign of life of any replica, and the one before it. One row.
CREATE TABLE remediator.pulse (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    at        timestamptz,
    before_at timestamptz
);
INSERT INTO remediator.pulse DEFAULT VALUES;

-- Times without a sign of life of any replica, until their history has been looked at.
CREATE TABLE remediator.gaps (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_at    timestamptz NOT NULL,
    to_at      timestamptz NOT NULL,
    tries      int         NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz
);
CREATE INDEX gaps_unsettled ON remediator.gaps (due_at) WHERE settled_at IS NULL;

-- Alerts that fire here and were not in Alertmanager at the last whole look; since when.
CREATE TABLE remediator.absent_alerts (
    source      text        NOT NULL,
    fingerprint text        NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (source, fingerprint)
);

-- Alerts that fire and are silenced or inhibited in Alertmanager; by what, since when, and when that was last seen.
CREATE TABLE remediator.hushed_alerts (
    source      text        NOT NULL,
    fingerprint text        NOT NULL,
    how         text        NOT NULL CHECK (how IN ('silenced', 'inhibited')),
    by          text[]      NOT NULL,
    since       timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, fingerprint)
);

-- Why nothing may be done about an alert and the incident that it belongs to: all that fires of it is silenced or
-- inhibited. Null where something that fires is not. (A notification that came long after an alert was last seen
-- silent proves that it is not any more: then nobody is asked successfully.)
CREATE FUNCTION remediator.hush_on(of_source text, of_fingerprint text, of_incident bigint) RETURNS json
LANGUAGE sql STABLE
AS $$
    WITH firing AS (
        SELECT alert.source, alert.fingerprint, hush.how, hush.by, hush.since
        FROM (
            SELECT of_source AS source, of_fingerprint AS fingerprint
            UNION
            SELECT source, fingerprint FROM remediator.incident_alerts WHERE incident = of_incident
        ) AS own
        JOIN remediator.alerts AS alert USING (source, fingerprint)
        LEFT JOIN remediator.hushed_alerts AS hush
            ON hush.source = alert.source AND hush.fingerprint = alert.fingerprint
            AND NOT EXISTS (
                SELECT FROM remediator.signals AS told
                WHERE told.source = alert.source AND told.fingerprint = alert.fingerprint AND told.status = 'firing'
                  AND told.last_seen_at > hush.seen_at + interval '10 minutes'
            )
        WHERE alert.status = 'firing'
    )
    SELECT json_build_object('source', source, 'fingerprint', fingerprint, 'how', how, 'by', by, 'since', since)
    FROM firing
    WHERE NOT EXISTS (SELECT FROM firing WHERE how IS NULL)
    ORDER BY since
    LIMIT 1
$$;

-- When somebody of a source last answered, and whether people were called because nobody does (and were before).
CREATE TABLE remediator.monitoring (
    source     text        PRIMARY KEY,
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    called     boolean     NOT NULL DEFAULT false,
    was_called boolean     NOT NULL DEFAULT false
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'remediator_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON
            remediator.duties, remediator.pulse, remediator.gaps, remediator.absent_alerts, remediator.hushed_alerts,
            remediator.monitoring
            TO remediator_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA remediator TO remediator_app;
    END IF;
END
$$;
