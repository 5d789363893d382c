"""Housekeeping: what has done its work is forgotten after its time; the ledger, incidents and actions are kept.

Working rows (signals, what could not be used, delivered messages) go after thirty days, the end of an alert after
thirty days too, evidence and decided candidates some time after their incident was resolved. The large tables are
walked in slices by their keys, a few at a time, so that a sweep costs the same however much there is, and what may not
go yet is in nobody's way. docs/reference/retention.md lists what is kept for how long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import LedgerError
from remediator.ports.clock import Clock

EVERY_S = 600.0
KEEP_DAYS = 30
REPLAY_S = 30 * 86400.0
"""How long the end of an alert is remembered: a notification of an episode that ended is known as late for so long."""

BATCH = 5000
SLICE = 2000
BUNDLES = 200
SLICES = 5
"""Slices of each table in one sweep: 10,000 rows (1,000 bundles of evidence) every ten minutes."""

STATEMENTS = ("forget_signals", "forget_quarantine", "forget_messages")
_START = ("", "")
_bundles = msgspec.json.Decoder(list[dict[str, Any]])


@dataclass(slots=True, kw_only=True)
class Housekeeping:
    """Forgets, every ten minutes, a bounded number of rows. Any replica may do it; ``keep_evidence_s`` in seconds."""

    pool: LedgerPool
    clock: Clock
    failed: Callable[[str], None]
    keep_evidence_s: float
    _bundle: int = field(default=0)
    _candidate: int = field(default=0)
    _alert: tuple[str, str] = field(default=_START)

    async def run(self) -> None:
        """Loop for ever."""
        while True:
            try:
                await self.sweep()
            except LedgerError as error:
                self.failed(str(error))
            await self.clock.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Forget one batch of each kind; return how many rows went, or lost their facts."""
        gone = 0
        for name in STATEMENTS:
            async with transaction(self.pool) as connection:
                answer = await connection.execute(QUERIES[name], KEEP_DAYS, BATCH)
            gone += int(answer.rpartition(" ")[2])
        for walk in (self._evidence, self._candidates, self._tombstones):
            gone += await _walk(walk)
        return gone

    async def _evidence(self) -> tuple[bool, int]:
        """Look at one slice; tell whether there are more, and how many went. The ledger says which."""
        async with transaction(self.pool) as connection:
            row = await connection.fetchrow(QUERIES["forget_evidence"], self._bundle, self.keep_evidence_s, BUNDLES)
            upto, gone = (row["upto"], _bundles.decode(row["gone"])) if row is not None else (None, [])
            if gone:
                await connection.execute(QUERIES["append_entries"], rows.entries_json([self._forgotten(gone)]))
        self._bundle = upto or 0
        return upto is not None, len(gone)

    async def _candidates(self) -> tuple[bool, int]:
        async with transaction(self.pool) as connection:
            row = await connection.fetchrow(QUERIES["forget_candidates"], self._candidate, self.keep_evidence_s, SLICE)
        upto, gone = (row["upto"], row["gone"]) if row is not None else (None, 0)
        self._candidate = upto or 0
        return upto is not None, gone

    async def _tombstones(self) -> tuple[bool, int]:
        async with transaction(self.pool) as connection:
            row = await connection.fetchrow(QUERIES["forget_tombstones"], *self._alert, REPLAY_S, SLICE)
        more = row is not None and row["source"] is not None
        self._alert = (row["source"], row["fingerprint"]) if row is not None and more else _START
        return more, row["gone"] if row is not None else 0

    def _forgotten(self, gone: list[dict[str, Any]]) -> NewEntry:
        days = self.keep_evidence_s / 86400
        summary = f"forgotten: {len(gone)} bundles of evidence, {days:.0f} days after their incidents were resolved"
        return NewEntry(kind=EntryKind.FORGOTTEN, summary=summary, data={"bundles": gone})


async def _walk(look: Callable[[], Awaitable[tuple[bool, int]]]) -> int:
    """Look at some slices, or at what is left to the end of the table; the next walk goes on, or begins anew."""
    total = 0
    for _ in range(SLICES):
        more, gone = await look()
        total += gone
        if not more:
            break
    return total
