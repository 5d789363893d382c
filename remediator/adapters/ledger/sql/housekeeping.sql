-- name: forget_signals
-- Signals that were matched long ago; the alert's tombstone and the ledger stay. At most $2 rows, oldest first.
DELETE FROM remediator.signals
WHERE id IN (
    SELECT id FROM remediator.signals
    WHERE last_seen_at < clock_timestamp() - make_interval(days => $1)
      AND NOT EXISTS (SELECT FROM remediator.inbox WHERE inbox.signal = signals.id)
    ORDER BY id
    LIMIT $2
);

-- name: forget_quarantine
-- Alerts that could not be used, once nobody will look at them any more.
DELETE FROM remediator.quarantine
WHERE id IN (
    SELECT id FROM remediator.quarantine
    WHERE at < clock_timestamp() - make_interval(days => $1)
    ORDER BY id
    LIMIT $2
);

-- name: forget_messages
-- Messages that were delivered; the ledger has said so.
DELETE FROM remediator.outbox
WHERE id IN (
    SELECT id FROM remediator.outbox
    WHERE state = 'sent' AND created_at < clock_timestamp() - make_interval(days => $1)
    ORDER BY id
    LIMIT $2
);
