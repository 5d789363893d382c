"""Seals over the ledger in PostgreSQL: how far entries are settled, sealing them, and reading both back to verify."""

from __future__ import annotations

from datetime import datetime

from remediator.adapters.ledger.pool import LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.rows import Row
from remediator.model.seal import Checkpoint, Seal, StoredEntry
from remediator.ports.seals import Look, Make, Unsealed

MOST_COUNTED = 100_000


class LedgerSeals:
    """Implements ports.seals.SealStore."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``; its commits must wait for the disk, so that what is sealed is never lost."""
        self._pool = pool

    async def look(self, known: int) -> Look:
        """See how sealing stands."""
        async with statement(self._pool) as connection:
            (row,) = await connection.fetch(QUERIES["look_at_seals"], known)
        return Look(
            newest=row["newest"],
            writers=frozenset(row["writers"]),
            head=_checkpoint(row),
            known_hash=(row["known_hash"] or b"").hex(),
            waiting_s=row["waiting_s"],
        )

    async def seal(self, upto: int, limit: int, make: Make) -> Seal | None:
        """Seal the next entries; None also when another replica is sealing now."""
        async with transaction(self._pool) as connection:
            if not await connection.fetchval(QUERIES["lock_sealing"]):
                return None
            (row,) = await connection.fetch(QUERIES["read_head"])
            head = _checkpoint(row)
            found = await connection.fetch(QUERIES["read_stored"], head.seq if head else 0, upto, limit)
            if not found:
                return None
            seal = make(head, tuple(map(_stored, found)), row["now"])
            await connection.execute(
                QUERIES["put_seal"],
                *(seal.number, seal.upto, seal.seqs, seal.digests, seal.prev, seal.hash, seal.sealed_at),
                seal.sealed_by,
            )
        return seal


class LedgerRecords:
    """Implements ports.seals.SealReader."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``, which may be read-only."""
        self._pool = pool

    async def seals(self, after: int, limit: int) -> tuple[Seal, ...]:
        """Return seals in order."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["read_seals"], after, limit)
        return tuple(
            Seal(
                number=row["number"],
                upto=row["upto"],
                seqs=tuple(row["seqs"]),
                digests=row["digests"],
                prev=row["prev"],
                hash=row["hash"],
                sealed_at=row["sealed_at"],
                sealed_by=row["sealed_by"],
            )
            for row in found
        )

    async def stored(self, after: int, upto: int, limit: int) -> tuple[StoredEntry, ...]:
        """Return entries by number."""
        async with transaction(self._pool) as connection:
            return tuple(map(_stored, await connection.fetch(QUERIES["read_stored"], after, upto, limit)))

    async def unsealed(self, after: int) -> Unsealed:
        """Tell of the entries after a number."""
        async with transaction(self._pool) as connection:
            (row,) = await connection.fetch(QUERIES["count_unsealed"], after, MOST_COUNTED)
        return Unsealed(count=row["entries"], oldest_s=row["oldest_s"])

    async def recorded(
        self, after: tuple[datetime, int], until: datetime | None, limit: int
    ) -> tuple[StoredEntry, ...]:
        """Return entries by time."""
        async with transaction(self._pool) as connection:
            return tuple(map(_stored, await connection.fetch(QUERIES["read_recorded"], *after, until, limit)))


def _checkpoint(row: Row) -> Checkpoint | None:
    if row["number"] is None:
        return None
    return Checkpoint(seal=row["number"], seq=row["upto"], hash=row["hash"].hex(), sealed_at=row["sealed_at"])


def _stored(row: Row) -> StoredEntry:
    return StoredEntry(
        seq=row["seq"],
        at=row["at"],
        kind=row["kind"],
        summary=row["summary"],
        incident=row["incident"],
        action=row["action"],
        rule=row["rule"],
        target_key=row["target_key"],
        reasons=tuple(row["reasons"]),
        data=row["data"],
        actor=row["actor"],
    )
