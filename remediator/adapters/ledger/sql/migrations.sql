-- name: migrations_exist
-- Whether this database has ever been migrated.
SELECT to_regclass('remediator.schema_migrations') IS NOT NULL;

-- name: applied_migrations
-- What this database has been through.
SELECT version, name, sha256 FROM remediator.schema_migrations ORDER BY version;

-- name: lock_migrations
-- One replica migrates; the others wait here and then find the work done.
SELECT pg_advisory_xact_lock(hashtextextended('remediator.migrations', 0));

-- name: schema_exists
-- CREATE SCHEMA IF NOT EXISTS needs a right on the database even when there is nothing to create.
SELECT to_regnamespace('remediator') IS NOT NULL;

-- name: create_schema
-- Where everything of ours lives.
CREATE SCHEMA remediator;

-- name: create_migrations
-- The migrations that this database has been through. Ours alone: the application role has no right on it.
CREATE TABLE IF NOT EXISTS remediator.schema_migrations (
    version    int         PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text        NOT NULL DEFAULT current_user
);

-- name: record_migration
-- In the transaction of the migration itself.
INSERT INTO remediator.schema_migrations (version, name, sha256) VALUES ($1, $2, $3);
