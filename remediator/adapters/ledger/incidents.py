"""The close stage's transactions, and the outbox's."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.conclusions import tell_people
from remediator.adapters.ledger.endings import lock_admission, resolve
from remediator.adapters.ledger.pool import LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import EntryKind, NewEntry
from remediator.ports.incidents import DueIncident, NextIncidentLook, Notification


class LedgerIncidentStore:
    """Implements ports.incidents.IncidentStore."""

    def __init__(self, pool: LedgerPool, leases: LedgerPool | None = None) -> None:
        """Work on ``pool``, and on ``leases`` for what a crash may undo."""
        self._pool = pool
        self._leases = leases or pool

    async def due(self, limit: int, lease_s: float) -> tuple[DueIncident, ...]:
        """Take open incidents whose next look is due."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["due_incidents"], limit, lease_s)
        return tuple(
            DueIncident(
                incident=rows.incident(row),
                firing=row["firing"],
                moving=row["moving"],
                hushed=row["hushed"],
                now=row["now"],
            )
            for row in found
        )

    async def look_again(self, looks: Sequence[NextIncidentLook]) -> None:
        """Set the times of next looks, all by one statement."""
        columns = (
            [look.incident for look in looks],
            [look.check_at for look in looks],
            [look.healthy_since for look in looks],
        )
        async with statement(self._leases) as connection:
            await connection.execute(QUERIES["look_again_at_incidents"], *columns)

    async def resolve(self, incident: int, entry: NewEntry) -> bool:
        """Close an incident; what still waited for it is dropped."""
        async with transaction(self._pool) as connection:
            await lock_admission(connection)
            if not await resolve(connection, incident):
                return False
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
        return True

    async def escalate(self, incident: int, message: str) -> bool:
        """Call people, once for an incident."""
        async with transaction(self._pool) as connection:
            if not await connection.fetch(QUERIES["escalate_incidents"], [incident]):
                return False
            summary = f"people are called: {message}"
            entry = NewEntry(kind=EntryKind.INCIDENT_ESCALATED, summary=summary, incident=incident)
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
            await tell_people(connection, incident, None, message)
        return True


class LedgerOutbox:
    """Implements ports.incidents.Outbox."""

    def __init__(self, pool: LedgerPool, leases: LedgerPool | None = None) -> None:
        """Work on ``pool``, and on ``leases`` for what a crash may undo."""
        self._pool = pool
        self._leases = leases or pool

    async def take(self, limit: int, lease_s: float) -> tuple[Notification, ...]:
        """Lease messages that are due."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["take_outbox"], limit, lease_s)
        return tuple(
            Notification(
                id=row["id"], incident=row["incident"], payload=rows.plain(row["payload"]), attempts=row["attempts"]
            )
            for row in found
        )

    async def sent(self, notification: Notification, how: str) -> None:
        """Mark as delivered, in the ledger too."""
        message = str(notification.payload.get("message", ""))
        entry = NewEntry(
            kind=EntryKind.NOTIFIED,
            summary=f"told ({how}): {message}",
            incident=notification.incident,
        )
        async with transaction(self._pool) as connection:
            await connection.execute(QUERIES["outbox_sent"], notification.id)
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))

    async def failed(
        self, notification: Notification, error: str, retry_in_s: float | None, *, say: bool = False
    ) -> None:
        """Note the failure; the last one goes to the ledger, and one that is to be said."""
        async with transaction(self._pool) as connection:
            await connection.execute(QUERIES["outbox_failed"], notification.id, error, retry_in_s)
            if say or retry_in_s is None:
                goes_on = "" if retry_in_s is None else "; it is tried on"
                summary = f"people could not be told after {notification.attempts} attempts{goes_on}: {error}"
                entry = NewEntry(kind=EntryKind.NOTIFY_FAILED, summary=summary, incident=notification.incident)
                await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
