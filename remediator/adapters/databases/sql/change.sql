-- name: identity
-- Which server this is, and whether anything can be changed in it.
SELECT pg_is_in_recovery() AS in_recovery, (SELECT system_identifier FROM pg_control_system()) AS system_identifier

-- name: transaction_id
-- The number by which a lost commit can be asked about.
SELECT pg_current_xact_id()::text

-- name: transaction_status
-- What became of a transaction whose commit was never answered; NULL where it is too long ago.
SELECT pg_xact_status($1::text::xid8)

-- name: set_limits
-- Mark and effect together; the caller commits only where the outcome is 'done'.
SELECT remediator_limits.set_limits($1, $2, $3, $4::jsonb, $5, $6, $7)::text

-- name: lock_server
-- Only one session at a time may be between an intent and its ALTER SYSTEM.
SELECT pg_advisory_lock(hashtext('remediator_limits'), 1)

-- name: intend_maximum
-- The intent, committed before ALTER SYSTEM, which cannot be part of a transaction.
SELECT remediator_limits.intend_maximum($1, $2, $3, $4, $5)::text

-- name: alter_maximum
-- Absolute, so that it may be sent twice. A utility statement takes no parameters: the number is put in as a number.
ALTER SYSTEM SET max_connections = {value:d}

-- name: reload
-- Let the server read its files anew; it then knows that a restart is pending.
SELECT pg_reload_conf()

-- name: pending
-- Whether the server has read them and waits for its restart.
SELECT pending_restart OR setting::integer = $1 FROM pg_settings WHERE name = 'max_connections'

-- name: finish_maximum
-- Read back what the files say, and mark it done.
SELECT remediator_limits.finish_maximum($1, $2)::text

-- name: settle
-- By its mark: done, intent, void, or NULL where there is none.
SELECT remediator_limits.settle($1, $2, $3, $4, $5)
