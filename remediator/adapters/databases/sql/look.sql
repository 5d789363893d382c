-- name: server
-- One row about the server. pg_monitor is needed to see the sessions of others: without it, their number is not known.
SELECT current_setting('server_version_num')::integer AS version,
       pg_is_in_recovery() AS in_recovery,
       current_setting('max_connections')::integer AS max_connections,
       current_setting('superuser_reserved_connections')::integer
           + coalesce(current_setting('reserved_connections', true), '0')::integer AS reserved,
       pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers,
       pg_size_bytes(current_setting('work_mem')) AS work_mem,
       pg_has_role(current_user, 'pg_read_all_stats', 'member') AS sees_all,
       to_regclass('remediator_limits.allowed') IS NOT NULL AS installed,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::integer AS used,
       (SELECT count(*) FROM pg_stat_replication WHERE application_name !~* '^(pg_basebackup|pg_receivewal|barman)')::integer
           AS standbys,
       coalesce((SELECT string_agg(DISTINCT application_name, ', ') FROM pg_stat_activity
                  WHERE application_name ~* '^(patroni|cnpg)'), '') AS managers,
       coalesce((SELECT string_agg(name, ', ') FROM pg_settings WHERE name ~* '^(patroni|cnpg)\.'), '') AS manager_settings,
       coalesce((SELECT setting FROM pg_settings WHERE name = 'config_file'), '') AS config_file,
       coalesce((SELECT bool_or(sourcefile ~ 'postgresql\.base\.conf$') FROM pg_settings), false) AS based,
       (SELECT system_identifier FROM pg_control_system()) AS system_identifier

-- name: holders
-- Who has connections, the many first: the runbook's count of pg_stat_activity, by what it is made of.
SELECT coalesce(usename, '') AS usename, coalesce(application_name, '') AS application, coalesce(datname, '') AS datname,
       coalesce(state, '') AS state, count(*)::integer AS count,
       coalesce(extract(epoch FROM clock_timestamp() - min(state_change)), 0)::integer AS longest_s
  FROM pg_stat_activity
 WHERE backend_type = 'client backend'
 GROUP BY 1, 2, 3, 4
 ORDER BY count(*) DESC, 1, 2, 3, 4
 LIMIT 50

-- name: limits
-- The limits that may be raised, with what is used of them.
SELECT allowed.scope, allowed.name, allowed.most, remediator_limits.limit_of(allowed.scope, allowed.name) AS now,
       (SELECT count(*) FROM pg_stat_activity
         WHERE backend_type = 'client backend'
           AND allowed.name = CASE allowed.scope WHEN 'role' THEN usename ELSE datname END)::integer AS used
  FROM remediator_limits.allowed
 ORDER BY allowed.scope, allowed.name

-- name: idle
-- How long each session that may be ended has been idle in its transaction, the longest first.
SELECT idle_s FROM remediator_limits.idle_sessions(0) LIMIT 200

-- name: configured
-- max_connections as it will be after the next restart.
SELECT remediator_limits.configured() AS configured
