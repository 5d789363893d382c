"""The kill switch in PostgreSQL: a row for each pause, and an entry of the ledger for each change."""

from __future__ import annotations

from collections.abc import Sequence

from remediator import redaction
from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.rows import Row
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.pause import Pause, PauseScope


class LedgerPauseStore:
    """Implements ports.pauses.PauseStore."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``."""
        self._pool = pool

    async def pause(self, scope: PauseScope, key: str, *, reason: str, actor: str, seconds: float | None) -> Pause:
        """Stop changes within a scope."""
        actor, reason = redaction.text(actor), redaction.text(reason)
        async with transaction(self._pool) as connection:
            (row,) = await connection.fetch(QUERIES["put_pause"], scope.value, key, reason, actor, seconds)
            pause = _pause(row)
            until = f"until {pause.until:%Y-%m-%d %H:%M:%S} UTC" if pause.until else "until it is resumed"
            await _say(connection, EntryKind.PAUSED, f"{actor} paused {pause} {until}: {reason}", pause, actor)
        return pause

    async def resume(self, scope: PauseScope, key: str, *, actor: str) -> Sequence[Pause]:
        """Lift every pause of exactly this scope."""
        return await self._lift(scope.value, key, None, actor)

    async def resume_one(self, number: int, *, actor: str) -> Sequence[Pause]:
        """Lift one pause."""
        return await self._lift("", "", number, actor)

    async def in_force(self) -> Sequence[Pause]:
        """Return what is paused now."""
        async with statement(self._pool) as connection:
            return tuple(_pause(row) for row in await connection.fetch(QUERIES["pauses_in_force"]))

    async def _lift(self, scope: str, key: str, number: int | None, actor: str) -> Sequence[Pause]:
        actor = redaction.text(actor)
        async with transaction(self._pool) as connection:
            found = [_pause(row) for row in await connection.fetch(QUERIES["lift_pauses"], scope, key, number, actor)]
            for pause in found:
                words = f"{actor} resumed {pause} (pause {pause.number}, by {pause.actor}: {pause.reason})"
                await _say(connection, EntryKind.RESUMED, words, pause, actor)
            if found:
                # What was held for the pause is decided again at once, and not when its time comes.
                await connection.execute(QUERIES["hasten_paused"])
                await connection.execute(QUERIES["wake"], "assess")
        return tuple(sorted(found, key=lambda pause: pause.number))


async def _say(connection: Connection, kind: EntryKind, words: str, pause: Pause, actor: str) -> None:
    data = {"pause": pause.number, "scope": pause.scope.value, "key": pause.key}
    entry = NewEntry(kind=kind, summary=words, data=data, actor=actor)
    await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))


def _pause(row: Row) -> Pause:
    return Pause(
        number=row["number"],
        scope=PauseScope(row["scope"]),
        key=row["key"],
        reason=row["reason"],
        actor=row["actor"],
        since=row["since"],
        until=row["until"],
    )
