-- name: server_facts
-- Everything that must be true of a server before an alert is entrusted to it, in one round trip.
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS version_text,
       current_setting('server_encoding') AS encoding,
       current_setting('default_transaction_isolation') AS isolation,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('fsync') AS fsync,
       current_setting('default_transaction_read_only') = 'on' AS read_only,
       pg_is_in_recovery() AS standby,
       pg_backend_pid() AS backend;

-- name: system_identifier
-- Which server this is, whatever it is called: none of its databases is ever repaired by us.
SELECT system_identifier FROM pg_control_system();

-- name: application_role
-- Whether the application role is there and has its rights: false when it was made after the schema, NULL when absent.
SELECT CASE WHEN to_regnamespace('remediator') IS NULL THEN false
            ELSE has_schema_privilege(oid, 'remediator', 'USAGE') END
FROM pg_catalog.pg_roles
WHERE rolname = 'remediator_app';

-- name: let_role_log_in
-- On the embedded server alone, which nobody else can reach.
ALTER ROLE remediator_app LOGIN;
