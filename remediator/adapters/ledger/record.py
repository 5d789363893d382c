"""The ledger itself: appending, reading, approving, and the figures of the status screen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remediator import redaction
from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import Entry, EntryKind, NewEntry
from remediator.model.incident import Incident
from remediator.ports.ledger import LedgerQuery


class LedgerAppender:
    """Implements ports.ledger.LedgerWriter, Approvals and RuleSets."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``."""
        self._pool = pool

    async def append(self, *entries: NewEntry) -> None:
        """Append entries in one commit."""
        async with transaction(self._pool) as connection:
            await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))

    async def keep_rule_set(
        self, digest: str, files: dict[str, str], entry: NewEntry, *, perhaps_kept: bool = False
    ) -> None:
        """Keep the files of a rule set under its digest (none: "") with the entry that tells of it, once."""
        # Whoever comes again waits until the transaction that ended without a word has committed, or never will.
        async with transaction(self._pool, QUERIES["lock_rule_history"]) as connection:
            said = entry.kind.value, entry.data.get("happened_at")
            if perhaps_kept and await connection.fetchval(QUERIES["happened_already"], *said):
                return
            if digest:
                await connection.execute(QUERIES["put_rule_set"], digest, rows.as_json(files))
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))

    async def call_once(self, entry: NewEntry, within_s: float) -> bool:
        """Append an entry and tell people, unless one of its kind is younger."""
        async with transaction(self._pool) as connection:
            await connection.execute(QUERIES["lock_alarm"])
            if await connection.fetchval(QUERIES["said_lately"], entry.kind.value, within_s):
                return False
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
            message = {"incident": None, "payload": _alarm(entry)}
            await connection.execute(QUERIES["put_outbox"], rows.as_json([message]))
        return True

    async def answer(self, number: int, *, approved: bool, actor: str, reason: str) -> bool:
        """Record a person's answer to an action that waits for approval; a yes brings its rung back to be decided."""
        actor, reason = redaction.text(actor), redaction.text(reason)
        async with transaction(self._pool) as connection:
            said = await connection.fetchrow(QUERIES["put_approval"], number, approved, actor, reason)
            if said is None:
                return False
            if approved:
                await connection.execute(
                    QUERIES["put_approved"], said["candidate"], said["incident"], actor, said["summary"]
                )
            words = "approved" if approved else "rejected"
            entry = NewEntry(
                kind=EntryKind.APPROVAL,
                summary=f"{words} by {actor}" + (f": {reason}" if reason else ""),
                incident=said["incident"],
                action=number,
                rule=said["rule"],
                target_key=said["target_key"],
                actor=actor,
            )
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
            await connection.execute(QUERIES["wake"], "assess")
        return True


TITLES = {
    EntryKind.STORM: "remediator has stopped changing things",
    EntryKind.UNDECIDABLE: "an alert cannot be decided about",
}
"""What people read first of an entry that calls them."""


def _alarm(entry: NewEntry) -> dict[str, Any]:
    """Return the message of an entry that belongs to no incident."""
    return {
        "incident": None,
        "title": TITLES[entry.kind],
        "severity": "P1",
        "target": "",
        "rule": "",
        "action": None,
        "message": entry.summary,
        "urgent": True,
    }


class LedgerView:
    """Implements ports.ledger.LedgerReader."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``, which may be read-only."""
        self._pool = pool

    async def entries(self, query: LedgerQuery) -> tuple[Entry, ...]:
        """Return entries in the order of the ledger: those after ``query.after``, or the newest if it is 0."""
        async with transaction(self._pool) as connection:
            if query.after:
                wanted = (query.after, query.since, query.incident, query.action, query.limit)
                found = await connection.fetch(QUERIES["read_entries"], *wanted)
            else:
                newest = (query.limit, query.since, query.incident, query.action)
                found = await connection.fetch(QUERIES["read_last_entries"], *newest)
        return tuple(rows.entry(row) for row in found)

    async def incident(self, number: int) -> Incident | None:
        """Return one incident."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(QUERIES["read_incident"], number)
        return rows.incident(row) if row is not None else None

    async def incidents(self, *, open_only: bool, limit: int) -> tuple[Incident, ...]:
        """Return incidents, newest first."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["read_incidents"], open_only, limit)
        return tuple(rows.incident(row) for row in found)

    async def action(self, number: int) -> dict[str, Any] | None:
        """Return one action's row as plain data."""
        async with transaction(self._pool) as connection:
            text = await connection.fetchval(QUERIES["read_action"], number)
        return rows.plain(text) if text is not None else None

    async def actions_of(self, incident: int) -> tuple[dict[str, Any], ...]:
        """Return the actions of one incident as plain data, oldest first."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["read_actions_of_incident"], incident)
        return tuple(rows.plain(row["action"]) for row in found)

    async def asked(self, limit: int) -> tuple[dict[str, Any], ...]:
        """Return the actions that wait for a person's answer as plain data, oldest first."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["read_asked"], limit)
        return tuple(rows.plain(row["action"]) for row in found)

    async def evidence_of(self, incident: int) -> tuple[dict[str, Any], ...]:
        """Return what evidence an incident has, without the content."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["read_evidence"], incident)
        return tuple(dict(row) for row in found)

    async def evidence(self, number: int) -> dict[str, Any] | None:
        """Return one bundle with its content."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(QUERIES["read_evidence_content"], number)
        return {**row, "content": rows.plain(row["content"])} if row is not None else None

    async def counts(self) -> dict[str, Any]:
        """Return the figures of the status screen."""
        async with transaction(self._pool) as connection:
            return rows.plain(await connection.fetchval(QUERIES["read_counts"]))

    async def database_time(self) -> datetime:
        """Return the database's time."""
        async with transaction(self._pool) as connection:
            found: datetime = await connection.fetchval(QUERIES["database_time"])
        return found

    async def ping(self) -> None:
        """Make one round trip."""
        async with transaction(self._pool) as connection:
            await connection.fetchval(QUERIES["ping"])
