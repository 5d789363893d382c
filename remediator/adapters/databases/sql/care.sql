-- name: connections
-- The runbook's count of pg_stat_activity, by what it is made of.
SELECT coalesce(usename, '') AS usename, coalesce(datname, '') AS datname, coalesce(state, '') AS state,
       coalesce(application_name, '') AS application, count(*)::integer AS count,
       coalesce(extract(epoch FROM clock_timestamp() - min(state_change)), 0)::integer AS longest_s
  FROM pg_stat_activity
 WHERE backend_type = 'client backend'
 GROUP BY 1, 2, 3, 4
 ORDER BY count(*) DESC, 1, 2, 3, 4
